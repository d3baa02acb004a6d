"""The prediction service over real gRPC: both generations of clients, keys, queue, and every kind of bad input."""

from __future__ import annotations

import datetime
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import grpc
import numpy as np
import onnx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from windtunnel_emulators.brainwave.errors import BadModel
from windtunnel_emulators.brainwave.numerics import Numerics, preset
from windtunnel_emulators.brainwave.numerics.reference import quantise
from windtunnel_emulators.brainwave.service import tensors
from windtunnel_emulators.brainwave.service.accelerated import Accelerated
from windtunnel_emulators.brainwave.service.predict_pb2 import PredictRequest, PredictResponse, Tensor, TensorShape
from windtunnel_emulators.brainwave.service.refusals import Refused, Status
from windtunnel_emulators.brainwave.service.replicas import MOST_WAITING, Replicas
from windtunnel_emulators.brainwave.service.server import ROUTE, PredictionServer
from windtunnel_emulators.brainwave.service.settings import Pace, Settings, Tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GA = {ROUTE: "/api/v1/service/wings"}
KEYS = ("p" * 32, "s" * 32)
LIMIT_S = 20.0


@dataclass(frozen=True)
class Answered:
    """An answer or a refusal."""

    status: str
    details: str
    initial: Mapping[str, str]
    trailing: Mapping[str, str]
    outputs: Mapping[str, NDArray[np.generic]]


class Client:
    """A channel, and requests as TensorFlow's clients make them."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def predict(
        self, metadata: Mapping[str, str] | None = None, wanted: Sequence[str] = (), /, **inputs: Tensor
    ) -> Answered:
        """One tensor for each name; ``__`` in a name is a colon."""
        named = {name.replace("__", ":"): tensor for name, tensor in inputs.items()}
        request = PredictRequest(inputs=named, output_filter=wanted)
        return self.call(PREDICT, request.SerializeToString(), metadata or {})

    def call(self, method: str, content: bytes, metadata: Mapping[str, str]) -> Answered:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        try:
            body, done = call.with_call(content, timeout=LIMIT_S, metadata=tuple(metadata.items()))
        except grpc.RpcError as failed:
            error = cast("grpc.Call", failed)
            return Answered(error.code().name, error.details() or "", _texts(error.initial_metadata()), {}, {})
        response = PredictResponse.FromString(body)
        outputs = {name: np.asarray(tensors.read(tensor, name)) for name, tensor in response.outputs.items()}
        return Answered("OK", "", _texts(done.initial_metadata()), _texts(done.trailing_metadata()), outputs)


def _texts(metadata: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in cast("tuple[tuple[object, object], ...]", metadata or ())}


class Serve(Protocol):
    def __call__(self, model: onnx.ModelProto, **changes: object) -> Client: ...


@pytest.fixture
def lines() -> list[str]:
    """The service's log."""
    return []


@pytest.fixture
def serve(tmp_path: Path, lines: list[str]) -> Iterator[Serve]:
    """Serves models until the end of the test."""
    made: list[tuple[PredictionServer, grpc.Channel]] = []

    def serve_(model: onnx.ModelProto, **changes: object) -> Client:
        path = tmp_path / f"model{len(made)}.onnx"
        path.write_bytes(model.SerializeToString())
        values: dict[str, object] = {"model_folder": tmp_path, "address": "127.0.0.1", "port": 0, **changes}
        settings = Settings(**values)  # type: ignore[arg-type]  # the tests' own business
        server = PredictionServer(Accelerated(path, settings), settings, lines.append)
        port = server.start()
        if settings.tls is None:
            channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        else:
            credentials = grpc.ssl_channel_credentials(settings.tls.certificate.encode())
            options = [("grpc.ssl_target_name_override", "wings.example")]
            channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options)
        made.append((server, channel))
        return Client(channel)

    yield serve_
    for server, channel in made:
        channel.close()
        server.stop(0)


def model_of(
    nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, Sequence[int | str]], outputs: Sequence[str], **values: object
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "wings",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims)) for name, dims in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


WEIGHTS = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
ROWS = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)


def linear(batch: int | str = "N", outputs: Sequence[str] = ("scores",)) -> onnx.ModelProto:
    """``Placeholder:0`` times constant weights; further outputs are that, negated."""
    nodes = [helper.make_node("MatMul", ["Placeholder:0", "w"], [outputs[0]])]
    nodes += [helper.make_node("Neg", [outputs[0]], [name]) for name in outputs[1:]]
    return model_of(nodes, {"Placeholder:0": [batch, 4]}, outputs, w=WEIGHTS)


def expected(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    number = preset("1s.5e.5m")
    return (quantise(rows, number).astype(np.float64) @ quantise(WEIGHTS, number, axis=0).astype(np.float64)).astype(
        np.float32
    )


# --- both generations


def test_the_preview_client_gets_one_output_called_output_alias(serve: Serve) -> None:
    answer = serve(linear(outputs=("first", "second"))).predict(images=tensors.write(ROWS))
    assert list(answer.outputs) == ["output_alias"]
    assert np.array_equal(answer.outputs["output_alias"], expected(ROWS))


def test_the_later_client_gets_all_outputs_under_their_own_names(serve: Serve) -> None:
    client = serve(linear(outputs=("first:0", "second:0")))
    for answer in (
        client.predict(GA, images=tensors.write(ROWS)),
        client.predict(GA, Placeholder__0=tensors.write(ROWS)),
        client.predict(GA, Placeholder=tensors.write(ROWS)),
    ):
        assert sorted(answer.outputs) == ["first:0", "second:0"]
        assert np.array_equal(answer.outputs["second:0"], -expected(ROWS))


def test_a_filter_of_outputs_is_kept_to(serve: Serve) -> None:
    client = serve(linear(outputs=("first:0", "second:0")))
    assert list(client.predict(GA, ["second"], images=tensors.write(ROWS)).outputs) == ["second"]
    refused = client.predict(GA, ["third"], images=tensors.write(ROWS))
    assert (refused.status, "'first:0', 'second:0'" in refused.details) == ("INVALID_ARGUMENT", True)


def test_every_answer_begins_with_a_request_id(serve: Serve) -> None:
    client = serve(linear())
    good, bad = client.predict(images=tensors.write(ROWS)), client.predict(wings=tensors.write(ROWS))
    assert good.initial["request_id"] != bad.initial["request_id"]
    given = client.predict({"x-ms-client-request-id": "wing-1"}, images=tensors.write(ROWS))
    assert given.initial["request_id"] == "wing-1"


@pytest.mark.parametrize("method", ["Classify", "Regress", "GetModelMetadata", "MultiInference", "predict"])
def test_other_methods_are_not_implemented_and_have_a_request_id_too(serve: Serve, method: str) -> None:
    answer = serve(linear()).call(f"/tensorflow.serving.PredictionService/{method}", b"", {})
    assert answer.status == "UNIMPLEMENTED"
    assert answer.initial["request_id"]


# --- what fits


def test_halves_are_taken_for_floats(serve: Serve) -> None:
    halves = ROWS.astype(np.float16)
    answer = serve(linear()).predict(images=tensors.write(halves))
    assert np.array_equal(answer.outputs["output_alias"], expected(halves.astype(np.float32)))


def test_a_model_of_one_row_answers_many(serve: Serve) -> None:
    answer = serve(linear(batch=1)).predict(images=tensors.write(ROWS))
    assert np.array_equal(answer.outputs["output_alias"], expected(ROWS))
    one = serve(linear(batch=1)).predict(images=tensors.write(ROWS[:1]))
    busy = float(answer.trailing["x-fpga-sim-npu-us"]) - float(one.trailing["x-fpga-sim-npu-us"])
    assert busy > 0


def picture(*, channels_last: bool) -> onnx.ModelProto:
    """The mean of each channel of a picture of 224 by 224, by an identity convolution and a pooling."""
    kernel = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["means"]),
    ]
    shape: list[int | str] = ["N", 3, 224, 224]
    if channels_last:
        nodes.insert(0, helper.make_node("Transpose", ["Placeholder:0"], ["x"], perm=[0, 3, 1, 2]))
        return model_of(nodes, {"Placeholder:0": ["N", 224, 224, 3]}, ["means"], k=kernel)
    return model_of(nodes, {"x": shape}, ["means"], k=kernel)


def png(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(out, "PNG")
    return out.getvalue()


def strings(*values: bytes) -> Tensor:
    return Tensor(dtype=7, tensor_shape=TensorShape(dim=[TensorShape.Dim(size=len(values))]), string_val=list(values))


@pytest.mark.parametrize("channels_last", [False, True])
def test_pictures_are_decoded_and_preprocessed(serve: Serve, channels_last: bool) -> None:
    client = serve(picture(channels_last=channels_last), numerics=Numerics.FP32)
    answer = client.predict(images=strings(png((200, 100, 0)), png((0, 0, 255))))
    means = np.array([123.68, 116.779, 103.939])
    wanted = np.array([[200, 100, 0], [0, 0, 255]]) - means
    assert np.allclose(
        np.asarray(answer.outputs["output_alias"], np.float64), wanted, atol=0.05
    )  # a sum of 50,176 float32


def test_channels_may_be_blue_first_and_scaled(serve: Serve) -> None:
    client = serve(picture(channels_last=False), numerics=Numerics.FP32, order="BGR", scaling=0.017)
    answer = client.predict(images=strings(png((200, 100, 0))))
    wanted = (np.array([0, 100, 200]) - np.array([103.939, 116.779, 123.68])) * 0.017
    assert np.allclose(np.asarray(answer.outputs["output_alias"], np.float64), wanted, atol=1e-3)


def test_a_float_picture_may_have_its_channels_last(serve: Serve) -> None:
    client = serve(picture(channels_last=False), numerics=Numerics.FP32)
    pixels = np.zeros((1, 224, 224, 3), np.float32)
    pixels[..., 1] = 7
    assert np.allclose(
        np.asarray(client.predict(images=tensors.write(pixels)).outputs["output_alias"], float), [0, 7, 0]
    )


# --- what does not


BAD: list[tuple[str, dict[str, Tensor], str]] = [
    ("name", {"wings": tensors.write(ROWS)}, "no input 'wings'. It has: 'Placeholder:0' float32[N,4]"),
    ("nothing", {}, "lacks input 'Placeholder:0'"),
    ("twice", {"images": tensors.write(ROWS), "Placeholder:0": tensors.write(ROWS)}, "given twice"),
    ("double", {"images": tensors.write(ROWS.astype(np.float64))}, "array.astype('float32')"),
    ("whole", {"images": tensors.write(np.ones((1, 4), np.int64))}, "elements of type int64"),
    ("width", {"images": tensors.write(ROWS[:, :3])}, "the shape [5, 3], and the model takes float32[N,4]"),
    ("rank", {"images": tensors.write(ROWS[0])}, "the shape [4]"),
    ("no rows", {"images": tensors.write(ROWS[:0])}, "no rows"),
    ("string", {"images": strings(b"wings")}, "no colour picture"),
    ("content", {"images": Tensor(dtype=1, tensor_shape=TensorShape(), tensor_content=b"123")}, "3 bytes"),
]


@pytest.mark.parametrize(("inputs", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_is_refused_for_good_with_a_sentence(serve: Serve, inputs: dict[str, Tensor], words: str) -> None:
    client = serve(linear())
    answer = client.call(PREDICT, PredictRequest(inputs=inputs).SerializeToString(), {})
    assert answer.status == "INVALID_ARGUMENT"
    assert words in answer.details
    assert answer.initial["request_id"]
    assert client.predict(images=tensors.write(ROWS)).status == "OK"


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"GET / HTTP/1.1", b"\x12\xff"])
def test_what_is_no_request_is_refused_for_good(serve: Serve, content: bytes) -> None:
    answer = serve(linear()).call(PREDICT, content, {})
    assert (answer.status, bool(answer.initial["request_id"])) == ("INVALID_ARGUMENT", True)


def test_an_oversized_message_is_refused_for_good_and_a_large_one_is_not(serve: Serve) -> None:
    client = serve(linear(), most_bytes=8 << 20)
    large = np.zeros((300_000, 4), np.float32)  # 4.8 MB: more than gRPC takes unless it is told to
    assert client.predict(images=tensors.write(large)).status == "OK"
    answer = client.predict(images=tensors.write(np.zeros((600_000, 4), np.float32)))
    assert answer.status == "INVALID_ARGUMENT"
    assert "at most 8,388,608" in answer.details
    assert answer.initial["request_id"]


def test_a_picture_that_is_none_is_refused_for_good(serve: Serve) -> None:
    answer = serve(picture(channels_last=False)).predict(images=strings(b"\x89PNG\r\n\x1a\nno"))
    assert (answer.status, "Check the file" in answer.details or "neither" in answer.details) == (
        "INVALID_ARGUMENT",
        True,
    )


def test_a_model_that_fails_is_an_error_that_may_be_tried_again(serve: Serve, lines: list[str]) -> None:
    # A reshape that only some numbers of rows can take.
    nodes = [
        helper.make_node("MatMul", ["a", "w"], ["m"]),
        helper.make_node("Reshape", ["m", "shape"], ["y"]),
    ]
    client = serve(model_of(nodes, {"a": ["N", 4]}, ["y"], w=WEIGHTS, shape=np.array([1, 3], np.int64)))
    answer = client.predict(images=tensors.write(ROWS))
    assert answer.status == "INTERNAL"
    assert answer.initial["request_id"]
    assert client.predict(images=tensors.write(ROWS[:1])).status == "OK"
    assert any("INTERNAL" in line for line in lines)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 4]}, ["y"]), "the device runs nothing"),
        (model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["N", "M"]}, ["y"], w=WEIGHTS), "is open"),
    ],
    ids=["nothing for the device", "open shape"],
)
def test_a_model_that_the_device_does_not_run_is_not_served(serve: Serve, model: onnx.ModelProto, words: str) -> None:
    with pytest.raises(BadModel, match=words):
        serve(model)


# --- keys and TLS


@pytest.fixture(scope="session")
def certificate() -> Tls:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "wings.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("wings.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Tls(certificate=made.public_bytes(serialization.Encoding.PEM).decode(), key=private.decode())


def test_either_key_is_valid_in_either_spelling_and_no_other(serve: Serve, certificate: Tls, lines: list[str]) -> None:
    client = serve(linear(), keys=KEYS, tls=certificate)
    for key in KEYS:
        for spelling in (key, f"Bearer {key}", f"bearer {key}"):
            assert client.predict({"authorization": spelling}, images=tensors.write(ROWS)).status == "OK"
    for wrong in ({}, {"authorization": "Bearer "}, {"authorization": KEYS[0][:-1]}, {"authorization": KEYS[0] + "x"}):
        answer = client.predict(wrong, images=tensors.write(ROWS))
        assert answer.status == "UNAUTHENTICATED"
        assert answer.initial["request_id"]
    assert not any(key in line for line in lines for key in KEYS)


def test_without_keys_an_empty_one_does_no_harm(serve: Serve) -> None:
    assert serve(linear()).predict({"authorization": "Bearer "}, images=tensors.write(ROWS)).status == "OK"


# --- time


def test_latency_is_told_beside_the_answer_and_in_the_log(serve: Serve, lines: list[str]) -> None:
    answer = serve(linear()).predict(images=tensors.write(ROWS))
    told = {k: v for k, v in answer.trailing.items() if k.startswith("x-fpga-sim-")}
    assert told["x-fpga-sim-source"] == "model"
    assert told["x-fpga-sim-device"] == "BW_CNN_A10"
    assert int(told["x-fpga-sim-queue-us"]) == 0
    assert int(told["x-fpga-sim-total-us"]) > int(told["x-fpga-sim-npu-us"]) > 0
    (line,) = [line for line in lines if answer.initial["request_id"] in line]
    assert f"total_us={told['x-fpga-sim-total-us']} source=model" in line


def test_in_real_time_an_answer_takes_at_least_what_the_device_would(serve: Serve) -> None:
    client = serve(linear(), pace=Pace.REALTIME, network_ms=80.0)
    start = time.monotonic()
    answer = client.predict(images=tensors.write(ROWS))
    assert time.monotonic() - start >= int(answer.trailing["x-fpga-sim-total-us"]) / 1e6 >= 0.08


def test_requests_at_once_are_all_answered_and_the_log_has_each(serve: Serve, lines: list[str]) -> None:
    client = serve(linear(), replicas=3)
    with ThreadPoolExecutor(12) as pool:
        answers = [
            f.result(LIMIT_S) for f in [pool.submit(client.predict, images=tensors.write(ROWS)) for _ in range(60)]
        ]
    assert {a.status for a in answers} == {"OK"}
    assert {a.trailing["x-fpga-sim-replica"] for a in answers} <= {"0", "1", "2"}
    assert len({a.initial["request_id"] for a in answers}) == 60


def test_a_replica_runs_one_after_the_other_in_the_order_in_which_they_came() -> None:
    replicas, gate, order = Replicas(1), threading.Event(), list[int]()

    def work(number: int) -> None:
        gate.wait(LIMIT_S)
        order.append(number)

    tickets = [replicas.submit(lambda n=n: work(n), runs=2) for n in range(5)]  # type: ignore[misc]  # defaults bind
    assert [t.ahead for t in tickets] == [0, 2, 4, 6, 8]
    gate.set()
    for ticket in tickets:
        ticket.result.result(LIMIT_S)
    assert order == [0, 1, 2, 3, 4]
    replicas.close()


def test_a_request_goes_where_it_is_served_first() -> None:
    replicas, gate = Replicas(2), threading.Event()
    runs = [5, 1, 1, 1]
    tickets = [replicas.submit(lambda: gate.wait(LIMIT_S), runs=n) for n in runs]
    assert [t.replica for t in tickets] == [0, 1, 1, 1]
    gate.set()
    replicas.close()


def test_a_queue_that_is_full_says_so_and_a_client_may_try_again() -> None:
    replicas, gate = Replicas(1), threading.Event()
    for _ in range(MOST_WAITING):
        replicas.submit(lambda: gate.wait(LIMIT_S), runs=1)
    with pytest.raises(Refused) as refused:
        replicas.submit(lambda: True, runs=1)
    assert refused.value.status is Status.RESOURCE_EXHAUSTED
    gate.set()
    replicas.close()
