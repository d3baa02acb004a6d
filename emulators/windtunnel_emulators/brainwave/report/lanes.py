"""The time line as a picture: a request on its lanes, and below it the NPU's layers, enlarged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.report.svg import COLOURS, FAINT, INK, Drawing

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.analysis import Analysis

_WIDTH, _HEIGHT = 1000, 470
_LEFT, _RIGHT = 90, 970
_LANES = ("network", "cpu", "pcie", "npu")
_LANE_TOP, _LANE_STEP, _BAR = 78, 34, 22
_NPU_TOP = 290
_LABEL_PX = 58
_TICKS = 8


def lanes(analysis: Analysis) -> str:
    """An SVG."""
    line, device = analysis.timeline, analysis.device
    drawing = Drawing(_WIDTH, _HEIGHT, f"Time line of {analysis.graph.name} on {device.name}")
    drawing.text(20, 28, f"One request: {analysis.graph.name} on {device.name}", size=17, bold=True)
    words = f"{line.end_to_end_ms:.2f} ms end to end, {line.npu_ms:.3f} ms at the FPGA. A model's output;"
    drawing.text(20, 48, f"{words} network and CPU are assumptions.")
    scale = (_RIGHT - _LEFT) / line.end_to_end_ms
    bottom = _LANE_TOP + _LANE_STEP * len(_LANES)
    _axis(drawing, line.end_to_end_ms, _LANE_TOP - 8, bottom)
    for index, lane in enumerate(_LANES):
        drawing.text(_LEFT - 10, _LANE_TOP + index * _LANE_STEP + 16, lane, anchor="end")
    now = 0.0
    first_npu: tuple[float, float] | None = None
    last_npu = 0.0
    for phase in line.phases:
        y = _LANE_TOP + _LANES.index(phase.where.value) * _LANE_STEP
        x, width = _LEFT + now * scale, phase.ms * scale
        drawing.box(x, y, width, _BAR, COLOURS[phase.where.value], f"{phase.name}: {phase.ms:.3f} ms")
        if width > 6.2 * len(phase.name):
            drawing.text(x + 5, y + 15, phase.name, size=11)
        if phase.where.value == "npu":
            first_npu = first_npu or (x, x + width)
            last_npu = x + width
        now += phase.ms
    if first_npu is not None:
        drawing.line(first_npu[0], bottom - 10, _LEFT, _NPU_TOP - 14, dash="3 3")
        drawing.line(last_npu, bottom - 10, _RIGHT, _NPU_TOP - 14, dash="3 3")
    _layers(drawing, analysis)
    return str(drawing)


def _layers(drawing: Drawing, analysis: Analysis) -> None:
    device = analysis.device
    total = sum(part.cycles for part in analysis.parts)
    scale = (_RIGHT - _LEFT) / total
    _axis(drawing, device.milliseconds(total), _NPU_TOP - 8, _NPU_TOP + 3 * _LANE_STEP)
    for index, name in enumerate(("layers", "multiplier", "weights")):
        drawing.text(_LEFT - 10, _NPU_TOP + index * _LANE_STEP + 16, name, anchor="end")
    base = 0.0
    kinds: dict[str, None] = {}
    for part in analysis.parts:
        if part.first_load:
            tip = f"first weights: {device.milliseconds(part.first_load):.3f} ms"
            drawing.box(
                _LEFT + base * scale, _NPU_TOP + 2 * _LANE_STEP, part.first_load * scale, _BAR, COLOURS["dram"], tip
            )
        for time in part.layers:
            x = _LEFT + (base + time.start) * scale
            y = _NPU_TOP
            stall, work = time.stall * scale, (time.cycles - time.stall) * scale
            name = time.layer.name
            kind = "mvm" if time.mvm >= time.mfu else "mfu"
            kind = time.bound.value if time.bound.value != "dram" else kind
            kinds[kind] = None
            tip = f"{name} ({time.layer.op}): {device.milliseconds(time.cycles):.3f} ms, bound by {time.bound.value}"
            drawing.box(x + stall, y, max(work - 0.6, 0.4), _BAR, COLOURS[kind], tip)
            if stall > 0.05:
                waiting = f"{name} waits for weights: {device.milliseconds(time.stall):.3f} ms"
                drawing.box(x, y + 2 * _LANE_STEP, stall, _BAR, COLOURS["dram"], waiting)
                kinds["dram"] = None
            drawing.box(
                x + stall,
                y + _LANE_STEP,
                min(time.mvm * scale, work),
                _BAR,
                COLOURS["mvm"],
                f"{name}: the multiplier is busy {device.milliseconds(time.mvm):.3f} ms",
            )
            if work > _LABEL_PX:
                drawing.text(x + stall + 4, y + 15, name[: int(work / 6.6)], size=11)
        base += part.cycles
    drawing.line(20, _HEIGHT - 36, _RIGHT, _HEIGHT - 36, colour=FAINT)
    drawing.legend(20, _HEIGHT - 16, list(kinds))


def _axis(drawing: Drawing, span: float, top: float, bottom: float) -> None:
    step = _step(span)
    count = int(span / step + 1e-9)
    digits = max(0, len(f"{step:.6f}".rstrip("0").split(".")[1]))
    for index in range(count + 1):
        x = _LEFT + index * step / span * (_RIGHT - _LEFT)
        drawing.line(x, top, x, bottom)
        drawing.text(
            x, bottom + 15, f"{index * step:.{digits}f}" + (" ms" if index == count else ""), size=11, anchor="middle"
        )
    drawing.line(_LEFT, bottom, _RIGHT, bottom, colour=INK)


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are a handful of ticks."""
    power = 1.0
    while power > span / _TICKS:
        power /= 10
    while power * 10 <= span / _TICKS:
        power *= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / _TICKS)
