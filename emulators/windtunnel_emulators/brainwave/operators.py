"""Which operators the device runs, and why not the rest.

What Brainwave's instruction set does with constants in its register files: matrix by vector, element-wise sums,
products and maxima, three activations, windows of vectors. The rules of recurrent layers are those of Microsoft's
ONNX provider for the device (batch 1, constant weights, sigmoid and tanh, no clip, ``linear_before_reset`` 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.diagnostics import Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.brainwave.graph import Graph, Node

HEAVY = frozenset({"Conv", "GRU", "LSTM"})
"""The device's part of a model starts with one of these."""
DENSE = frozenset({"Gemm", "MatMul"})
"""Or with one of these, in a model that has none of the first."""
FREE = frozenset({"Identity", "Dropout", "Pad"})
"""Addressing only, when the device runs them at all."""
_ELEMENTWISE = frozenset({"Add", "Sum", "Sub", "Mul", "Max"})
_ACTIVATIONS = frozenset({"Relu", "Clip", "Sigmoid", "Tanh"})
_RANKS = (3, 4)
GATES = {"GRU": 3, "LSTM": 4}
_DEFAULTS = {"GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why the device does not run an operator."""

    code: Code
    reason: str
    suggestion: str


def refusal(graph: Graph, node: Node) -> Refusal | None:
    """None when the device runs it."""
    check = _CHECKS.get(node.op)
    if check is None:
        return _subset(
            f"the device has no operator {node.op}",
            "Replace it by what the device runs (Conv, BatchNormalization, Relu, Clip, Sigmoid, Tanh, Add, Mul, Max,"
            " Concat of channels, MaxPool, AveragePool, Gemm, GRU, LSTM), or move it before the first or behind the"
            " last of these.",
        )
    moving = [n for n in (*node.inputs, node.outputs[0]) if n and not graph.constant(n)]
    open_shape = next((name for name in moving if not graph.tensors[name].known), None)
    if open_shape is not None:
        return Refusal(
            code=Code.LOOP,
            reason=f"the shape of {open_shape!r} is known only at run time",
            suggestion="Export the model with fixed shapes, or give them: --shape NAME=1,3,224,224.",
        )
    return check(graph, node)


def _subset(reason: str, suggestion: str) -> Refusal:
    return Refusal(code=Code.SUBSET, reason=reason, suggestion=suggestion)


def _constants(graph: Graph, node: Node, first: int) -> Refusal | None:
    if all(graph.constant(name) for name in node.inputs[first:]):
        return None
    return _subset(
        f"the parameters of {node.op} are computed, not constants of the file",
        "Fold constants when exporting (torch.onnx.export does, with do_constant_folding=True).",
    )


def _convolution(graph: Graph, node: Node) -> Refusal | None:
    rank = len(graph.shape(node.inputs[0]))
    if rank not in _RANKS:
        return _subset(f"Conv has {rank - 2} spatial dimensions", "The device runs one and two: reshape the model.")
    if len(graph.shape(node.inputs[1])) != rank:
        return _subset("the weights of Conv have another rank than its input", "Check that the file is whole.")
    return _constants(graph, node, 1)


def _normalisation(graph: Graph, node: Node) -> Refusal | None:
    if len(node.outputs) > 1 and any(node.outputs[1:]) and node.whole("training_mode", 0):
        return _subset("BatchNormalization is in training mode", "Export the model in evaluation mode.")
    return _constants(graph, node, 1)


def _elementwise(graph: Graph, node: Node) -> Refusal | None:
    shape = graph.shape(node.outputs[0])
    for name in node.inputs:
        if graph.constant(name):
            continue
        other = graph.shape(name)
        vector = len(other) == len(shape) == 4 and other[1] == shape[1] and other[2:] == (1, 1)
        if other != shape and not vector:
            return _subset(
                f"{node.op} combines {list(other)} with {list(shape)}", "The device combines equal shapes, or a vector."
            )
    return None


def _activation(graph: Graph, node: Node) -> Refusal | None:
    return _constants(graph, node, 1)


def _pool(graph: Graph, node: Node) -> Refusal | None:
    shape = graph.shape(node.outputs[0])
    if len(shape) not in _RANKS:
        return _subset(f"{node.op} has {len(shape) - 2} spatial dimensions", "The device runs one and two.")
    if len(node.wholes("kernel_shape")) != len(shape) - 2:
        return _subset(f"the kernel of {node.op} has another rank than its input", "Check that the file is whole.")
    if len(node.outputs) > 1 and node.outputs[1]:
        return _subset("MaxPool also gives indices", "Leave the indices out.")
    if node.op == "AveragePool" and all(size == 1 for size in shape[2:]) and not _single(node):
        return _subset(
            "AveragePool over the whole map is the CPU's, as in the service's own models",
            "Leave it behind the last convolution.",
        )
    return None


def _single(node: Node) -> bool:
    return all(size == 1 for size in node.wholes("kernel_shape"))


def _concat(graph: Graph, node: Node) -> Refusal | None:
    rank = len(graph.shape(node.outputs[0]))
    if node.whole("axis", 1) % max(rank, 1) != 1 or rank < 2:
        return _subset("Concat is not along the channels", "The device joins channels: they are its native vectors.")
    return None


def _dense(graph: Graph, node: Node) -> Refusal | None:
    if node.op == "Gemm" and (node.whole("transA", 0) or node.attributes.get("alpha", 1.0) != 1.0):
        return _subset("Gemm has transA or alpha", "Fold them into the weights.")
    weights = graph.shape(node.inputs[1])
    if len(weights) != 2:
        return _subset(f"{node.op} multiplies tensors of rank {len(weights)}", "The device's matrices have rank 2.")
    return _constants(graph, node, 1)


def _recurrent(graph: Graph, node: Node) -> Refusal | None:
    missing = _constants(graph, node, 1)
    if any(node.inputs[4:5]):
        return Refusal(
            code=Code.LOOP,
            reason=f"{node.op} has sequence lengths that are known only at run time",
            suggestion="Export it for a fixed number of steps, without sequence_lens.",
        )
    if missing is not None and not all(graph.constant(n) for n in node.inputs[1:4]):
        return missing
    if len(node.inputs) < 3:
        return _subset(f"{node.op} has no weights", "Check that the file is whole.")
    shape = graph.shape(node.inputs[0])
    weights, state = (graph.shape(name) for name in node.inputs[1:3])
    gates = GATES[node.op]
    if len(shape) != 3 or len(state) != 3 or weights != (state[0], gates * state[2], shape[2]):
        return _subset(f"the weights of {node.op} do not belong to its input", "Check the shape of the model's input.")
    if shape[1] != 1:
        return Refusal(
            code=Code.PAYLOAD, reason=f"{node.op} has a batch of {shape[1]}", suggestion="The device runs a batch of 1."
        )
    mode = _mode(node)
    return None if mode is None else Refusal(code=Code.MODE, reason=mode[0], suggestion=mode[1])


def _mode(node: Node) -> tuple[str, str] | None:
    wanted = _DEFAULTS[node.op]
    given = tuple(text.lower() for text in node.texts("activations"))
    if given and given not in (wanted, wanted * 2):
        return f"{node.op} has the activations {', '.join(given)}", f"The device has {', '.join(wanted)} here."
    if "clip" in node.attributes:
        return f"{node.op} clips its gates", "Leave clip out."
    if node.whole("linear_before_reset", 0):
        return (
            "GRU has linear_before_reset=1 (as PyTorch exports it)",
            "Train with the reset gate before the matrix (Keras: reset_after=False), or use an LSTM.",
        )
    if node.whole("input_forget", 0):
        return "LSTM couples input and forget gate", "Leave input_forget out."
    if node.whole("layout", 0):
        return f"{node.op} has layout=1", "Export it with the sequence as the first dimension (layout=0)."
    return None


def _free(graph: Graph, node: Node) -> Refusal | None:
    if node.op == "Pad":
        before, after = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
        if node.text("mode", "constant") != "constant" or before[:2] != after[:2]:
            return _subset("Pad is not of zeros around the map", "Put the padding into the convolution.")
    return None


_CHECKS: dict[str, Callable[[Graph, Node], Refusal | None]] = {
    "Conv": _convolution,
    "BatchNormalization": _normalisation,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "Concat": _concat,
    "Gemm": _dense,
    "MatMul": _dense,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_ACTIVATIONS, _activation),
    **dict.fromkeys(FREE, _free),
}
