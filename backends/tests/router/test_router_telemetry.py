"""What a router exports of the requests of services that ask for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.router.conftest import Town
    from windtunnel_scoring.asgi import Headers
    from windtunnel_scoring.record import RequestRecord


class RecordingSpan:
    def __init__(self, records: list[tuple[str, RequestRecord]], url: str) -> None:
        self._records = records
        self._url = url

    def headers(self) -> tuple[tuple[str, str], ...]:
        return (("traceparent", f"00-{'1' * 32}-{'2' * 16}-01"),)

    def enter(self) -> None:
        """Nothing is logged here."""

    def data(self, given: bytes, answered: bytes) -> None:
        raise AssertionError("a router exports no inputs")

    def end(self, record: RequestRecord) -> None:
        self._records.append((self._url, record))


class RecordingTelemetry:
    """Remembers what was ended."""

    def __init__(self) -> None:
        self.records: list[tuple[str, RequestRecord]] = []

    def begin(self, method: str, url: str, headers: Headers) -> RecordingSpan:
        return RecordingSpan(self.records, url)

    def capture_output(self) -> None:
        """Nothing is printed here."""


async def test_requests_are_exported_once_with_service_version_and_replica(town: Town) -> None:
    telemetry = RecordingTelemetry()
    await town.service(app_insights_enabled=True)
    await town.service(name="quiet")
    replica = await town.replica("a")
    await town.replica("q", service="quiet", version="quiet")
    await town.router(telemetry=telemetry)
    await town.ready(1)
    await town.ready(1, version="quiet", name="quiet")
    await town.score(path="score?a=1", traceparent=f"00-{'3' * 32}-{'4' * 16}-00")
    await town.score(authorization="Bearer wrong")
    await town.score(name="quiet")
    assert [(record.status, record.version, record.replica) for _, record in telemetry.records] == [
        (200, "svc", "a"),
        (401, "", ""),
    ]
    assert telemetry.records[0][0] == "http://router/api/v1/service/svc/score?a=1"
    assert replica.requests[0][1]["traceparent"].startswith("00-1111")


async def test_without_telemetry_traceparent_passes_as_it_is(town: Town) -> None:
    await town.service(app_insights_enabled=True)
    replica = await town.replica("a")
    await town.router()
    await town.ready(1)
    given = f"00-{'3' * 32}-{'4' * 16}-00"
    await town.score(traceparent=given, tracestate="vendor=1")
    assert replica.requests[0][1]["traceparent"] == given
    assert replica.requests[0][1]["tracestate"] == "vendor=1"
    assert re.fullmatch("[0-9a-f-]{36}", replica.requests[0][1]["x-request-id"])
