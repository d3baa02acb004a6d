"""The report as one JSON document: the same input gives the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.accuracy.stated import StatedError, checked_rows, stated_error
from windtunnel_emulators.brainwave.analysis import analyse
from windtunnel_emulators.brainwave.devices import load_device, names
from windtunnel_emulators.brainwave.diagnostics import Severity
from windtunnel_emulators.brainwave.errors import BadModel
from windtunnel_emulators.brainwave.fit import needs_spill
from windtunnel_emulators.brainwave.partition import Place
from windtunnel_emulators.brainwave.report.advice import advise
from windtunnel_emulators.brainwave.timing.queueing import Service, closed_loop

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.analysis import Analysis
    from windtunnel_emulators.brainwave.jsontypes import Json, JsonObject
    from windtunnel_emulators.brainwave.report.precision import PrecisionStudy
    from windtunnel_emulators.brainwave.timing.cost import LayerTime

SOURCE = "model"
CLIENTS = (1, 2, 5, 10, 20)
_REQUESTS = 40
_LATENCIES = {"dependency_cycles", "drain_cycles", "issue_cycles", "read_cycles", "matrix_cycles", "operation_cycles",
              "write_cycles", "chain_invoke_us", "dispatch_cycles"}  # fmt: skip


def document(
    analysis: Analysis, *, study: PrecisionStudy | None = None, load: bool = True, what_if: bool = True
) -> JsonObject:
    """Everything that the report says."""
    stated = stated_error(analysis)
    device = analysis.device
    return {
        "model": analysis.graph.name,
        "device": device.name,
        "device_title": device.title,
        "engine": analysis.engine.value,
        "format": device.precision,
        "fits": analysis.fits,
        "diagnostics": _diagnostics(analysis),
        "latency_ms": _latency(analysis, stated),
        "error": _error(stated),
        "layers": [_layer(time, analysis) for time in analysis.times()],
        "totals": _totals(analysis),
        "partition": _partition(analysis),
        "timeline": _timeline(analysis),
        "bottleneck": _bottleneck(analysis),
        "throughput": _throughput(analysis) if load and analysis.fits else None,
        "what_if": _what_if(analysis) if what_if else [],
        "precision": None if study is None else _precision(study),
        "device_numbers": _numbers(analysis),
        "notes": list(analysis.graph.notes),
    }


def _diagnostics(analysis: Analysis) -> list[Json]:
    return [
        {
            "code": int(found.code),
            "name": found.code.name.lower(),
            "severity": found.severity.value,
            "layer": found.subject,
            "message": found.message,
            "suggestion": found.suggestion,
        }
        for found in analysis.diagnostics
    ]


def _latency(analysis: Analysis, stated: StatedError) -> JsonObject:
    line = analysis.timeline
    if not analysis.fits:
        return {"npu": None, "end_to_end": None, "source": SOURCE, "reason": "the model does not fit the device"}
    return {
        "npu": _round(line.npu_ms),
        "npu_compute": _round(line.busy_ms),
        "npu_range": [_round(stated.low_ms), _round(stated.high_ms)],
        "end_to_end": _round(line.end_to_end_ms),
        "source": SOURCE,
    }


def _error(stated: StatedError) -> JsonObject:
    return {
        "checked_rows": stated.checked_rows,
        "mean_pct": stated.mean_pct,
        "max_pct": stated.max_pct,
        "basis": stated.basis,
        "end_to_end": stated.end_to_end,
    }


def _layer(time: LayerTime, analysis: Analysis) -> JsonObject:
    layer, device = time.layer, analysis.device
    native = device.native_dim.whole
    efficiency = layer.padding_efficiency(native)
    spilled = needs_spill(layer, device)
    room = device.initial_vrf
    whole = room is None or layer.in_vectors + layer.vectors <= room.whole
    return {
        "name": layer.name,
        "op": layer.op,
        "fused": list(layer.nodes[1:]),
        "shape": list(layer.shape),
        "tiles": layer.tiles,
        "passes": layer.passes,
        "vectors": layer.vectors,
        "padding_efficiency": None if efficiency is None else _round(efficiency, 4),
        "macs": layer.macs,
        "mvm_cycles": _round(time.mvm, 1),
        "mfu_cycles": _round(time.mfu, 1),
        "dram_cycles": _round(time.dram, 1),
        "stall_cycles": _round(time.stall, 1),
        "cycles": _round(time.cycles, 1),
        "bound_by": time.bound.value,
        "utilisation": _round(time.utilisation(device.macs), 4),
        "weight_bytes": round(time.weight_bytes),
        "maps": "spilled" if spilled else "whole" if whole else "windows",
    }


def _totals(analysis: Analysis) -> JsonObject:
    times = list(analysis.times())
    cycles = sum(part.cycles for part in analysis.parts)
    macs = sum(t.layer.macs for t in times)
    seconds = cycles / (analysis.device.mhz.value * 1e6)
    return {
        "layers": len(times),
        "tiles": sum(t.layer.tiles for t in times),
        "macs": macs,
        "cycles": _round(cycles, 1),
        "stall_cycles": _round(sum(t.stall for t in times), 1),
        "weight_bytes": round(sum(t.weight_bytes for t in times)),
        "weights_stay": all(part.resident for part in analysis.parts),
        "effective_tflops": _round(2 * macs / seconds / 1e12, 3) if seconds and analysis.fits else None,
        "peak_tflops": _round(analysis.device.peak_tflops, 1),
        "utilisation": _round(macs / (cycles * analysis.device.macs), 4) if cycles else None,
    }


def _partition(analysis: Analysis) -> list[Json]:
    found: list[Json] = []
    for segment in analysis.partition.segments:
        ops: dict[str, Json] = {}
        for node in segment.nodes:
            count = ops.get(node.op, 0)
            ops[node.op] = (count if isinstance(count, int) else 0) + 1
        found.append(
            {
                "place": segment.place.value,
                "island": segment.island,
                "operators": dict(sorted(ops.items())),
                "inputs": list(segment.inputs) if segment.place is Place.FPGA else [],
                "outputs": list(segment.outputs) if segment.place is Place.FPGA else [],
            }
        )
    return found


def _timeline(analysis: Analysis) -> list[Json]:
    if not analysis.fits:
        return []
    return [
        {
            "name": phase.name,
            "where": phase.where.value,
            "ms": _round(phase.ms),
            "source": SOURCE,
            "assumed": phase.assumed,
        }
        for phase in analysis.timeline.phases
    ]


def _bottleneck(analysis: Analysis) -> JsonObject:
    advice = advise(analysis)
    return {
        "bound_by": advice.bound.value,
        "layer": advice.layer,
        "summary": advice.summary,
        "changes": list(advice.changes),
    }


def _throughput(analysis: Analysis) -> JsonObject:
    service = Service.of(analysis.timeline, analysis.around)
    curve: list[Json] = []
    for clients in CLIENTS:
        load = closed_loop(service, clients, _REQUESTS + 6 * clients)
        curve.append(
            {
                "clients": clients,
                "per_second": _round(load.per_second, 1),
                "mean_ms": _round(load.mean_ms, 3),
                "p99_ms": _round(load.p99_ms, 3),
                "queue_ms": _round(load.wait_ms, 3),
            }
        )
    return {"source": SOURCE, "replicas": 1, "npu_per_second": _round(1000 / service.npu, 1), "clients": curve}


def _what_if(analysis: Analysis) -> list[Json]:
    found: list[Json] = []
    for name in names():
        if name == analysis.device.name:
            continue
        device = load_device(name)
        try:
            other = analyse(analysis.graph, device, around=analysis.around, split=analysis.partition)
        except BadModel as problem:
            found.append({"device": name, "fits": False, "npu_ms": None, "source": SOURCE,
                          "checked_rows": 0, "codes": [], "reason": problem.message})  # fmt: skip
            continue
        errors = [d for d in other.diagnostics if d.severity is Severity.ERROR]
        codes: list[Json] = [*sorted({int(d.code) for d in errors})]
        found.append(
            {
                "device": name,
                "fits": other.fits,
                "npu_ms": _round(other.timeline.npu_ms) if other.fits else None,
                "source": SOURCE,
                "checked_rows": checked_rows(other),
                "codes": codes,
                "reason": errors[0].message if errors else "",
            }
        )
    return found


def _precision(study: PrecisionStudy) -> JsonObject:
    return {
        "note": study.note,
        "metric": study.metric,
        "fp32": study.fp32,
        "by_bits": {str(bits): _round(value, 6) for bits, value in sorted(study.by_bits.items())},
        "rows": [
            {
                "layer": row.layer,
                "mantissa_bits": row.mantissa_bits,
                "snr_db": _round(row.snr_db, 2),
                "cosine": _round(row.cosine, 6),
            }
            for row in study.rows
        ],
    }


def _numbers(analysis: Analysis) -> list[Json]:
    """What the latency rests on, with its status; the latencies inside the chains only where they were used."""
    return [
        {
            "name": name,
            "value": quantity.value,
            "status": quantity.status,
            "source": quantity.source,
        }
        for name, quantity in analysis.device.quantities()
        if analysis.recurrent or analysis.engine == "chains" or name not in _LATENCIES
    ]


def _round(value: float, digits: int = 6) -> float:
    return round(value, digits)
