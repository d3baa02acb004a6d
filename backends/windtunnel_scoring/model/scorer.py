"""An ONNX model as a scorer: the plain JSON form, and ONNX Runtime Server's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from windtunnel_scoring import current
from windtunnel_scoring.asgi import json_response
from windtunnel_scoring.errors import Refusal
from windtunnel_scoring.model import body, native, schema
from windtunnel_scoring.model.from_json import expectation
from windtunnel_scoring.model.runtime import InputMismatch
from windtunnel_scoring.model.watchdog import Watchdog
from windtunnel_scoring.payload import query_values, text_body
from windtunnel_scoring.scorer import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_scoring.asgi import Request, Response
    from windtunnel_scoring.jsontypes import Json
    from windtunnel_scoring.model.elements import Array
    from windtunnel_scoring.model.native import Form
    from windtunnel_scoring.model.runtime import Output, Port, Session


class Collection(Protocol):
    """Who sees inputs and outputs; never raises and never waits."""

    def observe(self, inputs: Mapping[str, Array], outputs: Mapping[str, Output]) -> None: ...


class ModelScorer:
    """One loaded model; may be called from several threads."""

    methods = frozenset(("GET", "POST"))

    def __init__(self, session: Session, *, timeout_ms: int, collection: Collection | None = None) -> None:
        self._session = session
        self._collection = collection
        self._timeout_ms = timeout_ms
        self._watchdog = Watchdog()
        self.description = schema.describe(session.inputs, session.outputs)

    def owns(self, path: str) -> bool:
        return native.owns(path)

    def owned_failure(self, status: int, message: str) -> Response:
        return native.failure(status, message)

    def score(self, request: Request) -> Outcome:
        current.request_id.set(request.headers.get("x-request-id") or current.NO_ID)
        if native.owns(request.path):
            return self._native(request, native.request_form(request))
        if request.method == "POST" and request.headers.media_type in native.PROTOBUF_TYPES:
            return self._native(request, "protobuf")
        value = self._body(request)
        if native.is_native(value, self._session.inputs):
            return self._native(request, "json")
        feeds = body.feeds(value, self._session.inputs)
        outputs, elapsed_ms = self._run(feeds, self._session.outputs)
        response = json_response(200, body.answer(outputs, self._session.outputs))
        return Outcome(response=response, elapsed_ms=elapsed_ms)

    def _native(self, request: Request, form: Form) -> Outcome:
        media_type = native.response_type(request, form)
        predict = native.read(request, form)
        feeds = native.feeds(predict, self._session.inputs)
        ports = native.outputs(predict, self._session.outputs)
        outputs, elapsed_ms = self._run(feeds, ports)
        return Outcome(response=native.answer(predict, outputs, ports, media_type), elapsed_ms=elapsed_ms)

    def _body(self, request: Request) -> Json:
        if request.method == "GET":
            return query_values(request.query)
        text = text_body(request)
        if text:
            return body.parse(text)
        usage = body.usage(self._session.inputs)
        if request.body:
            raise Refusal(
                400,
                f"the body arrived empty, because Content-Type {request.headers.media_type} makes it a form"
                f" (curl's default with -d): send Content-Type: application/json and {usage}",
            )
        raise Refusal(400, f"the body is empty: send {usage}")

    def _run(self, feeds: Mapping[str, Array], ports: Sequence[Port]) -> tuple[list[Output], float]:
        names = [port.name for port in ports]
        started = time.perf_counter()
        try:
            outputs = self._session.run(feeds, names, watchdog=self._watchdog, timeout_ms=self._timeout_ms)
        except InputMismatch as error:
            given = ", ".join(f"{name!r} of shape {list(array.shape)}" for name, array in feeds.items())
            wanted = ", ".join(map(expectation, self._session.inputs))
            raise Refusal(400, f"the model could not compute with {given} ({wanted}): {error}") from error
        elapsed_ms = (time.perf_counter() - started) * 1000
        if self._collection is not None:
            self._collection.observe(feeds, dict(zip(names, outputs, strict=True)))
        return outputs, elapsed_ms
