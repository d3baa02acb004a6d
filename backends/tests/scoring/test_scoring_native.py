"""ONNX Runtime Server's form, in JSON and in protobuf: checked against ONNX's own protobuf classes."""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, numpy_helper

from windtunnel_contracts import models
from windtunnel_scoring.errors import Refusal
from windtunnel_scoring.model import native, tensor_json, wire
from windtunnel_scoring.model.elements import ELEMENTS, Element
from windtunnel_scoring.model.runtime import Port
from windtunnel_scoring.model.tensor_message import PredictRequest, TensorMessage, from_array, to_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.scoring.conftest import Apps, Reply
    from windtunnel_scoring.jsontypes import Json, JsonObject
    from windtunnel_scoring.model.elements import Array

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Machines that run other things too may take their time."""

PATH = "/v1/models/mymodel/versions/3:predict"
JSON = {"content-type": "application/json"}
PROTOBUF = {"content-type": "application/x-protobuf"}


def tensor_of(values: list[float], *, raw: bool = True) -> JsonObject:
    data = np.array(values, "<f4")
    fields: JsonObject = {"dims": [str(len(values) // 2), "2"], "dataType": 1}
    if raw:
        fields["rawData"] = base64.b64encode(data.tobytes()).decode()
    else:
        fields["floatData"] = cast("Json", data.tolist())
    return fields


def decoded(reply: Reply, name: str = "y") -> list[float]:
    outputs = cast("dict[str, dict[str, JsonObject]]", reply.json())["outputs"]
    return cast("list[float]", np.frombuffer(base64.b64decode(str(outputs[name]["rawData"])), "<f4").tolist())


async def test_the_documented_exchange(apps: Apps) -> None:
    body = json.dumps({"inputs": {"x": tensor_of([1, 2])}, "outputFilter": ["y"]}).encode()
    reply = await apps.of_model(models.identity()).request(
        "POST", PATH, body, {**JSON, "x-ms-client-request-id": "mine", "x-ms-request-id": "ignored"}
    )
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    raw = base64.b64encode(np.array([1, 2], "<f4").tobytes()).decode()
    assert reply.json() == {
        "outputs": {"y": {"dims": ["1", "2"], "dataType": 1, "rawData": raw, "dataLocation": "DEFAULT"}}
    }
    assert reply.headers["x-ms-client-request-id"] == "mine"
    assert len(reply.headers["x-ms-request-id"]) == 36, "always the server's own"


@pytest.mark.parametrize("path", ["/v1/models/m:predict", "/v1/models/m.x-1/versions/17:predict", PATH])
async def test_any_name_and_version_will_do(apps: Apps, path: str) -> None:
    body = json.dumps({"inputs": {"x": tensor_of([1, 2])}}).encode()
    assert decoded(await apps.of_model(models.identity()).request("POST", path, body, JSON)) == [1, 2]


async def test_the_same_form_at_score(apps: Apps) -> None:
    client = apps.of_model(models.identity())
    assert decoded(await client.score({"inputs": {"x": tensor_of([1, 2])}})) == [1, 2]
    refused = await client.score({"inputs": {"z": tensor_of([1, 2])}})
    assert (refused.status, refused.message) == (400, "there is no input 'z': the model has 'x'")


async def test_typed_fields_are_answered_by_typed_fields(apps: Apps) -> None:
    body = json.dumps({"inputs": {"x": tensor_of([0.1, math.nan], raw=False)}}).encode().replace(b"NaN", b'"NaN"')
    reply = await apps.of_model(models.identity()).request("POST", PATH, body, JSON)
    assert reply.json() == {"outputs": {"y": {"dims": ["1", "2"], "dataType": 1, "floatData": [0.1, "NaN"]}}}


async def test_original_names_are_read_and_unknown_fields_ignored(apps: Apps) -> None:
    fields = {"dims": [1, 2], "data_type": "1", "float_data": [1, "2.5"], "docString": 7}
    body = json.dumps({"inputs": {"x": fields}, "output_filter": [], "more": True}).encode()
    reply = await apps.of_model(models.identity()).request("POST", PATH, body, JSON)
    assert cast("dict[str, dict[str, JsonObject]]", reply.json())["outputs"]["y"]["floatData"] == [1.0, 2.5]


async def test_an_output_filter_selects(apps: Apps) -> None:
    client = apps.of_model(models.two_inputs())
    inputs: JsonObject = {
        "left": {"dims": ["1"], "dataType": 1, "floatData": [3]},
        "right": {"dims": ["1"], "dataType": 7, "int64Data": ["4"]},
    }
    both = await client.request("POST", PATH, json.dumps({"inputs": inputs}).encode(), JSON)
    assert both.json() == {
        "outputs": {
            "total": {"dims": ["1"], "dataType": 1, "floatData": [7.0]},
            "larger": {"dims": ["1"], "dataType": 9, "int32Data": [0]},
        }
    }
    body = json.dumps({"inputs": inputs, "outputFilter": ["larger", "larger"]}).encode()
    one = await client.request("POST", PATH, body, JSON)
    assert list(cast("dict[str, JsonObject]", one.json())["outputs"]) == ["larger"]


async def test_binary_protobuf(apps: Apps) -> None:
    client = apps.of_model(models.identity())
    request = PredictRequest(inputs={"x": from_array(np.array([[1, 2]], np.float32), element("float32"), raw=True)})
    for target in (PATH, "/score"):
        reply = await client.request("POST", target, wire.write_request(request), PROTOBUF)
        assert (reply.status, reply.headers["content-type"]) == (200, "application/octet-stream")
        assert b"\x00\x00\x80\x3f\x00\x00\x00\x40" in reply.body
    as_json = await client.request(
        "POST", PATH, wire.write_request(request), {**PROTOBUF, "accept": "application/json"}
    )
    assert decoded(as_json) == [1, 2]


@pytest.mark.parametrize(
    ("sent", "accept", "answered"),
    [
        ("application/json", None, "application/json"),
        ("application/json", "*/*", "application/json"),
        ("application/json", "text/html, application/x-protobuf;q=0.9", "application/x-protobuf"),
        ("application/octet-stream", "*/*", "application/octet-stream"),
        ("application/vnd.google.protobuf", "application/vnd.google.protobuf", "application/vnd.google.protobuf"),
    ],
)
async def test_accept_picks_the_answer(apps: Apps, sent: str, accept: str | None, answered: str) -> None:
    request = PredictRequest(inputs={"x": from_array(np.array([[1, 2]], np.float32), element("float32"), raw=True)})
    body = wire.write_request(request)
    if sent == "application/json":
        body = json.dumps({"inputs": {"x": tensor_of([1, 2])}}).encode()
    headers = {"content-type": sent} | ({"accept": accept} if accept else {})
    reply = await apps.of_model(models.identity()).request("POST", PATH, body, headers)
    assert (reply.status, reply.headers["content-type"]) == (200, answered)


GOOD = json.dumps({"inputs": {"x": tensor_of([1, 2])}}).encode()


def changed(**fields: Json) -> bytes:
    return json.dumps({"inputs": {"x": tensor_of([1, 2]) | fields}}).encode()


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (GOOD, {}, 400, "Missing or unknown 'Content-Type' header field in the request"),
        (GOOD, {"content-type": "text/plain"}, 400, "Missing or unknown 'Content-Type'"),
        (GOOD, {**JSON, "accept": "text/html"}, 400, "Unknown 'Accept' header field in the request"),
        (b"{", JSON, 400, "could not be decoded as JSON"),
        (b"[]", JSON, 400, "the body should be an object, not []"),
        (b"\xff\xff", PROTOBUF, 400, "Invalid payload."),
        (b"{}", JSON, 400, "a value is not provided for the input 'x'"),
        (b'{"inputs": 1}', JSON, 400, "inputs should be an object, not 1"),
        (b'{"inputs": {"z": {}}}', JSON, 400, "there is no input 'z': the model has 'x'"),
        (changed(dataType=7), JSON, 400, "input 'x' expects float32 of shape [N, 2]; dataType is 7 (int64)"),
        (changed(dataType=99), JSON, 400, "dataType is 99"),
        (changed(dims=["1", "3"]), JSON, 400, "rawData has 8 bytes where 3 elements of 4 bytes are needed"),
        (changed(dims=["2", "1"]), JSON, 400, "input 'x' expects float32 of shape [N, 2] and got shape [2, 1]"),
        (changed(dims=["-1", "2"]), JSON, 400, "dims are [-1, 2]"),
        (changed(dims=[str(2**63 - 1) for _ in range(9)]), JSON, 400, "rawData has 8 bytes"),
        (changed(dims="1"), JSON, 400, "inputs.x.dims should be a list, not '1'"),
        (changed(rawData="!"), JSON, 400, "inputs.x.rawData should be base64, not '!'"),
        (changed(rawData=None, floatData=[1, "a"]), JSON, 400, "inputs.x.floatData[1] should be a number, not 'a'"),
        (changed(rawData=None, floatData=[1, 1e300]), JSON, 400, "it holds a number beyond float32"),
        (changed(rawData=None, floatData=[1]), JSON, 400, "it has 1 elements in the field of its type"),
        (changed(dataLocation="EXTERNAL"), JSON, 400, "its elements are not in the message"),
        (changed(externalData=[{"key": "location", "value": "/etc/passwd"}]), JSON, 400, "not in the message"),
        (GOOD[:-1] + b', "outputFilter": ["q"]}', JSON, 400, "there is no output 'q': the model has 'y'"),
        (GOOD[:-1] + b', "outputFilter": [1]}', JSON, 400, "outputFilter[0] should be a string, not 1"),
    ],
)
async def test_bad_requests_are_answered_in_its_own_shape(
    apps: Apps, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    reply = await apps.of_model(models.identity()).request("POST", PATH, body, headers)
    answer = cast("JsonObject", reply.json())
    assert reply.status == status
    assert answer["error_code"] == status
    assert said in str(answer["error_message"])


async def test_other_methods_and_actions(apps: Apps) -> None:
    client = apps.of_model(models.identity())
    reply = await client.request("GET", PATH)
    assert (reply.status, cast("JsonObject", reply.json())["error_code"]) == (405, 405)
    assert (await client.request("POST", PATH.replace("predict", "classify"), GOOD, JSON)).status == 501
    assert (await client.request("POST", "/v1/models/a/b:predict", GOOD, JSON)).status == 404


async def test_an_output_that_no_tensor_can_hold(apps: Apps) -> None:
    client = apps.of_model(models.classifier())
    inputs: JsonObject = {"features": {"dims": ["1", "2"], "dataType": 1, "floatData": [0, 1]}}
    reply = await client.request("POST", PATH, json.dumps({"inputs": inputs}).encode(), JSON)
    assert reply.status == 501
    assert "leave it out by outputFilter" in reply.body.decode()
    body = json.dumps({"inputs": inputs, "outputFilter": ["label"]}).encode()
    assert (await client.request("POST", PATH, body, JSON)).status == 200


# Conversions, against ONNX's own classes


def element(name: str) -> Element:
    return next(item for item in ELEMENTS if item.name == name)


def port(item: Element, dimensions: int) -> Port:
    return Port(name="x", type=item.onnx, shape=(None,) * dimensions)


TENSOR_ELEMENTS = [item for item in ELEMENTS if item.name not in ("string", "bfloat16")]


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Element, Array]:
    item = draw(st.sampled_from(TENSOR_ELEMENTS))
    array = draw(hnp.arrays(item.storage, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)))
    return item, array


@UNHURRIED
@given(tensors(), st.booleans())
def test_onnx_reads_what_is_written(drawn: tuple[Element, Array], raw: bool) -> None:
    item, array = drawn
    proto = TensorProto.FromString(wire.write_tensor(from_array(array, item, raw=raw)))
    assert proto.data_type == item.number
    np.testing.assert_array_equal(numpy_helper.to_array(proto), array)


@UNHURRIED
@given(tensors())
def test_what_onnx_writes_is_read(drawn: tuple[Element, Array]) -> None:
    item, array = drawn
    message = wire.read_tensor(numpy_helper.from_array(array).SerializeToString())
    np.testing.assert_array_equal(to_array(message, port(item, array.ndim)), array)


@UNHURRIED
@given(tensors(), st.booleans())
def test_a_tensor_survives_json(drawn: tuple[Element, Array], raw: bool) -> None:
    item, array = drawn
    written = tensor_json.write_response({"x": from_array(array, item, raw=raw)})["outputs"]
    body = cast("Json", json.loads(json.dumps({"inputs": written})))
    got = to_array(tensor_json.read_request(body).inputs["x"], port(item, array.ndim))
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)


@UNHURRIED
@given(st.lists(st.text(), max_size=4))
def test_text_survives_both(words: list[str]) -> None:
    item = element("string")
    array: NDArray[np.object_] = np.array(words, np.object_)
    message = from_array(array, item, raw=True)
    proto = TensorProto.FromString(wire.write_tensor(message))
    assert [word.decode() for word in proto.string_data] == words
    body: Json = {"inputs": tensor_json.write_response({"x": message})["outputs"]}
    assert to_array(tensor_json.read_request(body).inputs["x"], port(item, 1)).tolist() == words


def test_packed_and_unpacked_numbers_are_read() -> None:
    packed = b"\x0a\x02\x01\x02\x10\x07\x3a\x02\x05\x06"
    unpacked = b"\x08\x01\x08\x02\x10\x07\x38\x05\x38\x06"
    for body in (packed, unpacked, unpacked + b"\x62\x03doc\xf8\x07\x01"):
        message = wire.read_tensor(body)
        assert (list(message.dims), message.number, list(message.int64s)) == ([1, 2], 7, [5, 6])


@UNHURRIED
@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        request = wire.read_request(data)
    except Refusal as refusal:
        assert refusal.status == 400  # noqa: PT017 - either way is right, nothing else is
        return
    for message in request.inputs.values():
        assert isinstance(message, TensorMessage)


json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inputs", "x", "dims", "dataType", "rawData", "floatData", "int64Data", "outputFilter"]),
            inner,
        )
    ),
    max_leaves=15,
)


@UNHURRIED
@given(json_values)
def test_any_json_is_a_request_or_refused(value: Json) -> None:
    wanted = port(element("float32"), 1)
    try:
        arrays = native.feeds(tensor_json.read_request(value), [wanted])
    except Refusal as refusal:
        assert refusal.status == 400  # noqa: PT017 - either way is right, nothing else is
        return
    assert arrays["x"].dtype == np.float32
