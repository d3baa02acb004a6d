"""GRU and LSTM, written out: onnxruntime's own cannot round the state between steps, so each becomes a ``Scan``.

What the device takes is what Microsoft's published firmware takes: constant weights, sigmoid and tanh, no
clipping, ``linear_before_reset=0``. Products of the input are made for all steps at once, before the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from windtunnel_emulators.brainwave.numerics import weights
from windtunnel_emulators.brainwave.numerics.activations import Layout, quantised
from windtunnel_emulators.brainwave.numerics.attributes import has, number_of, text_of, texts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from onnx import GraphProto, NodeProto

    from windtunnel_emulators.brainwave.numerics.editing import Editor
    from windtunnel_emulators.brainwave.numerics.formats import BlockFormat

_USUAL = {"GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}


def refusal(node: NodeProto, editor: Editor) -> str | None:
    """Why the device would not take it; None when it would."""
    activations = tuple(name.lower() for name in texts_of(node, "activations"))
    if activations not in ((), _USUAL[node.op_type], _USUAL[node.op_type] * 2):
        return f"its activations are {', '.join(activations)}, and the device has sigmoid and tanh"
    if has(node, "clip"):
        return "it clips its activations"
    if number_of(node, "linear_before_reset", 0):
        return "linear_before_reset is set"
    if number_of(node, "layout", 0):
        return "its layout is batch first"
    if number_of(node, "input_forget", 0):
        return "its input and forget gates are coupled"
    if any(node.input[i] for i in (4, 7) if i < len(node.input)):
        return "it has sequence lengths or peepholes"
    if any(editor.value(name) is None for name in node.input[1:4] if name):
        return "its weights are computed, or not float32"
    return None


def expand(
    node: NodeProto,
    editor: Editor,
    number: BlockFormat,
    rounded_input: Callable[[str, Layout], str],
) -> None:
    """Write the node as products, a ``Scan`` and the outputs that it had."""
    _Expansion(node, editor, number).write(rounded_input)


class _Expansion:
    def __init__(self, node: NodeProto, editor: Editor, number: BlockFormat) -> None:
        self._node = node
        self._editor = editor
        self._number = number
        self._is_lstm = node.op_type == "LSTM"
        self._gates = 4 if self._is_lstm else 3
        self._of_input = _value(editor, node.input[1])
        self._of_state = _value(editor, node.input[2])
        self._hidden = self._of_state.shape[2]
        self._size = self._gates * self._hidden
        both = (len(self._of_input), 2 * self._size)
        self._bias = _value(editor, node.input[3]) if len(node.input) > 3 and node.input[3] else np.zeros(both)

    def write(self, rounded_input: Callable[[str, Layout], str]) -> None:
        source = rounded_input(self._node.input[0], Layout(length=self._of_input.shape[2], last=True))
        direction = text_of(self._node, "direction", "forward")
        backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
        found = [self._scan(index, source, backwards=back) for index, back in enumerate(backwards)]
        for place, name in enumerate(self._node.output):
            if name:
                # Y is [steps, directions, batch, hidden]; the last states are [directions, batch, hidden].
                self._join([outputs[place] for outputs in found], 1 if place == 0 else 0, name)

    def _join(self, values: list[str], axis: int, output: str) -> None:
        editor = self._editor
        whole = [editor.node("Unsqueeze", [value, editor.integers([axis])]) for value in values[:-1]]
        if not whole:
            editor.node("Unsqueeze", [values[0], editor.integers([axis])], output=output)
            return
        whole.append(editor.node("Unsqueeze", [values[-1], editor.integers([axis])]))
        editor.node("Concat", whole, output=output, axis=axis)

    def _scan(self, direction: int, source: str, *, backwards: bool) -> list[str]:
        """One direction: all outputs of the steps [steps, batch, hidden], and the last states [batch, hidden]."""
        editor = self._editor
        kernel = weights.matrix(self._of_input[direction], self._number, inputs_axis=1).T
        products = editor.node("MatMul", [source, editor.floats("weights", kernel)])
        bias = self._bias[direction]
        both = np.asarray(bias[: self._size] + bias[self._size :], np.float32)
        products = editor.node("Add", [products, editor.floats("bias", both)])
        states = [self._initial(5, direction), *([self._initial(6, direction)] if self._is_lstm else [])]
        finals, steps = [editor.name("final") for _ in states], editor.name("steps")
        editor.nodes.append(
            helper.make_node(
                "Scan",
                [*states, products],
                [*finals, steps],
                name=editor.name("scan"),
                body=self._body(direction),
                num_scan_inputs=1,
                scan_input_directions=[int(backwards)],
                scan_output_directions=[int(backwards)],
            )
        )
        return [steps, *finals]

    def _initial(self, index: int, direction: int) -> str:
        """The state before the first step, [batch, hidden]."""
        editor, node = self._editor, self._node
        if len(node.input) > index and node.input[index]:
            return editor.node("Gather", [node.input[index], editor.index(direction)], axis=0)
        batch = editor.node("Gather", [editor.node("Shape", [node.input[0]]), editor.integers([1])], axis=0)
        shape = editor.node("Concat", [batch, editor.integers([self._hidden])], axis=0)
        return editor.node("ConstantOfShape", [shape])  # float32 zeros

    def _body(self, direction: int) -> GraphProto:
        """One step. Its nodes take weights from outside, as ONNX's inner graphs may."""
        editor = self._editor
        outside, editor.nodes = editor.nodes, []
        try:
            state, carried, product = (editor.name(what) for what in ("state", "cell", "product"))
            if self._is_lstm:
                results = self._lstm_step(state, carried, product, direction)
                given = [state, carried, product]
            else:
                results = [self._gru_step(state, product, direction)]
                given = [state, product]
            # A state that leaves the loop and the step's own output are two outputs, also when they are equal.
            results.append(editor.node("Identity", [results[0]]))
            return helper.make_graph(
                editor.nodes,
                editor.name("step"),
                [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in given],
                [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results],
            )
        finally:
            editor.nodes = outside

    def _state_product(self, state: str, gates: slice, direction: int) -> str:
        rows = self._of_state[direction][gates.start * self._hidden : gates.stop * self._hidden]
        kernel = weights.matrix(rows, self._number, inputs_axis=1).T
        rounded = quantised(self._editor, state, Layout(length=self._hidden, last=True), self._number, positive=False)
        return self._editor.node("MatMul", [rounded, self._editor.floats("weights", kernel)])

    def _parts(self, source: str, gates: slice) -> str:
        editor = self._editor
        ends = [editor.integers([n * self._hidden]) for n in (gates.start, gates.stop)]
        return editor.node("Slice", [source, *ends, editor.integers([1])])

    def _gru_step(self, state: str, product: str, direction: int) -> str:
        """ONNX: gates z, r, h; the reset gate acts on the state before its product."""
        editor = self._editor
        both, last = slice(0, 2), slice(2, 3)
        sums = editor.node("Add", [self._parts(product, both), self._state_product(state, both, direction)])
        gates = editor.node("Sigmoid", [sums])
        update, reset = self._parts(gates, slice(0, 1)), self._parts(gates, slice(1, 2))
        kept = editor.node("Mul", [reset, state])
        sums = editor.node("Add", [self._parts(product, last), self._state_product(kept, last, direction)])
        rest = editor.node("Sub", [editor.scalar(1.0), update])
        new = editor.node("Mul", [rest, editor.node("Tanh", [sums])])
        return editor.node("Add", [new, editor.node("Mul", [update, state])])

    def _lstm_step(self, state: str, cell: str, product: str, direction: int) -> list[str]:
        """ONNX: gates i, o, f, c."""
        editor = self._editor
        sums = editor.node("Add", [product, self._state_product(state, slice(0, 4), direction)])
        gates = editor.node("Sigmoid", [self._parts(sums, slice(0, 3))])
        into, out, forget = (self._parts(gates, slice(i, i + 1)) for i in range(3))
        new = editor.node("Tanh", [self._parts(sums, slice(3, 4))])
        kept = editor.node("Mul", [forget, cell])
        next_cell = editor.node("Add", [kept, editor.node("Mul", [into, new])])
        return [editor.node("Mul", [out, editor.node("Tanh", [next_cell])]), next_cell]


def _value(editor: Editor, name: str) -> NDArray[np.float32]:
    value = editor.value(name)
    if value is None:
        raise ValueError(f"{name!r} is no value of the file")  # refusal() has made sure of it
    return value
