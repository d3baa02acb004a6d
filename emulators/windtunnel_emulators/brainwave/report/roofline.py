"""The roofline: what each layer reaches, over how often it uses each byte of its weights."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.report.svg import COLOURS, FAINT, INK, Drawing

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.analysis import Analysis

_WIDTH, _HEIGHT = 900, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 870, 70, 480
_CAPTION = (
    "A model's output, not a measurement. Area of a dot: the layer's share of the time. Above the slope: its weights"
    " came while an earlier layer ran."
)
_DOT_LIMIT = 22.0


def roofline(analysis: Analysis) -> str:
    """An SVG. Layers without multiplications of the model's are left out; resident weights have no slope."""
    device = analysis.device
    peak = device.macs * device.mhz.value * 1e6
    resident = all(part.resident for part in analysis.parts)
    bandwidth = device.dram_gbps.value * 1e9 if device.dram_gbps is not None and not resident else None
    points = [
        (t.layer.macs / t.weight_bytes, t.layer.macs / (t.cycles / (device.mhz.value * 1e6)), t)
        for t in analysis.times()
        if t.layer.macs and t.cycles and t.weight_bytes
    ]
    total = sum(t.cycles for t in analysis.times())
    xs = [x for x, _, _ in points] + ([peak / bandwidth] if bandwidth else [])
    ys = [y for _, y, _ in points] + [peak]
    low_x, high_x = _decades(xs)
    low_y, high_y = _decades(ys)
    drawing = Drawing(_WIDTH, _HEIGHT, f"Roofline of {analysis.graph.name} on {device.name}")
    drawing.text(_LEFT, 28, f"Roofline: {analysis.graph.name} on {device.name}", size=17, bold=True)
    drawing.text(_LEFT, 48, _CAPTION)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (log10(x) - low_x) / (high_x - low_x)
        up = (log10(y) - low_y) / (high_y - low_y)
        return _LEFT + across * (_RIGHT - _LEFT), _BOTTOM - up * (_BOTTOM - _TOP)

    for power in range(low_x, high_x + 1):
        x, _ = at(10.0**power, 10.0**low_y)
        drawing.line(x, _TOP, x, _BOTTOM)
        drawing.text(x, _BOTTOM + 18, _short(10.0**power), anchor="middle")
    for power in range(low_y, high_y + 1):
        _, y = at(10.0**low_x, 10.0**power)
        drawing.line(_LEFT, y, _RIGHT, y)
        drawing.text(_LEFT - 8, y + 4, _short(10.0**power), anchor="end")
    corner = max(peak / bandwidth, 10.0**low_x) if bandwidth else 10.0**low_x
    drawing.line(*at(corner, peak), *at(10.0**high_x, peak), colour=INK, width=2)
    drawing.text(_RIGHT, at(1.0, peak)[1] - 7, f"multiplier: {_short(peak)}MAC/s", anchor="end")
    if bandwidth:
        start = max(10.0**low_x, 10.0**low_y / bandwidth)
        drawing.line(*at(start, start * bandwidth), *at(corner, peak), colour=INK, width=2)
        middle = at((start * corner) ** 0.5, (start * corner) ** 0.5 * bandwidth)
        assumed = "" if device.dram_gbps is not None and device.dram_gbps.is_fact else " (assumed)"
        drawing.text(middle[0] - 8, middle[1] - 8, f"DRAM: {bandwidth / 1e9:g} GB/s{assumed}", anchor="end")
    for x, y, time in sorted(points, key=lambda point: -point[2].cycles):
        ms = device.milliseconds(time.cycles)
        tip = f"{time.layer.name}: {ms:.3f} ms, {_short(y)}MAC/s, bound by {time.bound.value}"
        drawing.dot(*at(x, y), min(3 + 40 * (time.cycles / total) ** 0.5, _DOT_LIMIT), COLOURS[time.bound.value], tip)
    drawing.line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, colour=INK)
    drawing.line(_LEFT, _TOP, _LEFT, _BOTTOM, colour=INK)
    drawing.text((_LEFT + _RIGHT) / 2, _BOTTOM + 40, "multiply-accumulates for each byte of weights", anchor="middle")
    drawing.text(_LEFT, _TOP - 6, "multiply-accumulates in a second")
    kinds = list(dict.fromkeys(time.bound.value for _, _, time in points))
    drawing.legend(_LEFT, _HEIGHT - 16, kinds)
    drawing.line(_LEFT, _HEIGHT - 34, _RIGHT, _HEIGHT - 34, colour=FAINT)
    return str(drawing)


def _decades(values: list[float]) -> tuple[int, int]:
    """Whole powers of ten around them, at least one apart."""
    low = floor(log10(min(values)))
    return low, max(low + 1, floor(log10(max(values)) + 0.999))


def _short(value: float) -> str:
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g} "
