"""The time line of one request: network, decoding, CPU parts, PCIe, NPU, and back."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cache
from importlib import resources
from math import prod
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.devices import Confidence, Quantity
from windtunnel_emulators.brainwave.lowering import vectors_of
from windtunnel_emulators.brainwave.partition import Place
from windtunnel_emulators.brainwave.timing.units import transfer_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.brainwave.devices import Device
    from windtunnel_emulators.brainwave.graph import Graph, Node
    from windtunnel_emulators.brainwave.partition import Segment
    from windtunnel_emulators.brainwave.timing.cost import PartTime

_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul", "GRU", "LSTM", "ConvTranspose"})
_FLOAT_BYTES = 4


class Where(StrEnum):
    """The lane of a phase."""

    NETWORK = "network"
    CPU = "cpu"
    PCIE = "pcie"
    NPU = "npu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One thing after the other."""

    name: str
    where: Where
    ms: float
    assumed: bool
    """Whether it rests on an assumption alone; else on the timing model of the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything around the NPU (timeline.toml)."""

    network_rtt_ms: Quantity
    grpc_ms: Quantity
    image_ms: Quantity
    cpu_gmacs: Quantity
    cpu_gbps: Quantity
    cpu_operator_ms: Quantity
    vcpus: Quantity

    def with_rtt(self, ms: float) -> Surroundings:
        """The same, with the caller's own network."""
        given = Quantity(value=ms, confidence=Confidence.A, source="given by the caller")
        return replace(self, network_rtt_ms=given)


@cache
def surroundings() -> Surroundings:
    """As the data file has them."""
    text = resources.files("windtunnel_emulators.brainwave.timing").joinpath("timeline.toml").read_text("utf-8")
    content = tomllib.loads(text)
    found: dict[str, Quantity] = {}
    for field in fields(Surroundings):
        entry = content[field.name]
        found[field.name] = Quantity(
            value=float(entry["value"]),
            confidence=Confidence(entry["confidence"]),
            source=entry["source"],
            low=entry.get("low"),
            high=entry.get("high"),
        )
    return Surroundings(**found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One request when nothing else waits."""

    phases: tuple[Phase, ...]

    @property
    def npu_ms(self) -> float:
        """At the FPGA: transfer, invocation, all of its parts. What published latencies count."""
        return sum(p.ms for p in self.phases if p.where in (Where.NPU, Where.PCIE))

    @property
    def busy_ms(self) -> float:
        """How long a request keeps the NPU from the next: transfers overlap with the work on others."""
        return sum(p.ms for p in self.phases if p.where is Where.NPU)

    @property
    def end_to_end_ms(self) -> float:
        """As the client sees it."""
        return sum(p.ms for p in self.phases)

    @property
    def cpu_before_ms(self) -> float:
        """On the node, before the first transfer."""
        ms = 0.0
        for phase in self.phases:
            if phase.where is Where.PCIE:
                break
            ms += phase.ms if phase.where is Where.CPU else 0.0
        return ms

    @property
    def cpu_after_ms(self) -> float:
        """The rest of the CPU's work, islands included."""
        return sum(p.ms for p in self.phases if p.where is Where.CPU) - self.cpu_before_ms


def npu_ms(graph: Graph, segments: Sequence[Segment], parts: Sequence[tuple[int, float]], device: Device) -> float:
    """At the FPGA, as ``Timeline.npu_ms``; ``parts`` are the first layer's native vectors, and cycles."""
    total = 0.0
    timed = iter(parts)
    for segment in segments:
        if segment.place is Place.FPGA:
            vectors, cycles = next(timed)
            total += sum(_transfers(graph, segment, vectors, device)) + device.milliseconds(cycles)
    return total


def _transfers(graph: Graph, segment: Segment, first: int, device: Device) -> tuple[float, float]:
    """There, with the invocation, and back."""
    invoke = device.invoke_us.value / 1000
    if device.dram_gbps is None:
        return invoke, 0.0  # a recurrent device's invocation was fitted with its transfers in it
    vectors = first if len(segment.inputs) == 1 else _crossing(graph, segment.inputs, device)
    return invoke + transfer_ms(vectors, device), transfer_ms(_crossing(graph, segment.outputs, device), device)


def timeline(
    graph: Graph, segments: Sequence[Segment], parts: Sequence[PartTime], device: Device, around: Surroundings
) -> Timeline:
    """``parts`` are the timed FPGA segments, in order."""
    phases = [_phase("network, there", Where.NETWORK, around.network_rtt_ms.value / 2)]
    phases.append(_phase("gRPC", Where.CPU, around.grpc_ms.value))
    if takes_image(graph):
        phases.append(_phase("decode and resize the image", Where.CPU, around.image_ms.value))
    timed = iter(parts)
    done = 0
    for segment in segments:
        if segment.place is Place.CPU:
            name = "CPU island" if segment.island else "CPU part before" if done == 0 else "CPU part behind"
            phases.append(_phase(name, Where.CPU, cpu_ms(graph, segment.nodes, around)))
            continue
        part = next(timed)
        done += 1
        suffix = f" {done}" if len(parts) > 1 else ""
        is_fact = device.pcie_gbps.is_fact and device.invoke_us.is_fact
        there, back = _transfers(graph, segment, part.layers[0].layer.in_vectors, device)
        phases += [
            Phase(name=f"PCIe and invocation{suffix}", where=Where.PCIE, ms=there, assumed=not is_fact),
            Phase(name=f"NPU{suffix}", where=Where.NPU, ms=device.milliseconds(part.cycles), assumed=False),
            Phase(name=f"PCIe back{suffix}", where=Where.PCIE, ms=back, assumed=not is_fact),
        ]
    phases.append(_phase("network, back", Where.NETWORK, around.network_rtt_ms.value / 2))
    return Timeline(phases=tuple(phases))


def takes_image(graph: Graph) -> bool:
    """Whether the client sends an image: one input, of three channels and a plane."""
    shapes = [graph.shape(name) for name in graph.inputs if name in graph.tensors]
    return len(shapes) == 1 and len(shapes[0]) == 4 and 3 in (shapes[0][1], shapes[0][3])


def cpu_ms(graph: Graph, nodes: Sequence[Node], around: Surroundings) -> float:
    """The larger of arithmetic and reading the weights, for each operator."""
    total = 0.0
    for node in nodes:
        total += around.cpu_operator_ms.value
        if node.op not in _WEIGHTED or len(node.inputs) < 2:
            continue
        weights = sum(graph.tensors[n].size for n in node.inputs[1:] if n and graph.constant(n))
        shape = graph.shape(node.outputs[0])
        places = prod(shape[2:]) if node.op in ("Conv", "ConvTranspose") else 1
        if node.op in ("GRU", "LSTM"):
            places = graph.shape(node.inputs[0])[0] if graph.shape(node.inputs[0]) else 1
        reading = weights * _FLOAT_BYTES / (around.cpu_gbps.value * 1e6)
        total += max(weights * places / (around.cpu_gmacs.value * 1e6), reading)
    return total


def _crossing(graph: Graph, names: Sequence[str], device: Device) -> int:
    return sum(vectors_of(graph.shape(name), device.native_dim.whole) for name in names)


def _phase(name: str, where: Where, ms: float) -> Phase:
    return Phase(name=name, where=where, ms=ms, assumed=True)
