"""The gRPC server: ``/tensorflow.serving.PredictionService/Predict``, and a proper refusal of everything else.

Every answer, also every refusal, begins with the metadata ``request_id``: the preview's client looks for it in what
failed, and crashes when it is not there. So requests are parsed here, and methods that do not exist are methods here:
what gRPC itself refuses carries no metadata.
"""

from __future__ import annotations

import hmac
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

import grpc
from google.protobuf.message import DecodeError

from windtunnel_emulators.brainwave.service import tensors
from windtunnel_emulators.brainwave.service.latency import Latency
from windtunnel_emulators.brainwave.service.predict_pb2 import PredictRequest, PredictResponse
from windtunnel_emulators.brainwave.service.refusals import Refused, Status
from windtunnel_emulators.brainwave.service.replicas import Replicas
from windtunnel_emulators.brainwave.service.settings import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.brainwave.service.accelerated import Accelerated
    from windtunnel_emulators.brainwave.service.settings import Settings

    Log = Callable[[str], None]

SERVICE = "tensorflow.serving.PredictionService"
ROUTE = "x-ms-aml-grpc-service-route"
_TRANSPORT_BYTES = 1 << 30
"""Beyond this gRPC refuses by itself, and without metadata."""
_CALLS = 256


class PredictionServer:
    """One service. ``port`` is where it listens once it is started."""

    def __init__(self, model: Accelerated, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._replicas = Replicas(settings.replicas)
        handler = _Handler(model, settings, self._replicas, log)
        self._server = grpc.server(
            ThreadPoolExecutor(_CALLS, thread_name_prefix="call"),
            handlers=[handler],
            options=[
                ("grpc.max_receive_message_length", _TRANSPORT_BYTES),
                ("grpc.max_send_message_length", _TRANSPORT_BYTES),
                ("grpc.so_reuseport", 0),  # a port that is taken is an error
            ],
        )
        self.port = 0

    def start(self) -> int:
        """The port. Raises ``RuntimeError`` when the address cannot be had."""
        where = f"{self._settings.address}:{self._settings.port}"
        if self._settings.tls is not None:
            pair = (self._settings.tls.key.encode(), self._settings.tls.certificate.encode())
            self.port = self._server.add_secure_port(where, grpc.ssl_server_credentials([pair]))
        else:
            self.port = self._server.add_insecure_port(where)
        self._server.start()
        return self.port

    def wait(self) -> None:
        """Until it is stopped."""
        self._server.wait_for_termination()

    def stop(self, grace_s: float) -> None:
        """No new calls; those that are there have so long."""
        self._server.stop(grace_s).wait()
        self._replicas.close()


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, model: Accelerated, settings: Settings, replicas: Replicas, log: Log) -> None:
        self._model = model
        self._settings = settings
        self._replicas = replicas
        self._log = log

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = handler_call_details.method
        if method == f"/{SERVICE}/Predict":
            return grpc.unary_unary_rpc_method_handler(self._predict)

        def unknown(_: bytes, context: grpc.ServicerContext) -> bytes:
            self._unknown(method, context)

        return grpc.unary_unary_rpc_method_handler(unknown)

    def _unknown(self, method: str, context: grpc.ServicerContext) -> NoReturn:
        _begin(context)
        refused = Refused(
            f"the service has no method {method}", status=Status.UNIMPLEMENTED, way_out=f"It has /{SERVICE}/Predict."
        )
        # Not in the log: Windtunnel asks so whether the service is there, every time that somebody looks at it.
        context.abort(grpc.StatusCode.UNIMPLEMENTED, refused.details)

    def _predict(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        request_id = _begin(context)
        started = time.monotonic()
        try:
            metadata = _metadata(context)
            self._admit(metadata)
            return self._answer(content, metadata, context, request_id, started)
        except Refused as refused:
            self._abort(refused, request_id, context)
        except Exception as problem:  # whatever onnxruntime raises; the client may try again
            self._log(f"{request_id} {type(problem).__name__}: {problem}")
            failed = Refused(f"the model failed: {str(problem).splitlines()[0][:300]}", status=Status.INTERNAL)
            self._abort(failed, request_id, context)

    def _admit(self, metadata: Mapping[str, str]) -> None:
        """Raises ``Refused`` for a caller without a key, where there are keys."""
        if not self._settings.keys:
            return
        given = metadata.get("authorization", "")
        # The later client writes Bearer before it, the samples of the preview send it bare.
        given = given[7:] if given[:7].lower() == "bearer " else given
        matches = [hmac.compare_digest(given.encode(), key.encode()) for key in self._settings.keys]
        if not any(matches):
            raise Refused(
                "the key is wrong" if given else "a key is needed",
                status=Status.UNAUTHENTICATED,
                way_out="Send one of the service's two keys as the metadata authorization.",
            )

    def _answer(
        self,
        content: bytes,
        metadata: Mapping[str, str],
        context: grpc.ServicerContext,
        request_id: str,
        started: float,
    ) -> bytes:
        if len(content) > self._settings.most_bytes:
            raise Refused(
                f"the request has {len(content):,} bytes; at most {self._settings.most_bytes:,} are taken",
                way_out="Send fewer rows at a time.",
            )
        try:
            request = PredictRequest.FromString(content)
        except DecodeError as problem:
            raise Refused("the request is no PredictRequest of TensorFlow Serving") from problem
        given = {key: tensors.read(tensor, key) for key, tensor in request.inputs.items()}
        routed = ROUTE in metadata
        # What cannot be answered is known before the device is asked.
        self._model.signature.check_wanted(request.output_filter, routed=routed)
        work = self._model.understand(given)
        ticket = self._replicas.submit(lambda: self._model.compute(work) if context.is_active() else {}, work.runs)
        outputs = ticket.result.result()
        if not outputs:
            raise Refused("the caller went away", status=Status.INTERNAL)
        latency = Latency.of(self._model.analysis, runs=work.runs, ahead=ticket.ahead)
        took = time.monotonic() - started
        if self._settings.pace is Pace.REALTIME:
            time.sleep(max(0.0, latency.total_ms / 1000 - took))
        device = self._model.analysis.device.name
        context.set_trailing_metadata((("request_id", request_id), *latency.metadata(device, ticket.replica)))
        answer = self._model.signature.answer(outputs, routed=routed, wanted=request.output_filter)
        self._log(
            f"{request_id} OK rows={work.runs} replica={ticket.replica} emulated_ms={took * 1000:.2f}"
            f" npu_us={latency.npu_ms * 1000:.0f} queue_us={latency.queue_ms * 1000:.0f}"
            f" total_us={latency.total_ms * 1000:.0f} source=model device={device}"
        )
        response = PredictResponse(outputs={name: tensors.write(array) for name, array in answer.items()})
        return response.SerializeToString()

    def _abort(self, refused: Refused, request_id: str, context: grpc.ServicerContext) -> NoReturn:
        self._log(f"{request_id} {refused.status.value} {refused.details}")
        context.abort(getattr(grpc.StatusCode, refused.status.value), refused.details)


def _begin(context: grpc.ServicerContext) -> str:
    """Send the metadata that every answer begins with."""
    given = _metadata(context).get("x-ms-client-request-id", "")
    request_id = given if 0 < len(given) <= 100 and given.isascii() and given.isprintable() else str(uuid.uuid4())
    context.send_initial_metadata((("request_id", request_id),))
    return request_id


def _metadata(context: grpc.ServicerContext) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
