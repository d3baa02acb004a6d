"""What limits a model, and what would change that, each with what it would bring where the model can say it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.analysis import analyse, with_number
from windtunnel_emulators.brainwave.layers import Form
from windtunnel_emulators.brainwave.timing.cost import Bound

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.analysis import Analysis
    from windtunnel_emulators.brainwave.timing.cost import LayerTime

_NARROW_BITS = 2
_POOR = 0.5
_WORTH_MS = 0.01
_CPU_MS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The bottleneck in a sentence, and sentences that say what to do."""

    bound: Bound
    layer: str
    summary: str
    changes: tuple[str, ...]


def advise(analysis: Analysis) -> Advice:
    """Of a model that fits or not: what its cycles go to."""
    times = list(analysis.times())
    shares: dict[Bound, float] = {}
    for time in times:
        shares[Bound.DRAM] = shares.get(Bound.DRAM, 0.0) + time.stall
        bound = time.bound if time.bound is not Bound.DRAM else Bound.MVM if time.mvm >= time.mfu else Bound.MFU
        shares[bound] = shares.get(bound, 0.0) + time.cycles - time.stall
    total = sum(shares.values())
    most = max(shares, key=lambda bound: shares[bound])
    of_most = [time for time in times if time.bound is most] or times
    worst = max(of_most, key=lambda time: time.cycles)
    ms = analysis.device.milliseconds
    parts = ", ".join(
        f"{_WORDS[bound]} {ms(cycles):.3f} ms ({cycles / total:.0%})"
        for bound, cycles in sorted(shares.items(), key=lambda item: -item[1])
        if cycles > 0
    )
    summary = (
        f"of {ms(total):.3f} ms on the NPU: {parts}; longest of these: {worst.layer.name} ({ms(worst.cycles):.3f} ms)"
    )
    changes = [
        *_stalls(analysis, shares, total),
        *_units(analysis, times),
        *_recurrent(analysis, times),
        *_cpu(analysis),
    ]
    return Advice(bound=most, layer=worst.layer.name, summary=summary, changes=tuple(changes))


_WORDS = {
    Bound.MVM: "matrix-vector multiplier",
    Bound.MFU: "multi-function units",
    Bound.DRAM: "waiting for weights",
    Bound.LATENCY: "dependent chains",
}


def _stalls(analysis: Analysis, shares: dict[Bound, float], total: float) -> list[str]:
    stall = shares.get(Bound.DRAM, 0.0)
    if stall < 0.05 * total:
        return []
    device = analysis.device
    found = sorted((t for t in analysis.times() if t.stall), key=lambda t: -t.stall)[:3]
    names = ", ".join(t.layer.name for t in found)
    sentences = [
        f"Weights arrive late for {names}: wide layers on small maps do little with each tile. Make them narrower, or"
        " move width to larger maps."
    ]
    if device.mantissa_bits.whole > _NARROW_BITS:
        narrow = with_number(device, "mantissa_bits", replace(device.mantissa_bits, value=float(_NARROW_BITS)))
        other = analyse(analysis.graph, narrow, around=analysis.around, split=analysis.partition)
        gain = analysis.timeline.npu_ms - other.timeline.npu_ms
        sentences.append(
            f"With {_NARROW_BITS} mantissa bits instead of {device.mantissa_bits.whole} the weights would be half as"
            f" large and the NPU {gain:.2f} ms faster; the precision study says what that costs."
        )
    return sentences


def _units(analysis: Analysis, times: list[LayerTime]) -> list[str]:
    native = analysis.device.native_dim.whole
    ms = analysis.device.milliseconds
    sentences: list[str] = []
    padded = [
        t
        for t in times
        if t.bound is Bound.MVM and t.layer.macs and (t.layer.padding_efficiency(native) or 1.0) < _POOR
    ]
    lost = sum(ms(t.mvm * (1 - (t.layer.padding_efficiency(native) or 1.0))) for t in padded)
    if lost > _WORTH_MS:
        worst = max(padded, key=lambda t: t.mvm * (1 - (t.layer.padding_efficiency(native) or 1.0)))
        sentences.append(
            f"{lost:.2f} ms go to multiplications by padding, most in {worst.layer.name}: channels that are multiples"
            f" of {native}, and no groups, would use them."
        )
    slow = [t for t in times if t.bound is Bound.MFU]
    extra = sum(ms(t.cycles - t.stall - t.mvm) for t in slow)
    if extra > _WORTH_MS and analysis.device.mfu_cycles.value > 1:
        pools = sum(t.layer.form is Form.POOL for t in slow)
        sentences.append(
            f"{extra:.2f} ms are spent because results leave the multiplier faster than the multi-function units take"
            f" them, in {len(slow)} layers ({pools} of them pools): fewer output channels, or a stride instead of a"
            " pool, would help. The rate of these units is an assumption."
        )
    return sentences


def _recurrent(analysis: Analysis, times: list[LayerTime]) -> list[str]:
    device = analysis.device
    sentences: list[str] = []
    for time in times:
        layer = time.layer
        if layer.form is not Form.RECURRENT or time.bound is not Bound.LATENCY:
            continue
        sentences.append(
            f"{layer.name}: a step takes {time.cycles / (layer.steps * layer.directions):.0f} cycles because its chains"
            f" wait for each other, while the multiplier is busy for {time.mvm / (layer.steps * layer.directions):.0f}:"
            f" a wider layer would cost little more on {device.name}, fewer steps would cost less."
        )
    return sentences


def _cpu(analysis: Analysis) -> list[str]:
    line = analysis.timeline
    cpu = line.cpu_before_ms + line.cpu_after_ms
    sentences: list[str] = []
    if analysis.partition.islands:
        sentences.append(
            f"{analysis.partition.islands} times the work leaves the FPGA for an operator that it does not have, and"
            " comes back over PCIe: see the warnings."
        )
    if cpu > max(line.npu_ms, _CPU_MS):
        sentences.append(
            f"Of {line.end_to_end_ms:.1f} ms end to end, {cpu:.1f} ms are the CPU's (an assumption), the NPU has"
            f" {line.npu_ms:.2f}: look there first."
        )
    return sentences
