"""The simulator's report as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel.jsontypes import as_list, as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel.cli.output import Output
    from windtunnel.jsontypes import Json, JsonObject

_COLUMNS = (
    "layer",
    "op",
    "shape",
    "tiles",
    "padding",
    "mvm",
    "mfu",
    "dram",
    "stall",
    "cycles",
    "bound by",
    "used",
    "weights",
)
_COUNTS = ("tiles", "mvm_cycles", "mfu_cycles", "dram_cycles", "stall_cycles", "cycles")
_NUMBERS = frozenset({"tiles", "padding", "mvm", "mfu", "dram", "stall", "cycles", "used", "weights"})


def render(output: Output, report: JsonObject) -> None:
    """Summary first, then layers, then what to do."""
    _summary(output, report)
    for title, section in (
        ("Findings", _findings),
        ("Layers (cycles; a model's output)", _layers),
        ("Time line", _timeline),
        ("Bottleneck", _bottleneck),
        ("Clients (virtual time)", _throughput),
        ("Other devices", _what_if),
        ("Precision", _precision),
        ("What the latency rests on", _numbers),
    ):
        lines = section(report)
        if lines:
            output.text(f"\n{title}\n" + "\n".join(f"  {line}" for line in lines))
    for path in as_list(report.get("files")):
        output.note(f"written: {as_str(path)}")


def _summary(output: Output, report: JsonObject) -> None:
    latency, error, totals = (as_object(report.get(key)) for key in ("latency_ms", "error", "totals"))
    output.text(
        f"{as_str(report.get('model'))} on {as_str(report.get('device'))}: {as_str(report.get('device_title'))}"
    )
    fits = report.get("fits") is True
    output.text(f"fits        {'yes' if fits else 'NO'}")
    if fits:
        span = [_number(value) for value in as_list(latency.get("npu_range"))]
        output.text(
            f"latency     {_number(latency.get('npu')):.3f} ms at the FPGA (model; {span[0]:.3f} to {span[1]:.3f} with"
            f" its assumptions), {_number(latency.get('end_to_end')):.2f} ms end to end (model)"
        )
    mean, largest = error.get("mean_pct"), error.get("max_pct")
    stated = f"{_number(mean):g} % mean, {_number(largest):g} % at most, against " if mean is not None else ""
    stated = f"{_number(mean):g} % at " if error.get("checked_rows") == 1 else stated
    output.text(f"error       {stated}{as_str(error.get('basis'))}")
    output.text(f"            {as_str(error.get('end_to_end'))}")
    stay = "stay on the chip" if totals.get("weights_stay") is True else "stream from DRAM at every request"
    stay = stay if fits else "do not fit" if totals.get("weights_stay") is not True else stay
    output.text(
        f"work        {_number(totals.get('macs')) / 1e9:.3f} GMAC in {_number(totals.get('layers')):.0f} layers,"
        f" {_number(totals.get('tiles')):.0f} native tiles ({_number(totals.get('weight_bytes')) / 1e6:.2f} MB as"
        f" {as_str(report.get('format'))}) that {stay}"
    )
    parts = [as_object(part) for part in as_list(report.get("partition"))]
    chain = " -> ".join(
        as_str(part.get("place")).upper()
        + (" island" if part.get("island") is True else "")
        + f" ({sum(int(_number(count)) for count in as_object(part.get('operators')).values())} operators)"
        for part in parts
    )
    output.text(f"parts       {chain}")
    for note in as_list(report.get("notes")):
        output.text(f"note        {as_str(note)}")


def _findings(report: JsonObject) -> list[str]:
    lines: list[str] = []
    for entry in map(as_object, as_list(report.get("diagnostics"))):
        subject = as_str(entry.get("layer"))
        where = f"{subject}: " if subject else ""
        lines.append(
            f"{as_str(entry.get('severity'))} {_number(entry.get('code')):.0f}  {where}{as_str(entry.get('message'))}"
        )
        lines.append(f"           way out: {as_str(entry.get('suggestion'))}")
    return lines


def _layers(report: JsonObject) -> list[str]:
    rows: list[Sequence[str]] = []
    for entry in map(as_object, as_list(report.get("layers"))):
        efficiency = entry.get("padding_efficiency")
        counts = [f"{_number(entry.get(key)):.0f}" for key in _COUNTS]
        rows.append(
            (
                as_str(entry.get("name")),
                as_str(entry.get("op")),
                "x".join(f"{_number(size):.0f}" for size in as_list(entry.get("shape"))),
                counts[0],
                "-" if efficiency is None else f"{_number(efficiency):.0%}",
                *counts[1:],
                as_str(entry.get("bound_by")),
                f"{_number(entry.get('utilisation')):.0%}",
                f"{_number(entry.get('weight_bytes')) / 1000:.0f} kB",
            )
        )
    return _table(_COLUMNS, rows)


def _timeline(report: JsonObject) -> list[str]:
    return [
        f"{_number(entry.get('ms')):8.3f} ms  {as_str(entry.get('where')):8}{as_str(entry.get('name'))}"
        + (" (assumed)" if entry.get("assumed") is True else "")
        for entry in map(as_object, as_list(report.get("timeline")))
    ]


def _bottleneck(report: JsonObject) -> list[str]:
    found = as_object(report.get("bottleneck"))
    return [as_str(found.get("summary")), *(f"- {as_str(change)}" for change in as_list(found.get("changes")))]


def _throughput(report: JsonObject) -> list[str]:
    found = as_object(report.get("throughput"))
    rows = [
        (
            f"{_number(entry.get('clients')):.0f}",
            f"{_number(entry.get('per_second')):.1f}",
            f"{_number(entry.get('mean_ms')):.2f}",
            f"{_number(entry.get('p99_ms')):.2f}",
            f"{_number(entry.get('queue_ms')):.2f}",
        )
        for entry in map(as_object, as_list(found.get("clients")))
    ]
    return _table(("clients", "in a second", "mean ms", "p99 ms", "waiting ms"), rows) if rows else []


def _what_if(report: JsonObject) -> list[str]:
    lines: list[str] = []
    for entry in map(as_object, as_list(report.get("what_if"))):
        name = f"{as_str(entry.get('device')):12}"
        if entry.get("fits") is True:
            unchecked = "" if entry.get("checked_rows") else ", unchecked on this device"
            lines.append(f"{name}fits, {_number(entry.get('npu_ms')):.3f} ms (model{unchecked})")
        else:
            codes = ", ".join(f"{_number(code):.0f}" for code in as_list(entry.get("codes")))
            lines.append(f"{name}does not fit ({codes}): {as_str(entry.get('reason'))}")
    return lines


def _precision(report: JsonObject) -> list[str]:
    found = report.get("precision")
    if not isinstance(found, dict):
        return []
    by_layer: dict[str, dict[int, str]] = {}
    for entry in map(as_object, as_list(found.get("rows"))):
        cell = f"{_number(entry.get('snr_db')):.1f} dB {_number(entry.get('cosine')):.4f}"
        by_layer.setdefault(as_str(entry.get("layer")) or "(output)", {})[int(_number(entry.get("mantissa_bits")))] = (
            cell
        )
    widths = sorted({bits for cells in by_layer.values() for bits in cells})
    rows = [(layer, *(cells.get(bits, "-") for bits in widths)) for layer, cells in by_layer.items()]
    lines = _table(("layer", *(f"{bits} bits" for bits in widths)), rows) if rows else []
    metric = as_str(found.get("metric"))
    if metric:
        values = ", ".join(f"{bits} bits {_number(v):.4f}" for bits, v in as_object(found.get("by_bits")).items())
        lines.append(f"{metric}: fp32 {_number(found.get('fp32')):.4f}, {values}")
    return [*lines, *([as_str(found.get("note"))] if found.get("note") else [])]


def _numbers(report: JsonObject) -> list[str]:
    rows = [
        (
            as_str(entry.get("name")),
            f"{_number(entry.get('value')):g}",
            "assumed" if entry.get("status") == "assumed" else "published",
            as_str(entry.get("source")),
        )
        for entry in map(as_object, as_list(report.get("device_numbers")))
    ]
    return _table(("number", "value", "status", "source"), rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[name.upper() for name in columns], *([*row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    right = [name in _NUMBERS for name in columns]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
