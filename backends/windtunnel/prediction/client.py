"""``PredictionClient``: one service over gRPC, used as ``ScoringClient`` is over HTTP.

gRPC's statuses are given as the HTTP statuses that mean the same, so that whoever scores need not know which it was.
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from windtunnel.errors import InvalidSpec, MissingExtra, ScoringFailed
from windtunnel.scoring_client import TIMEOUT_S, Answer

if TYPE_CHECKING:
    import grpc

    from windtunnel.interface import Endpoint

METHOD = "/tensorflow.serving.PredictionService/Predict"
ROUTE = "x-ms-aml-grpc-service-route"
_OTHER_METHOD = "/tensorflow.serving.PredictionService/GetModelMetadata"
_LARGEST = 1 << 30
_STATUSES = {"INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401, "UNIMPLEMENTED": 404, "RESOURCE_EXHAUSTED": 503}
"""Everything else that the service itself says is a 502."""
_UNREACHABLE = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})


class PredictionClient:
    """Raises ``ScoringFailed`` when the service cannot be reached."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float = TIMEOUT_S) -> None:
        self.endpoint = endpoint
        self._url = urlsplit(endpoint.scoring_uri)
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise InvalidSpec(f"{endpoint.scoring_uri!r} is no URL that could be called")
        self._timeout_s = timeout_s
        self._channel: grpc.Channel | None = None

    def score(self, body: bytes, *, content_type: str = "application/json") -> Answer:
        """``{"data": [...]}`` or a picture; the answer's body is JSON. Raises ``InvalidInput``."""
        from windtunnel.prediction.predict_pb2 import PredictResponse
        from windtunnel.prediction.tensors import arrays_of, json_of, request_of

        answer = self._call(METHOD, request_of(body).SerializeToString(), self._timeout_s)
        if answer.status != 200:
            return answer
        outputs = arrays_of(PredictResponse.FromString(answer.body))
        return Answer(status=200, headers=answer.headers, body=json.dumps(json_of(outputs)).encode())

    def alive(self) -> bool:
        """Whether something answers that speaks this protocol: it has no method for health, and says so."""
        try:
            return "request_id" in self._call(_OTHER_METHOD, b"", self._timeout_s).headers
        except ScoringFailed:
            return False

    def _call(self, method: str, message: bytes, timeout_s: float) -> Answer:
        import grpc

        if self._channel is None:
            self._channel = self._open()
        metadata = {ROUTE: f"/api/v1/service/{self.endpoint.service or ''}"}
        if self.endpoint.key is not None:
            metadata["authorization"] = f"Bearer {self.endpoint.key}"
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        try:
            content, done = call.with_call(message, timeout=timeout_s, metadata=tuple(metadata.items()))
        except grpc.RpcError as failed:
            # Every error of a call is a call as well (gRPC's documentation of RpcError); the types do not say so.
            error = cast("grpc.Call", failed)
            status = error.code().name
            if status in _UNREACHABLE:
                self.close()
                raise self._unreachable(error.details() or status) from failed
            headers = {**_texts(error.initial_metadata()), **_texts(error.trailing_metadata()), "grpc-status": status}
            said = json.dumps({"message": error.details(), "status": status})
            return Answer(status=_STATUSES.get(status, 502), headers=headers, body=said.encode())
        headers = {**_texts(done.initial_metadata()), **_texts(done.trailing_metadata())}
        return Answer(status=200, headers=headers, body=content)

    def _open(self) -> grpc.Channel:
        try:
            import grpc
        except ModuleNotFoundError as error:
            raise MissingExtra("scoring over gRPC", "fpga", "grpcio") from error
        host = self._url.hostname or ""
        secure = self._url.scheme == "https"
        address = self.endpoint.address or host
        where = f"{f'[{address}]' if ':' in address else address}:{self._url.port or (443 if secure else 80)}"
        options: list[tuple[str, str | int]] = [("grpc.max_receive_message_length", _LARGEST)]
        if _is_loopback(address):
            options.append(("grpc.enable_http_proxy", 0))
        if not secure:
            return grpc.insecure_channel(where, options)
        # The certificate is for the name, whatever address is connected to.
        options.append(("grpc.ssl_target_name_override", host))
        trusted = self.endpoint.certificate.encode() if self.endpoint.certificate is not None else None
        return grpc.secure_channel(where, grpc.ssl_channel_credentials(trusted), options)

    def _unreachable(self, why: str) -> ScoringFailed:
        return ScoringFailed(
            f"the service at {self.endpoint.scoring_uri} cannot be reached: {why}",
            way_out="Look at its state and its log: `windtunnel show`, `windtunnel logs`.",
        )

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _texts(metadata: object) -> dict[str, str]:
    """gRPC gives pairs, or None where there is no metadata."""
    pairs = cast("tuple[tuple[object, object], ...]", metadata if isinstance(metadata, tuple) else ())
    return {str(key): str(value) for key, value in pairs}
