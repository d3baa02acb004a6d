"""VGG-16 as TF-slim has it: the device stops at pool5, the dense layers are the CPU's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.topologies.builder import Builder

if TYPE_CHECKING:
    import onnx

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_DENSE = (("fc6", 25088, 4096), ("fc7", 4096, 4096), ("fc8", 4096, 1000))


def vgg16() -> onnx.ModelProto:
    """[1, 3, 224, 224] to the scores of 1000 classes."""
    b = Builder("vgg_16")
    x, inputs = "images", 3
    for block, (outputs, count) in enumerate(_BLOCKS, 1):
        for index in range(1, count + 1):
            name = f"conv{block}_{index}"
            x = b.convolution(x, name, inputs, outputs, 3, pad=1, bias=True)
            x = b.node("Relu", [x], f"{name}/Relu")
            inputs = outputs
        x = b.pool(x, f"pool{block}", 2, 2)
    x = b.node("Flatten", [x], "flatten")
    for name, taken, given in _DENSE:
        x = b.node("Gemm", [x, b.weights(f"{name}/weights", taken, given), b.weights(f"{name}/biases", given)], name)
        x = x if name == "fc8" else b.node("Relu", [x], f"{name}/Relu")
    return b.model([("images", [1, 3, 224, 224])], x, [1, 1000])
