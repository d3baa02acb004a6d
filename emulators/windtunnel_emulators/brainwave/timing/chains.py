"""The chain engine over the layers of a model: the same answer as the closed form gives, found by scheduling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.layers import Form
from windtunnel_emulators.brainwave.timing import recurrent_programs
from windtunnel_emulators.brainwave.timing.cost import LayerTime, PartTime, bound_of
from windtunnel_emulators.brainwave.timing.engine import Engine
from windtunnel_emulators.brainwave.timing.program import Chain, Instruction, Op, Program
from windtunnel_emulators.brainwave.timing.units import busy, load_cycles
from windtunnel_emulators.brainwave.timing.weights import groups

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from windtunnel_emulators.brainwave.devices import Device
    from windtunnel_emulators.brainwave.layers import Layer
    from windtunnel_emulators.brainwave.timing.engine import Event

NAME = "chains"


def time_part(layers: Sequence[Layer], device: Device) -> PartTime:
    """One FPGA part. Recurrent layers run as programs of their own; the layers between them as one."""
    resident = sum(layer.tiles for layer in layers) <= device.mrf_tiles.whole
    times: list[LayerTime] = []
    events: list[Event] = []
    now, first_load = 0.0, 0.0
    for stretch in _stretches(layers):
        if stretch[0].form is Form.RECURRENT:
            times.append(_recurrent(stretch[0], device, now))
            now += times[-1].cycles
            continue
        found, seen, load = _flow(stretch, device, resident=resident, start=now)
        times += found
        events += seen
        first_load = first_load or load
        now = found[-1].start + found[-1].cycles
    return PartTime(
        engine=NAME,
        layers=tuple(times),
        cycles=now,
        resident=resident,
        first_load=first_load,
        events=tuple(events),
    )


def _stretches(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    stretch: list[Layer] = []
    for layer in layers:
        if layer.form is Form.RECURRENT:
            if stretch:
                yield stretch
            yield [layer]
            stretch = []
        else:
            stretch.append(layer)
    if stretch:
        yield stretch


def _recurrent(layer: Layer, device: Device, start: float) -> LayerTime:
    program = recurrent_programs.lstm if layer.op == "LSTM" else recurrent_programs.gru
    run = Engine(device).run(program(device, layer.width, layer.hidden, layer.steps))
    cycles = run.cycles * layer.directions
    units = busy(layer, device)
    return LayerTime(
        layer=layer,
        mvm=units.mvm,
        mfu=units.mfu,
        dram=0.0,
        stall=0.0,
        cycles=cycles,
        weight_bytes=layer.tiles * device.tile_bytes,
        bound=bound_of(units.mvm, units.mfu, 0.0, cycles),
        start=start,
    )


def _flow(
    layers: Sequence[Layer], device: Device, *, resident: bool, start: float
) -> tuple[list[LayerTime], list[Event], float]:
    pieces = list(_chains(layers, device, resident=resident))
    run = Engine(device).run(Program(name="layers", step=tuple(piece for _, piece in pieces)))
    ends, waits = [0.0] * len(layers), [0.0] * len(layers)
    for (index, _), span in zip(pieces, run.spans, strict=True):
        if index is not None:
            ends[index] = span.end
            waits[index] += span.waited
    times: list[LayerTime] = []
    first = next((e.end for e in run.events if e.unit == "DRAM"), 0.0)
    before = first
    for index, layer in enumerate(layers):
        end, units = ends[index], busy(layer, device)
        cycles = end - before
        # The first load has no layer to hide behind: it stands before the first one, as in the closed form.
        stall = max(0.0, waits[index] - (0.0 if index else first))
        times.append(
            LayerTime(
                layer=layer,
                mvm=units.mvm,
                mfu=units.mfu,
                dram=units.spill + (0.0 if resident else load_cycles(layer.tiles, device)),
                stall=stall,
                cycles=cycles,
                weight_bytes=layer.tiles * device.tile_bytes,
                bound=bound_of(units.mvm, units.mfu, stall, cycles),
                start=start + before,
            )
        )
        before = end
    return times, list(run.events), first


def _chains(layers: Sequence[Layer], device: Device, *, resident: bool) -> Iterator[tuple[int | None, Chain]]:
    """Each chain with the index of its layer; None for loads."""
    found = groups(layers, max(1, device.mrf_tiles.whole // 2))
    loads = not resident and device.dram_gbps is not None

    def load(index: int) -> Chain:
        occupancy = load_cycles(found[index].tiles, device)
        instruction = Instruction(op=Op.M_RD, operand=f"half {index % 2}", occupancy=occupancy)
        return Chain(name="weights", instructions=(instruction,), weights=f"group {index}")

    if loads and found:
        yield None, load(0)
    for index, group in enumerate(found):
        if loads and index + 1 < len(found):
            yield None, load(index + 1)
        for share in group.shares:
            layer = layers[share.layer]
            for _ in range(layer.sweeps):
                yield share.layer, _chain(layer, device, share.fraction / layer.sweeps, index, loads=loads)


def _chain(layer: Layer, device: Device, fraction: float, group: int, *, loads: bool) -> Chain:
    units = busy(layer, device)
    vectors = max(1, round(layer.vectors * fraction))
    source = layer.inputs[0] if layer.inputs else "net"
    instructions = [Instruction(op=Op.V_RD, operand=source)]
    if layer.passes:
        instructions.append(
            Instruction(
                op=Op.MV_MUL,
                operand=f"half {group % 2}",
                vectors=vectors,
                columns=max(1, layer.row_tiles),
                occupancy=max(units.mvm, units.spill) * fraction,
            )
        )
    cost = device.mfu_cycles.value
    instructions += [Instruction(op=op, vectors=vectors, cost=cost) for op in layer.chain or (Op.VV_ADD,)]
    instructions.append(Instruction(op=Op.V_WR, operand=layer.output, vectors=vectors))
    weights = f"group {group}" if loads and layer.passes else ""
    return Chain(name=layer.name, instructions=tuple(instructions), weights=weights, flush=True)
