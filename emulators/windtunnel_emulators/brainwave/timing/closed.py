"""The closed forms: convolutions layer by layer, recurrent layers step by step.

    layer = max(MVM, MFU) + depth for each sweep
    whole = load(first group) + sum over groups of max(compute, load of the next)
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
from windtunnel_emulators.brainwave.timing.units import busy, load_cycles
from windtunnel_emulators.brainwave.timing.weights import groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.brainwave.devices import Device
    from windtunnel_emulators.brainwave.layers import Layer
    from windtunnel_emulators.brainwave.timing.units import Busy
    from windtunnel_emulators.brainwave.timing.weights import Group

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


def part_cycles(layers: Sequence[Layer], device: Device) -> float:
    """The whole of a part, without the account of each layer."""
    return _Flow(layers, device).total


def time_part(layers: Sequence[Layer], device: Device) -> PartTime:
    """One FPGA part."""
    flow = _Flow(layers, device)
    times: list[LayerTime] = []
    now = flow.first
    for layer, unit, work, stall in zip(layers, flow.units, flow.compute, flow.stalls, strict=True):
        times.append(
            LayerTime(
                layer=layer,
                mvm=unit.mvm,
                mfu=unit.mfu,
                dram=unit.spill + (0.0 if flow.resident else load_cycles(layer.tiles, device)),
                stall=stall,
                cycles=work + stall,
                weight_bytes=layer.tiles * device.tile_bytes,
                bound=bound_of(unit.mvm, unit.mfu, stall, work + stall),
                start=now,
            )
        )
        now += work + stall
    return PartTime(engine=NAME, layers=tuple(times), cycles=now, resident=flow.resident, first_load=flow.first)


class _Flow:
    """Layers one after the other, while weights stream in behind them."""

    def __init__(self, layers: Sequence[Layer], device: Device) -> None:
        self.units = [busy(layer, device) for layer in layers]
        self.compute = [compute_cycles(layer, device, u) for layer, u in zip(layers, self.units, strict=True)]
        self.resident = sum(layer.tiles for layer in layers) <= device.mrf_tiles.whole
        self.stalls = [0.0] * len(layers)
        self.first = 0.0
        if not self.resident:
            self._stream(groups(layers, device.mrf_tiles.whole // 2), device)
        self.total = self.first + sum(self.compute) + sum(self.stalls)

    def _stream(self, found: Sequence[Group], device: Device) -> None:
        loads = [load_cycles(group.tiles, device) for group in found]
        self.first = loads[0]
        for group, following, load in zip(found, found[1:], loads[1:], strict=False):
            working = sum(self.compute[share.layer] * share.fraction for share in group.shares)
            self.stalls[following.shares[0].layer] += max(0.0, load - working)
