"""``Analysis``: a model on a device: partition, layers, fit, timing and the time line of a request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave import fit
from windtunnel_emulators.brainwave.devices import load_device
from windtunnel_emulators.brainwave.diagnostics import Severity
from windtunnel_emulators.brainwave.layers import Form
from windtunnel_emulators.brainwave.lowering import lower
from windtunnel_emulators.brainwave.partition import Partition, Place, partition
from windtunnel_emulators.brainwave.timing import closed
from windtunnel_emulators.brainwave.timing.timeline import Timeline, npu_ms, surroundings, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel_emulators.brainwave.devices import Device, Quantity
    from windtunnel_emulators.brainwave.diagnostics import Diagnostic
    from windtunnel_emulators.brainwave.graph import Graph
    from windtunnel_emulators.brainwave.layers import Layer
    from windtunnel_emulators.brainwave.timing.cost import LayerTime, PartTime
    from windtunnel_emulators.brainwave.timing.timeline import Surroundings

AUTOMATIC = "auto"


class EngineName(StrEnum):
    """How layers are timed."""

    CLOSED = "closed"
    CHAINS = "chains"


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What was found. Latencies are a model's, and mean nothing when the model does not fit."""

    graph: Graph
    device: Device
    engine: EngineName
    partition: Partition
    layers: tuple[tuple[Layer, ...], ...]
    """Of each FPGA segment."""
    parts: tuple[PartTime, ...]
    diagnostics: tuple[Diagnostic, ...]
    timeline: Timeline
    around: Surroundings

    @property
    def fits(self) -> bool:
        """Whether the device runs it as it is."""
        return not any(found.severity is Severity.ERROR for found in self.diagnostics)

    def times(self) -> Iterator[LayerTime]:
        """Of all parts."""
        for part in self.parts:
            yield from part.layers

    @property
    def recurrent(self) -> bool:
        """Whether all its layers are recurrent or dense."""
        return all(t.layer.form in (Form.RECURRENT, Form.DENSE, Form.ELEMENTWISE) for t in self.times())

    def npu_range_ms(self) -> tuple[float, float]:
        """The least and the most of the NPU's latency, each assumed number of the device at its bounds in turn."""
        found = [self.timeline.npu_ms]
        for name, quantity in self.device.quantities():
            if quantity.is_fact:
                continue
            for bound in (quantity.low, quantity.high):
                if bound is not None:
                    found.append(self._npu_ms(name, replace(quantity, value=bound)))
        return min(found), max(found)

    def _npu_ms(self, name: str, quantity: Quantity) -> float:
        device = with_number(self.device, name, quantity)
        parts = [(layers[0].in_vectors, closed.part_cycles(layers, device)) for layers in self.layers]
        return npu_ms(self.graph, self.partition.segments, parts, device)


def with_number(device: Device, name: str, quantity: Quantity) -> Device:
    """The device with one number changed."""
    changed: dict[str, Quantity] = {name: quantity}
    return replace(device, **changed)  # type: ignore[arg-type]  # every field but the texts is a Quantity


def choose_device(graph: Graph) -> Device:
    """The device that the service had for such a model."""
    convolves = any(node.op == "Conv" for node in graph.nodes)
    return load_device("BW_CNN_A10" if convolves else "BW_S10")


def analyse(
    graph: Graph,
    device: Device | None = None,
    *,
    engine: EngineName = EngineName.CLOSED,
    around: Surroundings | None = None,
    split: Partition | None = None,
) -> Analysis:
    """Raises ``BadModel`` when the device runs nothing of it."""
    device = device or choose_device(graph)
    around = around or surroundings()
    split = split or partition(graph)
    segments = [segment for segment in split.segments if segment.place is Place.FPGA]
    layers = tuple(lower(graph, segment, device) for segment in segments)
    if engine is EngineName.CHAINS:
        from windtunnel_emulators.brainwave.timing import chains

        parts = tuple(chains.time_part(some, device) for some in layers)
    else:
        parts = tuple(closed.time_part(some, device) for some in layers)
    found = fit.check([layer for some in layers for layer in some], device)
    return Analysis(
        graph=graph,
        device=device,
        engine=engine,
        partition=split,
        layers=layers,
        parts=parts,
        diagnostics=(*found, *split.diagnostics),
        timeline=timeline(graph, split.segments, parts, device, around),
        around=around,
    )
