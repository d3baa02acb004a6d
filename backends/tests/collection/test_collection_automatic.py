"""Collection of what a model without a script is asked and answers."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from windtunnel_scoring.asgi import Headers, Request
from windtunnel_scoring.collection.automatic import AutomaticCollection, flatten
from windtunnel_scoring.model.runtime import Session
from windtunnel_scoring.model.scorer import ModelScorer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collection.conftest import Collected


def doubling() -> bytes:
    """x: rows of two numbers; y: their doubles."""
    given, answered = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [given], [answered])
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def test_inputs_and_predictions_of_a_request_have_one_correlation(collected: Collected, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(doubling())
    scorer = ModelScorer(Session(path, threads=1), timeout_ms=60_000, collection=AutomaticCollection("doubling"))
    body = b'{"data": [[1, 2], [3, 4]]}'
    headers = Headers([(b"content-type", b"application/json"), (b"x-request-id", b"r-1")])
    assert scorer.score(Request(method="POST", path="/score", headers=headers, body=body)).response.status == 200
    files = collected.files()
    tables = {path.split("/")[6]: list(csv.DictReader(lines)) for path, lines in files.items()}
    assert {path.split("/")[4] for path in files} == {"doubling"}
    assert [(row["x_0"], row["x_1"]) for row in tables["inputs"]] == [("1.0", "2.0"), ("3.0", "4.0")]
    assert [(row["y_0"], row["y_1"]) for row in tables["predictions"]] == [("2.0", "4.0"), ("6.0", "8.0")]
    rows = tables["inputs"] + tables["predictions"]
    assert len({row["$aml_dc_correlation_id"] for row in rows}) == 1
    assert {row["$aml_request_id"] for row in rows} == {"r-1"}
    assert {row["$aml_model_name"] for row in rows} == {"doubling"}


def test_tensors_as_rows() -> None:
    found = flatten({"a": np.array([[1], [2]]), "b": np.array(["x", "y"]), "c": np.zeros((2, 1, 2), np.int64)})
    assert found is not None
    assert found.header == ("a", "b", "c_0", "c_1")
    assert [list(row) for row in found.rows] == [[1, "x", 0, 0], [2, "y", 0, 0]]


def test_what_is_no_table_of_a_sensible_width_is_not_collected(collected: Collected) -> None:
    assert flatten({"image": np.zeros((1, 3, 224, 224))}) is None
    assert flatten({"a": np.zeros(2), "b": np.zeros(3)}) is None
    assert flatten({"a": np.zeros((0, 2))}) is None
    assert flatten({"maps": [{1: 0.5}]}) is None
    collection = AutomaticCollection("m")
    collection.observe({"image": np.zeros((1, 3, 224, 224))}, {"y": np.zeros(1)})
    assert collected.files() == {}
    assert collection.skipped == 1
