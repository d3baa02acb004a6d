"""An ONNX model behind ``/score``: answers, refusals, its own description, and models that cannot be served."""

from __future__ import annotations

import json
import math
import threading
import time
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import pytest
from onnx import TensorProto

from windtunnel_contracts import models
from windtunnel_scoring.errors import ModelError
from windtunnel_scoring.model import location
from windtunnel_scoring.model.runtime import Session
from windtunnel_scoring.model.watchdog import Watchdog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scoring.conftest import Apps
    from windtunnel_scoring.jsontypes import Json, JsonObject


class _JsonSchema(Protocol):
    def validate(self, instance: Json, schema: JsonObject) -> None: ...


JSONSCHEMA = cast("_JsonSchema", import_module("jsonschema"))
"""It has no types."""


async def test_one_output_answers_as_a_list(apps: Apps) -> None:
    reply = await apps.of_model(models.identity()).score({"data": [[1, 2.5]]})
    assert (reply.status, reply.json()) == (200, [[1.0, 2.5]])
    assert float(reply.headers["x-ms-run-fn-exec-ms"]) > 0


async def test_several_outputs_answer_by_name(apps: Apps) -> None:
    reply = await apps.of_model(models.two_inputs()).score({"left": [1, 5], "right": [2, 3]})
    assert reply.json() == {"total": [3.0, 8.0], "larger": [False, True]}


async def test_sequences_and_maps_of_a_classifier(apps: Apps) -> None:
    reply = await apps.of_model(models.classifier()).score({"data": [[0.25, 0.75]]})
    assert reply.json() == {"label": [1], "probability": [{"0": 0.25, "1": 0.75}]}


@pytest.mark.parametrize(
    ("element", "value"),
    [
        (TensorProto.FLOAT, [[0.1, -2]]),
        (TensorProto.DOUBLE, [[0.1, 1e300]]),
        (TensorProto.FLOAT16, [[0.5, 65504]]),
        (TensorProto.BFLOAT16, [[0.5, -3]]),
        (TensorProto.INT8, [[-128, 127]]),
        (TensorProto.UINT64, [[0, 2**64 - 1]]),
        (TensorProto.INT64, [[-(2**63), 2**63 - 1]]),
        (TensorProto.BOOL, [[True, False]]),
        (TensorProto.STRING, [["é", "a\0b"]]),
        (TensorProto.FLOAT, []),
        (TensorProto.BFLOAT16, []),
    ],
)
async def test_every_type_goes_in_and_comes_out(apps: Apps, element: int, value: Json) -> None:
    reply = await apps.of_model(models.identity(element)).score({"data": value})
    expected = np.array(value, np.float32).tolist() if element == TensorProto.FLOAT else value
    assert (reply.status, reply.json()) == (200, expected)


async def test_nan_goes_in_and_comes_out(apps: Apps) -> None:
    reply = await apps.of_model(models.identity()).request("POST", "/score", b'{"data": [[NaN, -Infinity]]}')
    assert reply.body == b"[[NaN, -Infinity]]"
    assert math.isnan(cast("list[list[float]]", reply.json())[0][0])


async def test_a_get_reads_the_query(apps: Apps) -> None:
    client = apps.of_model(models.two_inputs())
    reply = await client.request("GET", "/score?left=[1]&right=[2]")
    assert reply.json() == {"total": [3.0], "larger": [False]}
    assert (await client.request("GET", "/score")).status == 400


async def test_a_form_is_told_what_to_send(apps: Apps) -> None:
    client = apps.of_model(models.identity())
    form = {"content-type": "application/x-www-form-urlencoded"}
    reply = await client.request("POST", "/score", b'{"data": [[1, 2]]}', form)
    assert reply.status == 400
    assert 'send Content-Type: application/json and {"data": float32 [N, 2]}' in reply.message
    assert (await client.request("POST", "/score")).message == 'the body is empty: send {"data": float32 [N, 2]}'


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b"[]", b'"x"', b'{"data": [[1]]}', b'{"data": null}'])
async def test_what_does_not_fit_is_the_callers_fault(apps: Apps, body: bytes) -> None:
    client = apps.of_model(models.identity())
    reply = await client.request("POST", "/score", body, {"content-type": "application/json"})
    assert reply.status == 400
    assert reply.message
    assert reply.headers["x-ms-run-function-failed"] == "False"


async def test_values_that_the_model_cannot_compute_are_the_callers_fault_too(apps: Apps) -> None:
    reply = await apps.of_model(models.lengths_that_must_agree()).score({"a": [1, 2], "b": [1, 2, 3]})
    assert reply.status == 400
    assert reply.message.startswith("the model could not compute with 'a' of shape [2], 'b' of shape [3]")
    assert "broadcast" in reply.message
    assert "onnxruntime_src" not in reply.message, "where it is in somebody's source helps nobody"


async def test_a_rank_that_only_onnxruntime_knows_is_the_callers_fault(apps: Apps) -> None:
    reply = await apps.of_model(models.slow()).score({"data": [1, 2]})
    assert reply.status == 400
    assert "should be a scalar" in reply.message


async def test_a_model_that_takes_too_long_is_ended(apps: Apps) -> None:
    client = apps.of_model(models.slow(), timeout_ms=50)
    started = time.monotonic()
    reply = await client.score({"data": 10**9})
    assert (reply.status, reply.message) == (500, "Scoring timeout after 50 ms")
    assert reply.headers["x-ms-run-function-failed"] == "True"
    assert time.monotonic() - started < 10
    assert (await client.score({"data": 3})).json() == 3, "its thread is free again"


@pytest.mark.parametrize(
    "model",
    [
        models.identity(),
        models.identity(TensorProto.INT64, ("N", "M")),
        models.identity(TensorProto.BOOL, (2, 3)),
        models.identity(shape=None),
        models.text(),
        models.two_inputs(),
        models.classifier(),
    ],
)
async def test_the_description_holds_for_its_own_example_and_its_answer(apps: Apps, model: bytes) -> None:
    client = apps.of_model(model)
    document = cast("JsonObject", (await client.request("GET", "/swagger.json?version=3.1")).json())
    schemas = cast("dict[str, dict[str, JsonObject]]", document["components"])["schemas"]
    example = schemas["ServiceInput"]["example"]
    JSONSCHEMA.validate(example, schemas["ServiceInput"])
    reply = await client.score(example)
    assert reply.status == 200, reply.body
    JSONSCHEMA.validate(reply.json(), schemas["ServiceOutput"])


async def test_the_description_names_types_and_shapes(apps: Apps) -> None:
    client = apps.of_model(models.identity(TensorProto.INT64, ("batch", 3), name="tokens"))
    document = cast("JsonObject", (await client.request("GET", "/swagger.json")).json())
    definitions = cast("dict[str, JsonObject]", document["definitions"])
    assert definitions["ServiceInput"]["properties"] == {
        "data": {
            "description": "input 'tokens': int64 of shape [batch, 3]",
            "type": "array",
            "items": {"type": "array", "items": {"type": "integer", "format": "int64"}, "minItems": 3, "maxItems": 3},
        }
    }
    assert definitions["ServiceInput"]["example"] == {"data": [[0, 0, 0]]}


async def test_a_large_input_has_no_example(apps: Apps) -> None:
    client = apps.of_model(models.identity(TensorProto.FLOAT, (1, 3, 224, 224)))
    reply = await client.request("GET", "/swagger.json")
    assert len(reply.body) < 4000
    definitions = cast("dict[str, JsonObject]", cast("JsonObject", reply.json())["definitions"])
    assert "example" not in definitions["ServiceInput"]


class TestLoading:
    """What cannot be served is said before anything listens."""

    @pytest.mark.parametrize(
        ("model", "said"),
        [
            (models.truncated(models.identity()), "it is no ONNX model, or a part of it is missing"),
            (models.not_onnx(), "it is no ONNX model, or a part of it is missing"),
            (b"", ""),
            (models.newer_opset(), "4096"),
            (models.newer_ir(), "4096"),
        ],
        ids=["truncated", "not ONNX", "empty", "newer opset", "newer IR"],
    )
    def test_a_file_that_onnxruntime_refuses(self, tmp_path: Path, model: bytes, said: str) -> None:
        path = models.write(model, tmp_path)
        with pytest.raises(ModelError) as caught:
            Session(path, threads=1)
        text = str(caught.value)
        assert text.startswith(f"model.onnx cannot be loaded by onnxruntime {metadata.version('onnxruntime')}: ")
        assert said in text
        assert "onnxruntime_src" not in text

    def test_an_input_that_no_request_can_carry(self, tmp_path: Path) -> None:
        path = models.write(models.sequence_input(), tmp_path)
        with pytest.raises(ModelError, match=r"input 'many' of model.onnx is a seq\(tensor\(float\)\), .* script"):
            Session(path, threads=1)

    def test_the_one_model_is_found_in_any_folder(self, tmp_path: Path) -> None:
        path = models.write(b"", tmp_path, "deep/er/Model.ONNX")
        models.write(b"", tmp_path, "weights.data")
        assert location.find(tmp_path) == path
        assert location.find(path) == path

    def test_no_model_names_what_there_is(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="set AZUREML_ENTRY_SCRIPT to a script, or AZUREML_MODEL_DIR"):
            location.find(None)
        with pytest.raises(ModelError, match="there is no such file or folder"):
            location.find(tmp_path / "no")
        with pytest.raises(ModelError, match=r"holds no .onnx file; there is: nothing"):
            location.find(tmp_path)
        for number in range(30):
            models.write(b"", tmp_path, f"{number:02}.pkl")
        with pytest.raises(ModelError, match=r"there is: 00.pkl, 01.pkl.* and 10 more"):
            location.find(tmp_path)

    def test_several_models_are_named(self, tmp_path: Path) -> None:
        for name in ("a.onnx", "sub/b.onnx"):
            models.write(b"", tmp_path, name)
        with pytest.raises(ModelError, match=r"holds 2 .onnx files: a.onnx, sub/b.onnx"):
            location.find(tmp_path)


def test_a_limit_calls_back_only_within_the_block() -> None:
    called: list[str] = []
    dog = Watchdog()
    with dog.limit(60, lambda: called.append("far away")):
        with dog.limit(0, lambda: called.append("never: its block ended")):
            pass
        called.clear()  # it may have been called within its block, which is short but not nothing
        passed = threading.Event()
        with dog.limit(0, passed.set):
            assert passed.wait(10)
    assert called == []


def test_answers_are_json_for_every_reader(tmp_path: Path) -> None:
    """float32 is written with the digits of the same double, so that reading it back is exact."""
    values = np.random.RandomState(1).standard_normal(1000).astype(np.float32)
    assert (np.array(json.loads(json.dumps(values.tolist())), np.float32) == values).all()
