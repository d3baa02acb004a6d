"""What the tests of the Brainwave simulator share: graphs of one operator or a few, and reports by the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import TensorProto, helper

from windtunnel_emulators.brainwave.__main__ import main
from windtunnel_emulators.brainwave.reading import graph_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from windtunnel_emulators.brainwave.graph import Graph

    Nodes = Sequence[onnx.NodeProto]
    Make = Callable[..., onnx.ModelProto]
    MakeGraph = Callable[..., Graph]
    Report = Callable[..., tuple[int, dict[str, Any]]]


def model_of(
    nodes: Nodes, inputs: dict[str, Sequence[int | str]], outputs: Sequence[str], **weights: Sequence[int]
) -> onnx.ModelProto:
    """``weights`` are constants by name and shape, each of one value."""
    values = [
        helper.make_tensor(name, TensorProto.FLOAT, list(dims), [0.02] * _size(dims)) for name, dims in weights.items()
    ]
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims)) for name, dims in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        values,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _size(dims: Sequence[int]) -> int:
    size = 1
    for dim in dims:
        size *= dim
    return size


@pytest.fixture
def make_model() -> Make:
    """A model in memory."""
    return model_of


@pytest.fixture
def make_graph() -> MakeGraph:
    """The same, read."""

    def make(
        nodes: Nodes, inputs: dict[str, Sequence[int | str]], outputs: Sequence[str], **weights: Sequence[int]
    ) -> Graph:
        return graph_of(model_of(nodes, inputs, outputs, **weights), "test")

    return make


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Run the command: exit code and document."""

    def run(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        code = main(["report", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert err == ""
        return code, json.loads(out)

    return run
