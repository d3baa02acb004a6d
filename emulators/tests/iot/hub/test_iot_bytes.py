"""JSON from outside that is none: bytes that are no text, and nesting without end, are refused like any other."""

from __future__ import annotations

import pytest

from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.hub.methods import read_payload
from windtunnel_emulators.iot.hub.publications import Report, request
from windtunnel_emulators.iot.service.access import Caller
from windtunnel_emulators.iot.service.requests import Request

BAD = (b'{"a":"\xff"}', b'{"\xff":1}', b'{"a":' * 100_000, b"{", b"\xff")


@pytest.mark.parametrize("body", BAD)
def test_a_reported_patch(body: bytes) -> None:
    report = request("$iothub/twin/PATCH/properties/reported/?$rid=1", body)
    assert isinstance(report, Report)
    with pytest.raises(HubError, match="The patch is not a JSON object") as refused:
        report.patch()
    assert refused.value.status == 400


@pytest.mark.parametrize("body", BAD)
def test_the_answer_of_a_method(body: bytes) -> None:
    assert read_payload(body) == body.decode("utf-8", "replace")


@pytest.mark.parametrize("body", BAD)
def test_the_body_of_a_request(body: bytes) -> None:
    asked = Request(method="PUT", segments=(), parameters={}, query={}, headers={}, body=body, caller=Caller())
    with pytest.raises(HubError, match="The body of the request is no JSON") as refused:
        asked.object()
    assert refused.value.status == 400
