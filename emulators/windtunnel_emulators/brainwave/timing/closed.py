"""The closed forms: convolutions layer by layer, recurrent layers step by step.

    layer = max(MVM, MFU) + depth for each sweep          weights: T = load(first) + sum of max(compute, load of the next)
    step  = max(K + a * instructions, occupancy + c)

Sources: the mapping and the double-buffered weights are those of Microsoft's firmware; a is the published dispatch
rate; K, c and the invocation are fitted on eleven published rows (docs/fpga-accuracy.md has the errors).
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.layers import Form
from windtunnel_emulators.brainwave.lowering import INSTRUCTIONS
from windtunnel_emulators.brainwave.timing.cost import LayerTime, PartTime, bound_of
from windtunnel_emulators.brainwave.timing.units import Busy, busy, load_cycles
from windtunnel_emulators.brainwave.timing.weights import groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.brainwave.devices import Device
    from windtunnel_emulators.brainwave.layers import Layer

NAME = "closed form"


def step_cycles(device: Device, matrices: int, width: int, hidden: int, instructions: int) -> tuple[float, float]:
    """One step of a recurrent layer and its occupancy of the multiplier; half of ``matrices`` take the input."""
    native = device.native_dim.whole
    rows, wide = ceil(hidden / native), ceil(width / native)
    tiles = matrices // 2 * rows * (wide + rows)
    occupancy = ceil(tiles * device.stream_cycles / device.engines.value)
    floor = device.dependency_cycles.value + device.dispatch_cycles.value * instructions
    return max(floor, occupancy + device.drain_cycles.value), float(occupancy)


def compute_cycles(layer: Layer, device: Device, units: Busy) -> float:
    """One layer whose weights are there."""
    if layer.form is Form.RECURRENT:
        matrices = 2 * (4 if layer.op == "LSTM" else 3)
        step, _ = step_cycles(device, matrices, layer.width, layer.hidden, INSTRUCTIONS[layer.op])
        return layer.directions * layer.steps * step
    return units.compute + device.depth_cycles.value * layer.sweeps


def time_part(layers: Sequence[Layer], device: Device) -> PartTime:
    """One FPGA part."""
    units = [busy(layer, device) for layer in layers]
    compute = [compute_cycles(layer, device, u) for layer, u in zip(layers, units, strict=True)]
    resident = sum(layer.tiles for layer in layers) <= device.mrf_tiles.whole
    stalls = [0.0] * len(layers)
    first = 0.0
    if not resident:
        found = groups(layers, device.mrf_tiles.whole // 2)
        loads = [load_cycles(group.tiles, device) for group in found]
        first = loads[0] if loads else 0.0
        for group, following, load in zip(found, found[1:], loads[1:], strict=False):
            working = sum(compute[share.layer] * share.fraction for share in group.shares)
            stalls[following.shares[0].layer] += max(0.0, load - working)
    times: list[LayerTime] = []
    now = first
    for layer, unit, work, stall in zip(layers, units, compute, stalls, strict=True):
        times.append(
            LayerTime(
                layer=layer,
                mvm=unit.mvm,
                mfu=unit.mfu,
                dram=unit.spill + (0.0 if resident else load_cycles(layer.tiles, device)),
                stall=stall,
                cycles=work + stall,
                weight_bytes=layer.tiles * device.tile_bytes,
                bound=bound_of(unit.mvm, unit.mfu, stall, work + stall),
                start=now,
            )
        )
        now += work + stall
    return PartTime(engine=NAME, layers=tuple(times), cycles=now, resident=resident, first_load=first)
