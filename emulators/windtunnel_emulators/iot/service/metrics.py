"""Metrics of configurations: queries whose rows are counted. Those of the system are the service's, word for word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.query.query import Collection
from windtunnel_emulators.iot.service import collections, jobs
from windtunnel_emulators.iot.service.targeting import EDGE, MODULE

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.configurations import Configuration
    from windtunnel_emulators.iot.hub.hub import Hub

_REPORTED = " and properties.desired.$version = properties.reported.lastDesiredVersion"


def system_queries(configuration: Configuration) -> dict[str, str]:
    """How many are targeted and applied; of edge devices, how many agents have reported success and failure."""
    status = f"configurations.[[{configuration.id}]].status = 'Applied'"
    if configuration.kind != EDGE:
        source = "devices.modules" if configuration.kind == MODULE else "devices"
        return {
            "targetedCount": _targeted(configuration, source),
            "appliedCount": f"{_select(source)} where {status}",
        }
    applied = f"{_select('devices.modules')} where moduleId = '$edgeAgent' and {status}"
    reported = f"{applied}{_REPORTED} and properties.reported.lastDesiredStatus.code"
    return {
        "targetedCount": _targeted(configuration, "devices"),
        "appliedCount": applied,
        "reportedSuccessfulCount": f"{reported} = 200",
        "reportedFailedCount": f"{reported} != 200",
    }


def count(hub: Hub, text: str) -> int:
    """How many rows a query has; it was checked when the configuration was made."""
    query = collections.read_query(text)
    if query.source is Collection.JOBS:
        documents = [document for _, document in jobs.each_document(hub) if query.takes(document)]
    else:
        documents = [document for _, document in collections.found(hub, query)]
    rows = sum(1 for _ in query.grouped(documents)) if query.is_grouped else len(documents)
    return rows if query.top is None else min(rows, query.top)


def _targeted(configuration: Configuration, source: str) -> str:
    condition = collections.condition_text(configuration.condition)
    if configuration.kind == EDGE:
        edge = f"{_select(source)} where capabilities.iotEdge = true"
        return edge if condition == "*" else f"{edge} and ({condition or 'false'})"
    query = _select(source)
    return query if condition == "*" else f"{query} where {condition or 'false'}"


def _select(source: str) -> str:
    return f"select deviceId from {source}"  # noqa: S608 (IoT Hub's language, not SQL; the source is a constant)
