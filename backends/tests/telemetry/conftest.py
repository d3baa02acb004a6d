"""What the tests of telemetry share: a pipeline into a file, and what is in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_scoring.telemetry.pipeline import Pipeline
from windtunnel_scoring.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Exported:
    """What a file of OTLP JSON lines holds."""

    spans: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    logs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    resources: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def attributes(record: dict[str, Any]) -> dict[str, Any]:
    """Names and plain values."""
    return {pair["key"]: next(iter(pair["value"].values())) for pair in record.get("attributes", [])}


def read(path: Path) -> Exported:
    """All lines, with ``attributes`` as plain values."""
    found = Exported()
    for line in path.read_text("utf-8").splitlines():
        value = json.loads(line)
        for kind, inner, name, into in (
            ("resourceSpans", "scopeSpans", "spans", found.spans),
            ("resourceLogs", "scopeLogs", "logRecords", found.logs),
        ):
            for resource in value.get(kind, []):
                found.resources.append(attributes(resource["resource"]))
                for scope in resource[inner]:
                    into += [{**record, "attributes": attributes(record)} for record in scope[name]]
    return found


@pytest.fixture(name="read")
def read_fixture() -> Callable[[Path], Exported]:
    """Reads a file of OTLP JSON lines."""
    return read


class Telemetered:
    """A pipeline that writes into a file."""

    def __init__(self, path: Path, **settings: bool) -> None:
        self._path = path
        given = {"file_traces": True, "file_logs": True, **settings}
        self.pipeline = Pipeline(TelemetrySettings(service_name="svc", file=path, **given))

    def exported(self) -> Exported:
        self.pipeline.flush()
        return read(self._path)


@pytest.fixture
def telemetered(tmp_path: Path) -> Iterator[Callable[..., Telemetered]]:
    """Makes pipelines."""
    made: list[Telemetered] = []

    def make(**settings: bool) -> Telemetered:
        made.append(Telemetered(tmp_path / f"telemetry-{len(made)}.jsonl", **settings))
        return made[-1]

    yield make
    for each in made:
        each.pipeline.close()
