"""``Builder``: writes ONNX graphs whose weights are shapes (``ConstantOfShape``), so that a file has kilobytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Sequence

OPSET = 13


class Builder:
    """One graph that grows. Methods return the name of the value that they add."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._values: list[onnx.TensorProto] = []

    def weights(self, name: str, *shape: int, value: float = 0.02) -> str:
        """A constant of one value."""
        of_shape = f"{name}/shape"
        self._values.append(helper.make_tensor(of_shape, TensorProto.INT64, [len(shape)], shape))
        content = helper.make_tensor("value", TensorProto.FLOAT, [1], [value])
        self._nodes.append(helper.make_node("ConstantOfShape", [of_shape], [name], name=f"{name}/fill", value=content))
        return name

    def whole(self, name: str, numbers: Sequence[int]) -> str:
        """A constant of whole numbers."""
        self._values.append(helper.make_tensor(name, TensorProto.INT64, [len(numbers)], numbers))
        return name

    def node(self, op: str, inputs: Sequence[str], name: str, **attributes: int | str | Sequence[int]) -> str:
        """Any operator with one output."""
        node = helper.make_node(op, list(inputs), [f"{name}:0"], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return f"{name}:0"

    def convolution(
        self, x: str, name: str, inputs: int, outputs: int, kernel: int, *, stride: int = 1, pad: int = 0, bias: bool
    ) -> str:
        """A square kernel."""
        parameters = [x, self.weights(f"{name}/weights", outputs, inputs, kernel, kernel)]
        parameters += [self.weights(f"{name}/biases", outputs)] if bias else []
        return self.node(
            "Conv", parameters, name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4
        )  # fmt: skip

    def normalised(
        self, x: str, name: str, inputs: int, outputs: int, kernel: int, *, stride: int = 1, pad: int = 0, relu: bool
    ) -> str:
        """A convolution with batch normalisation behind it."""
        x = self.convolution(x, name, inputs, outputs, kernel, stride=stride, pad=pad, bias=False)
        parameters = [
            self.weights(f"{name}/{part}", outputs, value=1.0) for part in ("gamma", "beta", "mean", "variance")
        ]
        x = self.node("BatchNormalization", [x, *parameters], f"{name}/BatchNorm")
        return self.node("Relu", [x], f"{name}/Relu") if relu else x

    def pool(self, x: str, name: str, kernel: int, stride: int) -> str:
        """A maximum, without padding."""
        return self.node("MaxPool", [x], name, kernel_shape=[kernel] * 2, strides=[stride] * 2)

    def model(self, inputs: Sequence[tuple[str, Sequence[int]]], output: str, shape: Sequence[int]) -> onnx.ModelProto:
        """The whole."""
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims)) for name, dims in inputs],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, list(shape))],
            self._values,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
