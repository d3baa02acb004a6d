"""Lowering: the operators of an FPGA segment become layers; what a chain can do behind a multiplication joins it."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave import tiles
from windtunnel_emulators.brainwave.errors import BadModel
from windtunnel_emulators.brainwave.layers import Form, Layer
from windtunnel_emulators.brainwave.operators import FREE, GATES
from windtunnel_emulators.brainwave.timing.program import Op, mfus_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.brainwave.devices import Device
    from windtunnel_emulators.brainwave.graph import Graph, Node
    from windtunnel_emulators.brainwave.partition import Segment

_CHAINS: dict[str, tuple[Op, ...]] = {
    "BatchNormalization": (Op.VV_MUL, Op.VV_ADD),
    "Relu": (Op.V_RELU,),
    "Clip": (Op.V_RELU,),
    "Sigmoid": (Op.V_SIGM,),
    "Tanh": (Op.V_TANH,),
    "Add": (Op.VV_ADD,),
    "Sum": (Op.VV_ADD,),
    "Sub": (Op.VV_A_SUB_B,),
    "Mul": (Op.VV_MUL,),
    "Max": (Op.VV_MAX,),
}
_TILES_LIMIT = 1_000_000
"""Of one layer: 12 GB on the device for convolutions."""
INSTRUCTIONS = {"GRU": 38, "LSTM": 47}
"""In one step of ISCA 2018's listings."""


def vectors_of(shape: Sequence[int], native: int) -> int:
    """Native vectors of a value: channels lie along them; of sequences, and of plain vectors, the last dimension."""
    if len(shape) >= 4:
        return map_vectors(shape, native)
    if not shape:
        return 1
    return prod(shape[:-1]) * ceil(shape[-1] / native)


def map_vectors(shape: Sequence[int], native: int) -> int:
    """Native vectors of what convolutions and pools work on, with any number of spatial dimensions."""
    return shape[0] * prod(shape[2:]) * ceil(shape[1] / native)


def lower(graph: Graph, segment: Segment, device: Device) -> tuple[Layer, ...]:
    """The layers of one FPGA segment, in order."""
    return _Lowering(graph, segment, device).layers()


class _Growing:
    """A layer that operators still join."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.output = layer.output
        self.chain = layer.chain
        self.nodes = list(layer.nodes)
        self.inputs = list(layer.inputs)
        self.partners = layer.partners
        self.scaled = layer.scaled

    def done(self) -> Layer:
        """As it is now."""
        if len(self.nodes) == len(self.layer.nodes):
            return self.layer
        return replace(
            self.layer,
            nodes=tuple(self.nodes),
            inputs=tuple(self.inputs),
            output=self.output,
            chain=self.chain,
            partners=self.partners,
            scaled=self.scaled,
        )


class _Lowering:
    def __init__(self, graph: Graph, segment: Segment, device: Device) -> None:
        self._graph = graph
        self._segment = segment
        self._device = device
        self._native = device.native_dim.whole
        self._consumers = graph.consumers
        self._layers: list[_Growing] = []
        self._open: dict[str, int] = {}
        """The layer that ends with a value, while nothing else has used it."""
        self._alias: dict[str, str] = {}

    def layers(self) -> tuple[Layer, ...]:
        for node in self._segment.nodes:
            if node.op in FREE or (node.op in ("MaxPool", "AveragePool") and _is_stride(node)):
                self._alias[node.outputs[0]] = self._source(node.inputs[0])  # an address, or a stride of addresses
            elif node.op == "Conv":
                self._add(self._convolution(node))
            elif node.op in ("Gemm", "MatMul"):
                self._add(self._dense(node))
            elif node.op in ("GRU", "LSTM"):
                self._add(self._recurrent(node))
            elif node.op in ("MaxPool", "AveragePool"):
                self._add(self._pool(node))
            elif node.op == "Concat":
                self._concat(node)
            else:
                self._elementwise(node)
        return tuple(layer.done() for layer in self._layers)

    def _source(self, name: str) -> str:
        return self._alias.get(name, name)

    def _add(self, layer: Layer) -> None:
        weighted = layer.form in (Form.CONVOLUTION, Form.DENSE, Form.RECURRENT)
        if 0 in layer.shape or (weighted and not layer.macs):
            raise BadModel(
                f"{layer.name} has nothing to work on: its output is {'x'.join(map(str, layer.shape))}",
                way_out="Give a larger input: --shape NAME=1,3,224,224.",
            )
        if layer.tiles > _TILES_LIMIT:
            raise BadModel(
                f"{layer.name} has weights of {layer.tiles:,} native tiles, which no device of this kind could load",
                way_out="Check that the file is whole, or split the layer.",
            )
        self._open[layer.output] = len(self._layers)
        self._layers.append(_Growing(layer))

    def _convolution(self, node: Node) -> Layer:
        shape, taken = self._graph.shape(node.outputs[0]), self._graph.shape(node.inputs[0])
        weights = self._graph.shape(node.inputs[1])
        kernel, group = weights[2:], node.whole("group", 1)
        inputs, outputs = taken[1], shape[1]
        if inputs != weights[1] * group:
            raise BadModel(
                f"{node.name} takes {inputs} channels, and its weights are for {weights[1] * group}",
                way_out="Check the shape of the model's input.",
            )
        # The network's input is an image for which the expander lays out windows.
        expand = (
            self._device.expander_window is not None
            and inputs <= tiles.EXPANDER_CHANNELS
            and group == 1
            and node.inputs[0] in self._segment.inputs
        )
        if expand and self._device.expander_window is not None:
            window = self._device.expander_window.whole
            tiling = tiles.expanded(kernel, inputs, outputs, self._native, window)
        else:
            tiling = tiles.convolution(kernel, inputs, outputs, group, self._native)
        places = shape[0] * prod(shape[2:])
        wide = ceil(inputs / self._native)
        layer = Layer(
            name=node.name,
            op="Conv",
            form=Form.CONVOLUTION,
            nodes=(node.name,),
            inputs=(self._source(node.inputs[0]),),
            output=node.outputs[0],
            shape=shape,
            kernel=kernel,
            group=group,
            macs=places * outputs * (inputs // group) * prod(kernel),
            row_tiles=tiling.row_tiles,
            rows=tiling.rows,
            tiles=tiling.tiles,
            passes=places * tiling.tiles,
            vectors=places * tiling.rows,
            in_vectors=self._packed(node, taken) if expand else map_vectors(taken, self._native),
            window_vectors=kernel[0] * taken[-1] * wide,
            expanded=expand,
        )
        return replace(layer, chain=(Op.VV_ADD,)) if any(node.inputs[2:3]) else layer

    def _packed(self, node: Node, taken: Sequence[int]) -> int:
        # The firmware's payload is the padded image, flat: [230, 230, 3] in 1240 native vectors.
        pads = node.wholes("pads") or (0,) * (2 * (len(taken) - 2))
        half = len(pads) // 2
        padded = [size + pads[i] + pads[i + half] for i, size in enumerate(taken[2:])]
        return taken[0] * ceil(prod(padded) * taken[1] / self._native)

    def _dense(self, node: Node) -> Layer:
        shape, weights = self._graph.shape(node.outputs[0]), self._graph.shape(node.inputs[1])
        inputs, outputs = weights if node.whole("transB", 0) == 0 else weights[::-1]
        tiling = tiles.dense(inputs, outputs, self._native)
        count = prod(shape[:-1]) if shape else 1
        layer = Layer(
            name=node.name,
            op=node.op,
            form=Form.DENSE,
            nodes=(node.name,),
            inputs=(self._source(node.inputs[0]),),
            output=node.outputs[0],
            shape=shape,
            macs=count * inputs * outputs,
            row_tiles=tiling.row_tiles,
            rows=tiling.rows,
            tiles=tiling.tiles,
            passes=count * tiling.tiles,
            vectors=count * tiling.rows,
            in_vectors=count * tiling.row_tiles,
            window_vectors=tiling.row_tiles,
            width=inputs,
        )
        return replace(layer, chain=(Op.VV_ADD,)) if any(node.inputs[2:3]) else layer

    def _recurrent(self, node: Node) -> Layer:
        taken, weights = self._graph.shape(node.inputs[0]), self._graph.shape(node.inputs[1])
        directions, gates = weights[0], GATES[node.op]
        hidden, width, steps = weights[1] // gates, weights[2], taken[0]
        of_input = tiles.dense(width, hidden, self._native)
        of_state = tiles.dense(hidden, hidden, self._native)
        each = gates * (of_input.tiles + of_state.tiles)
        output = next(name for name in node.outputs if name)
        return Layer(
            name=node.name,
            op=node.op,
            form=Form.RECURRENT,
            nodes=(node.name,),
            inputs=(self._source(node.inputs[0]),),
            output=output,
            shape=self._graph.shape(output),
            macs=directions * steps * gates * hidden * (width + hidden),
            row_tiles=max(of_input.row_tiles, of_state.row_tiles),
            rows=of_state.rows,
            tiles=directions * each,
            passes=directions * steps * each,
            vectors=directions * steps * of_state.rows,
            in_vectors=steps * of_input.row_tiles,
            window_vectors=of_input.row_tiles + 2 * of_state.row_tiles,
            steps=steps,
            hidden=hidden,
            width=width,
            directions=directions,
        )

    def _pool(self, node: Node) -> Layer:
        shape, taken = self._graph.shape(node.outputs[0]), self._graph.shape(node.inputs[0])
        kernel = node.wholes("kernel_shape")
        deep = ceil(shape[1] / self._native)
        wide = shape[0] * deep
        high, across = (kernel[0], kernel[-1]) if len(kernel) > 1 else (1, sum(kernel))
        before = taken[2] if len(taken) > 3 else 1
        # Horizontal sweeps over all rows of the input, then vertical ones over the output, as the firmware pools.
        vectors = wide * (across * before * shape[-1] + (high - 1) * prod(shape[2:]))
        average = node.op == "AveragePool"
        return Layer(
            name=node.name,
            op=node.op,
            form=Form.POOL,
            nodes=(node.name,),
            inputs=(self._source(node.inputs[0]),),
            output=node.outputs[0],
            shape=shape,
            kernel=kernel,
            row_tiles=1,
            rows=ceil(shape[1] / self._native),
            tiles=1,
            passes=vectors,
            vectors=vectors,
            in_vectors=map_vectors(taken, self._native),
            window_vectors=high * prod(taken[-1:]) * deep,
            sweeps=across + high - 1,
            chain=(Op.VV_ADD, Op.VV_MUL) if average else (Op.VV_MAX,),
            scaled=average,
        )

    def _concat(self, node: Node) -> None:
        """Addressing where every part starts at a native vector; else parts are moved by a shifted identity."""
        shape = self._graph.shape(node.outputs[0])
        offset, moved = 0, 0
        for name in node.inputs:
            part = self._graph.shape(name)
            if offset % self._native:
                moved += map_vectors(part, self._native)
            offset += part[1]
        if not moved:
            return
        self._add(
            Layer(
                name=node.name,
                op="Concat",
                form=Form.POOL,
                nodes=(node.name,),
                inputs=tuple(self._source(name) for name in node.inputs),
                output=node.outputs[0],
                shape=shape,
                row_tiles=1,
                rows=1,
                tiles=1,
                passes=moved,
                vectors=moved,
                in_vectors=moved,
                window_vectors=shape[-1],
                chain=(Op.VV_ADD,),
            )
        )
        self._open.pop(node.outputs[0])

    def _elementwise(self, node: Node) -> None:
        ops = _CHAINS[node.op]
        output = node.outputs[0]
        shape = self._graph.shape(output)
        moving = [self._source(n) for n in node.inputs if not self._graph.constant(n)]
        if node.op == "Sum":
            ops = ops * max(1, len(node.inputs) - 1)
        scaled = node.op in ("BatchNormalization", "Mul")
        candidates = [
            self._open[name]
            for name in moving
            if name in self._open and len(self._consumers.get(name, ())) == 1 and name not in self._graph.outputs
        ]
        index = max(candidates, default=None)
        if index is not None:
            layer = self._layers[index]
            chain = (*layer.chain, *ops)
            partners = [name for name in moving if name != layer.output]
            alike = layer.layer.shape == shape
            if alike and mfus_needed(chain) <= self._device.mfus.whole and self._ready(partners, index):
                self._open.pop(layer.output)
                self._open[output] = index
                layer.nodes.append(node.name)
                layer.inputs += partners
                layer.output, layer.chain = output, chain
                layer.partners += sum(self._size(name) for name in partners)
                layer.scaled = layer.scaled or scaled
                return
        vectors = vectors_of(shape, self._native)
        self._add(
            Layer(
                name=node.name,
                op=node.op,
                form=Form.ELEMENTWISE,
                nodes=(node.name,),
                inputs=tuple(moving),
                output=output,
                shape=shape,
                vectors=vectors,
                in_vectors=vectors,
                window_vectors=shape[-1] if len(shape) > 3 else 1,
                rows=ceil((shape[1] if len(shape) > 3 else shape[-1] if shape else 1) / self._native),
                chain=ops,
                partners=sum(self._size(name) for name in moving[1:]),
                scaled=scaled,
            )
        )

    def _ready(self, partners: Sequence[str], index: int) -> bool:
        """Whether each partner was made before the layer: it cannot wait for a later one."""
        later = {layer.output for layer in self._layers[index + 1 :]}
        return not any(name in later for name in partners)

    def _size(self, name: str) -> int:
        return vectors_of(self._graph.shape(name), self._native)


def _is_stride(node: Node) -> bool:
    return all(size == 1 for size in node.wholes("kernel_shape"))
