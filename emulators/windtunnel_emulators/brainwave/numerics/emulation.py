"""``emulate``: an ONNX model that computes what the device would, when plain onnxruntime runs it.

    fp32       the model as it is
    bfp        operands of matrix products are rounded to block floating point, sums are float32
    bfp+fp16   and what a chain of the device writes is rounded to fp16, as its vectors are

Rounded are Conv, Gemm, MatMul by a constant, GRU and LSTM. Left exact is pooling: the device sends vectors through an
identity matrix for it, whose product is the vector rounded to its block; the product that follows rounds it anyway.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import onnx

from windtunnel_emulators.brainwave.errors import BadModel
from windtunnel_emulators.brainwave.numerics import recurrent, weights
from windtunnel_emulators.brainwave.numerics.activations import Layout, quantised
from windtunnel_emulators.brainwave.numerics.attributes import number_of
from windtunnel_emulators.brainwave.numerics.editing import Editor

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from windtunnel_emulators.brainwave.numerics.formats import BlockFormat

OLDEST_OPSET = 13
"""What the inserted nodes need; older models are converted."""
PRODUCTS = frozenset({"Conv", "Gemm", "MatMul", "GRU", "LSTM"})
_ALONG = frozenset({"BatchNormalization", "Add", "Sub", "Mul", "Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "Sum"})
"""Operators that the device does to a vector on its way, before it is written."""
_POSITIVE = frozenset({"Relu", "Sigmoid", "Softmax", "Abs", "HardSigmoid"})
_KEEPS_SIGN = frozenset({"MaxPool", "GlobalMaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Reshape", "Flatten",
                         "Dropout", "Identity", "Transpose", "Squeeze", "Unsqueeze"})  # fmt: skip


class Numerics(StrEnum):
    """How products are computed."""

    FP32 = "fp32"
    BFP = "bfp"
    BFP_FP16 = "bfp+fp16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """A model, and what became of its products, each known by its first output."""

    model: ModelProto
    rounded: tuple[str, ...]
    exact: tuple[tuple[str, str], ...] = ()
    """Those that stayed as they are, with the reason."""


class NotEmulated(BadModel):
    """A product that has no block floating point form here."""


def emulate(
    model: ModelProto,
    number: BlockFormat,
    numerics: Numerics = Numerics.BFP,
    *,
    on_device: Collection[str] | None = None,
) -> Emulated:
    """The model is changed. ``on_device`` names the first outputs of the nodes that the device runs; None: every
    product that can be rounded. Raises ``NotEmulated`` for one that is named and cannot.
    """
    if numerics is Numerics.FP32:
        return Emulated(model=model, rounded=())
    return _Emulation(_new_enough(model), number, on_device, half=numerics is Numerics.BFP_FP16).run()


def _new_enough(model: ModelProto) -> ModelProto:
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if version >= OLDEST_OPSET:
        return model
    if model.ir_version < 4:
        model.ir_version = 4  # or the converter takes the values for inputs that somebody has to give
    try:
        return onnx.version_converter.convert_version(model, OLDEST_OPSET)
    except (RuntimeError, ValueError) as problem:
        raise NotEmulated(
            f"the model has operator set {version}, and it cannot be converted to {OLDEST_OPSET}: {problem}",
            way_out=f"Export the model for operator set {OLDEST_OPSET} or later.",
        ) from problem


class _Emulation:
    """Goes through the nodes once, in order."""

    def __init__(
        self, model: ModelProto, number: BlockFormat, on_device: Collection[str] | None, *, half: bool
    ) -> None:
        self._editor = Editor(model)
        self._nodes = list(model.graph.node)
        self._number = number
        self._on_device = on_device
        self._half = half
        self._positive: set[str] = set()
        self._rounded: dict[tuple[str, Layout], str] = {}
        self._products: list[str] = []
        self._exact: list[tuple[str, str]] = []
        self._uses = Counter(name for node in self._nodes for name in node.input)
        self._outputs = {value.name for value in model.graph.output}
        self._users = {name: node for node in self._nodes for name in node.input}

    def run(self) -> Emulated:
        for node in self._nodes:
            self._note_sign(node)
            wanted = self._on_device is None or node.output[0] in self._on_device
            if node.op_type not in PRODUCTS or node.domain not in ("", "ai.onnx") or not wanted:
                self._take(node, on_device=wanted)
                continue
            reason = self._product(node)
            if reason is None:
                self._products.append(node.output[0])
                continue
            if self._on_device is not None and node.op_type != "MatMul":
                raise NotEmulated(
                    f"{node.op_type} {node.name or node.output[0]!r} has no block floating point form: {reason}",
                    way_out="Change the model, or compute in float32: numerics=fp32.",
                )
            self._exact.append((node.output[0], reason))
            self._take(node, on_device=False)
        self._editor.finish()
        return Emulated(model=self._editor.model, rounded=tuple(self._products), exact=tuple(self._exact))

    def _note_sign(self, node: NodeProto) -> None:
        data = [name for name in node.input[:1] if name]
        if node.op_type == "Concat":
            data = list(node.input)
        clip_from = self._editor.value(node.input[1]) if node.op_type == "Clip" and len(node.input) > 1 else None
        positive = (
            node.op_type in _POSITIVE
            or (node.op_type in _KEEPS_SIGN and bool(data) and all(name in self._positive for name in data))
            or (clip_from is not None and clip_from.size == 1 and float(clip_from.reshape(())) >= 0)
        )
        if positive:
            self._positive.update(node.output)

    def _product(self, node: NodeProto) -> str | None:
        """Write the node with rounded operands; the reason when it cannot be."""
        if node.op_type in ("GRU", "LSTM"):
            reason = recurrent.refusal(node, self._editor)
            if reason is None:
                recurrent.expand(node, self._editor, self._number, self._input)
            return reason
        constant = self._editor.value(node.input[1])
        if constant is None:
            return "its weights are computed, or not float32"
        match node.op_type:
            case "Conv":
                groups = number_of(node, "group", 1)
                layout = Layout(length=constant.shape[1] * groups, last=False)
                kernel = weights.convolution(constant, groups, self._number)
            case "Gemm":
                if number_of(node, "transA", 0):
                    return "its input is transposed (transA)"
                axis = 1 if number_of(node, "transB", 0) else 0
                layout = Layout(length=constant.shape[axis], last=True)
                kernel = weights.matrix(constant, self._number, inputs_axis=axis)
            case _:
                if constant.ndim != 2:
                    return f"its weights have {constant.ndim} dimensions"
                layout = Layout(length=constant.shape[0], last=True)
                kernel = weights.matrix(constant, self._number, inputs_axis=0)
        self._write(node, self._input(node.input[0], layout), kernel)
        return None

    def _write(self, node: NodeProto, source: str, kernel: NDArray[np.float32]) -> None:
        product = type(node)()
        product.CopyFrom(node)
        product.input[0] = source
        product.input[1] = self._editor.floats("weights", kernel)
        self._take(product, on_device=True)

    def _input(self, source: str, layout: Layout) -> str:
        """Rounded once, however many products take it."""
        key = (source, layout)
        if key not in self._rounded:
            self._rounded[key] = quantised(
                self._editor, source, layout, self._number, positive=source in self._positive
            )
        return self._rounded[key]

    def _take(self, node: NodeProto, *, on_device: bool) -> None:
        """The node as it is; what a chain of the device writes goes through fp16."""
        if not (self._half and on_device and len(node.output) == 1 and self._ends_chain(node)):
            self._editor.nodes.append(node)
            return
        written = type(node)()
        written.CopyFrom(node)
        written.output[0] = self._editor.name("wide")
        self._editor.nodes.append(written)
        half = self._editor.node("Cast", [written.output[0]], to=onnx.TensorProto.FLOAT16)
        self._editor.node("Cast", [half], output=node.output[0], to=onnx.TensorProto.FLOAT)

    def _ends_chain(self, node: NodeProto) -> bool:
        if node.op_type not in PRODUCTS and node.op_type not in _ALONG:
            return False
        output = node.output[0]
        if self._uses[output] != 1 or output in self._outputs:
            return True
        return self._users[output].op_type not in _ALONG
