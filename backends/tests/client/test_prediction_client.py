"""Scoring over gRPC: what is sent, what is said of what comes back, at a server of the test's own."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

from windtunnel.errors import InvalidInput, InvalidSpec, ScoringFailed
from windtunnel.interface import Endpoint, Protocol
from windtunnel.payloads import payload_of
from windtunnel.prediction.client import ROUTE, PredictionClient
from windtunnel.prediction.predict_pb2 import PredictRequest, PredictResponse, Tensor, TensorShape
from windtunnel.prediction.tensors import arrays_of, json_of, request_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Callable[[PredictRequest, grpc.ServicerContext], PredictResponse]
    Serve = Callable[[Answer], str]

PNG = b"\x89PNG\r\n\x1a\nand so on"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server of Predict; gives the scoring URI."""
    servers: list[grpc.Server] = []

    def start(answer: Answer) -> str:
        def predict(content: bytes, context: grpc.ServicerContext) -> bytes:
            context.send_initial_metadata((("request_id", "wing-1"),))
            return answer(PredictRequest.FromString(content), context).SerializeToString()

        handler = grpc.method_handlers_generic_handler(
            "tensorflow.serving.PredictionService", {"Predict": grpc.unary_unary_rpc_method_handler(predict)}
        )
        server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"http://127.0.0.1:{port}/"

    yield start
    for server in servers:
        server.stop(None).wait()


def client_of(uri: str, key: str | None = None) -> PredictionClient:
    return PredictionClient(
        Endpoint(scoring_uri=uri, swagger_uri="", key=key, protocol=Protocol.GRPC, service="wings"), timeout_s=5
    )


def floats(*values: float) -> Tensor:
    import numpy as np

    content = np.array(values, "<f4").tobytes()
    return Tensor(dtype=1, tensor_shape=TensorShape(dim=[TensorShape.Dim(size=len(values))]), tensor_content=content)


def test_data_is_sent_as_images_with_route_and_key_and_the_one_output_comes_back(serve: Serve) -> None:
    seen: list[dict[str, str]] = []

    def answer(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        seen.append({k: str(v) for k, v in context.invocation_metadata()})
        context.set_trailing_metadata((("x-fpga-sim-npu-us", "31"),))
        return PredictResponse(outputs={"scores": request.inputs["images"]})

    client = client_of(serve(answer), key="k" * 32)
    found = client.score(b'{"data": [[1, 2.5]]}')
    assert (found.status, found.json()) == (200, [[1.0, 2.5]])
    assert (found.headers["request_id"], found.headers["x-fpga-sim-npu-us"]) == ("wing-1", "31")
    assert seen[0][ROUTE] == "/api/v1/service/wings"
    assert seen[0]["authorization"] == f"Bearer {'k' * 32}"
    client.close()


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 400),
        (grpc.StatusCode.UNAUTHENTICATED, 401),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 503),
        (grpc.StatusCode.INTERNAL, 502),
    ],
)
def test_a_refusal_is_the_http_status_that_means_the_same(serve: Serve, status: grpc.StatusCode, meaning: int) -> None:
    def answer(_request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        context.abort(status, "not so")

    found = client_of(serve(answer)).score(b'{"data": [1]}')
    assert found.status == meaning
    assert found.json() == {"message": "not so", "status": status.name}
    assert found.headers["request_id"] == "wing-1"


def test_nobody_there_is_said_with_the_uri() -> None:
    client = client_of("http://127.0.0.1:1/")
    assert client.alive() is False
    with pytest.raises(ScoringFailed, match=r"http://127\.0\.0\.1:1/ cannot be reached"):
        client.score(b'{"data": [1]}')


def test_a_uri_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidSpec):
        client_of("127.0.0.1:50051")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"wings", "neither JSON nor a picture"),
        (b"[1]", "not an object"),
        (b"{}", "no 'data'"),
        (b'{"data": [[1], [1, 2]]}', "no array of numbers"),
        (b'{"data": "wings"}', "no array of numbers"),
        (b'{"inputs": {"a": {"b": 1}}}', "'a' is no array"),
    ],
)
def test_input_that_no_tensor_can_be_made_of_is_refused_before_it_is_sent(body: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        request_of(body)


def test_inputs_have_their_names_and_pictures_go_as_they_are() -> None:
    named = request_of(b'{"inputs": {"left": [1], "right": [[2]]}}')
    assert sorted(named.inputs) == ["left", "right"]
    assert payload_of(PNG, "cat.png") == PNG
    picture = request_of(PNG).inputs["images"]
    assert (picture.dtype, list(picture.string_val)) == (7, [PNG])


def test_several_outputs_come_by_name() -> None:
    response = PredictResponse(outputs={"a": floats(1.0), "b": floats(2.0, 3.0)})
    assert json.loads(json.dumps(json_of(arrays_of(response)))) == {"a": [1.0], "b": [2.0, 3.0]}


def test_an_output_that_is_no_tensor_is_said() -> None:
    broken = Tensor(dtype=1, tensor_shape=TensorShape(dim=[TensorShape.Dim(size=2)]), tensor_content=b"1234")
    with pytest.raises(ScoringFailed, match="'a'"):
        arrays_of(PredictResponse(outputs={"a": broken}))
