"""``MethodClient``: predictions of an IoT Edge module, by its direct method ``score`` and the API of its hub.

The answer is what the scoring server would answer: its status and its body. A module that cannot be reached, and a
hub that refuses, are no answers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from windtunnel.errors import InvalidInput, ScoringFailed
from windtunnel.iothub_errors import said_of
from windtunnel.jsontypes import as_object
from windtunnel.scoring_client import TIMEOUT_S, Answer, ScoringClient

if TYPE_CHECKING:
    from windtunnel.interface import Endpoint
    from windtunnel.jsontypes import Json, JsonObject

METHOD = "score"
API_VERSION = "2021-04-12"
LIMIT = 128 * 1024
"""Bytes of a payload, either way."""
_RESPONSE_S, _CONNECT_S = 30, 10


class MethodClient:
    """Not for several threads at once. Raises ``ScoringFailed`` when the module cannot be reached."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float = TIMEOUT_S) -> None:
        self.endpoint = endpoint
        self._http = ScoringClient(endpoint, timeout_s=timeout_s)
        self._path = f"{urlsplit(endpoint.scoring_uri).path}?api-version={API_VERSION}"

    def score(self, body: bytes, *, content_type: str = "application/json") -> Answer:
        """What is JSON is given to the module as JSON, anything else as text. Raises ``InvalidInput``."""
        del content_type
        if len(body) > LIMIT:
            raise InvalidInput(f"the input has {len(body)} bytes; a direct method of IoT Edge carries {LIMIT} at most")
        status, payload = self._call(_payload_of(body))
        return Answer(status=status, headers={}, body=json.dumps(payload).encode())

    def _call(self, payload: Json) -> tuple[int, Json]:
        request: JsonObject = {
            "methodName": METHOD,
            "payload": payload,
            "responseTimeoutInSeconds": _RESPONSE_S,
            "connectTimeoutInSeconds": _CONNECT_S,
        }
        headers = {"Content-Type": "application/json", "Authorization": self.endpoint.key or ""}
        answer = self._http.request("POST", self._path, json.dumps(request).encode(), headers)
        if answer.status == 401:
            return 401, {"message": said_of(answer.text(2000), "Unauthorized")[1]}
        if answer.status != 200:
            code, said = said_of(answer.text(2000), "no reason given")
            number = f", {code}" if code else ""
            if answer.status == 504:
                raise ScoringFailed(
                    f"the module at {self.endpoint.scoring_uri} did not answer within {_RESPONSE_S} s"
                    f" ({answer.status}{number}): {said}",
                    status=answer.status,
                    body=answer.text(2000),
                    way_out="Give it less at once, or send it messages (--source), which wait as long as it takes; its"
                    " log says what it does: `windtunnel logs`.",
                )
            raise ScoringFailed(
                f"the module at {self.endpoint.scoring_uri} cannot be reached ({answer.status}{number}): {said}",
                status=answer.status,
                body=answer.text(2000),
                way_out="Look at its state and its log: `windtunnel show`, `windtunnel logs`; and whether its device is"
                " connected to the hub.",
            )
        found = as_object(answer.json())
        status = found.get("status")
        return status if isinstance(status, int) else 0, found.get("payload")

    def alive(self) -> bool:
        """Whether the module answers anything at all."""
        try:
            self._call({})
        except ScoringFailed:
            return False
        return True

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._http.close()


def _payload_of(body: bytes) -> Json:
    text = body.decode("utf-8", "replace")
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    # A module takes text as the body itself, so JSON that is text stays as it is written.
    return text if isinstance(value, str) or value is None else value
