"""The partition: CPU part, FPGA part, CPU part, by the rule of the service.

The FPGA part starts at the first convolution or recurrent layer (the first dense layer where a model has neither) and
takes what follows while the device runs it. What it does not run is the end of the FPGA part, unless a convolution or
recurrent layer comes behind it: then it is an island on the CPU, which costs a round trip over PCIe and a warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.diagnostics import Diagnostic, warning
from windtunnel_emulators.brainwave.errors import BadModel
from windtunnel_emulators.brainwave.operators import DENSE, HEAVY, refusal

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.graph import Graph, Node


class Place(StrEnum):
    """Where a segment runs."""

    CPU = "cpu"
    FPGA = "fpga"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Operators that run at one place without the other in between."""

    place: Place
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    """Values that come to it from elsewhere; of the FPGA, those that cross PCIe."""
    outputs: tuple[str, ...]
    island: bool = False
    """On the CPU, between two segments of the FPGA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """The segments in the order in which they run."""

    segments: tuple[Segment, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def islands(self) -> int:
        """CPU segments inside the FPGA part."""
        return sum(segment.island for segment in self.segments)


def partition(graph: Graph) -> Partition:
    """Raises ``BadModel`` when the device runs nothing of the model."""
    refused = {node.name + node.outputs[0]: refusal(graph, node) for node in graph.nodes}
    runs = {_key(node) for node in graph.nodes if refused[_key(node)] is None}
    heavy = {_key(n) for n in graph.nodes if n.op in HEAVY and _key(n) in runs and not _is_classifier(graph, n)}
    heavy = heavy or {_key(n) for n in graph.nodes if n.op in DENSE and _key(n) in runs}
    if not heavy:
        ops = sorted({node.op for node in graph.nodes})
        reasons = [r.reason for n in graph.nodes if n.op in HEAVY | DENSE and (r := refused[_key(n)]) is not None]
        because = f": {reasons[0]}" if reasons else f" (it has {', '.join(ops[:8])}{', ...' if len(ops) > 8 else ''})"
        raise BadModel(
            f"the device runs nothing of {graph.name}{because}",
            way_out="It accelerates Conv, GRU, LSTM and, without these, Gemm and MatMul with constant weights.",
        )
    placed = _places(graph, runs, heavy)
    stages = _stages(graph, placed)
    segments = _segments(graph, placed, stages)
    found: list[Diagnostic] = []
    for segment in segments:
        for node in segment.nodes if segment.island else ():
            why = refused[_key(node)]
            if why is not None:
                found.append(
                    warning(
                        why.code,
                        node.name,
                        f"{why.reason}: it runs on the CPU in the middle of the FPGA part, which costs a round trip",
                        why.suggestion,
                    )
                )
    return Partition(segments=segments, diagnostics=tuple(found))


def _key(node: Node) -> str:
    return node.name + node.outputs[0]


def _is_classifier(graph: Graph, node: Node) -> bool:
    """A convolution of a map of one place is a dense layer, and the service's classifier often is one."""
    return node.op == "Conv" and all(size == 1 for size in graph.shape(node.inputs[0])[2:])


def _places(graph: Graph, runs: set[str], heavy: set[str]) -> dict[str, Place]:
    before_heavy: set[str] = set()
    consumers = graph.consumers
    for node in reversed(graph.nodes):
        after = [other for output in node.outputs for other in consumers.get(output, ())]
        if any(_key(other) in heavy or _key(other) in before_heavy for other in after):
            before_heavy.add(_key(node))
    producers = graph.producers
    placed: dict[str, Place] = {}
    behind: set[str] = set()
    """Nodes that have the FPGA before them."""
    for node in graph.nodes:
        key = _key(node)
        sources = [_key(producers[n]) for n in node.inputs if n in producers]
        if any(s in behind or placed[s] is Place.FPGA for s in sources):
            behind.add(key)
        outside = any(n not in producers and not graph.constant(n) for n in node.inputs)
        all_inside = bool(sources) and not outside and all(placed[s] is Place.FPGA for s in sources)
        wanted = key in heavy or all_inside or (key in behind and key in before_heavy)
        placed[key] = Place.FPGA if key in runs and wanted else Place.CPU
    return placed


def _stages(graph: Graph, placed: dict[str, Place]) -> dict[str, int]:
    """Even numbers on the CPU, odd ones on the FPGA; a value goes from lower to higher."""
    producers = graph.producers
    stages: dict[str, int] = {}
    for node in graph.nodes:
        key = _key(node)
        odd = placed[key] is Place.FPGA
        stage = 1 if odd else 0
        for name in node.inputs:
            if name in producers:
                source = stages[_key(producers[name])]
                stage = max(stage, source if source % 2 == odd else source + 1)
        stages[key] = stage
    return stages


def _segments(graph: Graph, placed: dict[str, Place], stages: dict[str, int]) -> tuple[Segment, ...]:
    producers, consumers = graph.producers, graph.consumers
    last_fpga = max(stage for stage in stages.values() if stage % 2)
    result: list[Segment] = []
    for stage in sorted(set(stages.values())):
        nodes = tuple(node for node in graph.nodes if stages[_key(node)] == stage)
        here = {_key(node) for node in nodes}
        inside = Place.FPGA if stage % 2 else Place.CPU

        def stays(other: Node, here: set[str] = here, inside: Place = inside) -> bool:
            # What the FPGA made for the FPGA stays in its memories, across an island too.
            return _key(other) in here or (inside is Place.FPGA and placed[_key(other)] is Place.FPGA)

        taken = dict.fromkeys(
            name
            for node in nodes
            for name in node.inputs
            if not graph.constant(name) and (name not in producers or not stays(producers[name]))
        )
        given = dict.fromkeys(
            name
            for node in nodes
            for name in node.outputs
            if name in graph.outputs or any(not stays(other) for other in consumers.get(name, ()))
        )
        result.append(
            Segment(
                place=inside,
                nodes=nodes,
                inputs=tuple(taken),
                outputs=tuple(given),
                island=inside is Place.CPU and 0 < stage < last_fpga,
            )
        )
    return tuple(result)
