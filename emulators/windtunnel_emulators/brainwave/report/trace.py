"""The time line as a Chrome trace (chrome://tracing, Perfetto): a request's phases, the NPU's layers, its units."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.analysis import Analysis
    from windtunnel_emulators.brainwave.jsontypes import Json, JsonObject

_REQUEST, _NPU = 1, 2
_LANES = ("network", "cpu", "pcie", "npu")
_EVENTS_LIMIT = 20_000


def trace(analysis: Analysis) -> JsonObject:
    """Times in microseconds, all of them a model's."""
    events: list[Json] = [_name("process_name", _REQUEST, 0, "request (model)")]
    events += [_name("thread_name", _REQUEST, index, lane) for index, lane in enumerate(_LANES)]
    events += [
        _name("process_name", _NPU, 0, f"{analysis.device.name} (model)"),
        _name("thread_name", _NPU, 0, "layers"),
    ]
    units: dict[str, int] = {}
    cycle = 1 / analysis.device.mhz.value
    now = 0.0
    parts = iter(analysis.parts)
    for phase in analysis.timeline.phases:
        length = phase.ms * 1000
        events.append(
            _event(phase.name, _REQUEST, _LANES.index(phase.where.value), now, length, {"assumed": phase.assumed})
        )
        if phase.where.value == "npu":
            part = next(parts)
            for time in part.layers:
                about: JsonObject = {
                    "op": time.layer.op,
                    "tiles": time.layer.tiles,
                    "bound_by": time.bound.value,
                    "stall_cycles": round(time.stall, 1),
                }
                events.append(_event(time.layer.name, _NPU, 0, now + time.start * cycle, time.cycles * cycle, about))
            for event in part.events[:_EVENTS_LIMIT]:
                if event.unit not in units:
                    units[event.unit] = len(units) + 1
                    events.append(_name("thread_name", _NPU, units[event.unit], event.unit))
                length_us = (event.end - event.start) * cycle
                events.append(
                    _event(event.chain, _NPU, units[event.unit], now + event.start * cycle, length_us, {"op": event.op})
                )
        now += length
    return {"displayTimeUnit": "ms", "otherData": {"source": "model"}, "traceEvents": events}


def _event(name: str, process: int, thread: int, start: float, length: float, about: JsonObject) -> JsonObject:
    return {
        "name": name,
        "ph": "X",
        "pid": process,
        "tid": thread,
        "ts": round(start, 3),
        "dur": round(length, 3),
        "args": about,
    }


def _name(kind: str, process: int, thread: int, name: str) -> JsonObject:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
