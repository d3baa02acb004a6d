"""Models to test with, and a subscription in memory that answers as ARM and a registry do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from windtunnel.adapters.aci import AciAdapter
from windtunnel.adapters.aci_work import Settings
from windtunnel.adapters.clients import Clients
from windtunnel.adapters.rehearsal import Rehearsal
from windtunnel.clouds import Cloud
from windtunnel.records import Records
from windtunnel.runtime_check import InstalledRuntime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from windtunnel.interface import Progress

    MakeAci = Callable[[Cloud], AciAdapter]


def linear_model(*, opset: int = 17, ir_version: int = 8) -> onnx.ModelProto:
    """y[batch,3] = x[batch,4] W."""
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "W")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version, producer_name="tests"
    )


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A model that can be deployed."""
    path = tmp_path / "linear.onnx"
    path.write_bytes(linear_model().SerializeToString())
    return path


@pytest.fixture
def script_file(tmp_path: Path) -> Path:
    """A script that can be deployed."""
    path = tmp_path / "my_script.py"
    path.write_text("def init():\n    pass\n\n\ndef run(raw):\n    return raw\n", "utf-8")
    return path


@pytest.fixture
def rehearsal() -> Rehearsal:
    """What the adapters would send, answered as by an empty subscription."""
    return Rehearsal()


@pytest.fixture
def cloud(rehearsal: Rehearsal) -> Cloud:
    """A cloud with nothing behind it."""
    return rehearsal.stand_in(Cloud.azure())


@pytest.fixture
def steps() -> list[Progress]:
    """What the adapter said that it was doing."""
    return []


@pytest.fixture
def make_aci(tmp_path: Path, steps: list[Progress]) -> MakeAci:
    """The ACI adapter at a cloud, with records in a folder of the test."""
    settings = Settings(
        resource_group="models", location="westeurope", registry="acme12345", owner="ada", lifetime=None
    )

    def make(cloud: Cloud, **changes: object) -> AciAdapter:
        clients = Clients(cloud, "00000000-0000-0000-0000-000000000001")
        records = Records(tmp_path / "data", cloud=cloud.resource_manager, subscription="s", group="models")
        return AciAdapter(
            clients,
            replace(settings, **changes),  # type: ignore[arg-type]  # the tests' own business
            records,
            InstalledRuntime(),
            steps.append,
        )

    return make
