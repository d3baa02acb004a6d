"""ResNet-50 v1 as TF-slim has it and the firmware ran it: the pool is not padded (55 x 55), and the stride of a block
is in its last unit. 3.46 GMAC, not the 4.09 of other versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.topologies.builder import Builder

if TYPE_CHECKING:
    import onnx

_BLOCKS = ((2, 64, 3), (3, 128, 4), (4, 256, 6), (5, 512, 3))


def resnet50() -> onnx.ModelProto:
    """[1, 3, 224, 224] to the probabilities of 1000 classes."""
    b = Builder("resnet_v1_50")
    x = b.normalised("images", "conv1", 3, 64, 7, stride=2, pad=3, relu=True)
    x = b.pool(x, "pool1", 3, 2)
    wide = 64
    for block, narrow, units in _BLOCKS:
        for unit in range(units):
            stride = 2 if unit == units - 1 and block < 5 else 1
            name = f"res{block}{'abcdef'[unit]}"
            kept = x
            if wide != 4 * narrow:
                kept = b.normalised(x, f"{name}_branch1", wide, 4 * narrow, 1, stride=stride, relu=False)
            elif stride > 1:
                kept = b.pool(x, f"{name}_subsample", 1, stride)
            x = b.normalised(x, f"{name}_branch2a", wide, narrow, 1, relu=True)
            x = b.normalised(x, f"{name}_branch2b", narrow, narrow, 3, stride=stride, pad=1, relu=True)
            x = b.normalised(x, f"{name}_branch2c", narrow, 4 * narrow, 1, relu=False)
            x = b.node("Relu", [b.node("Add", [x, kept], f"{name}/add")], name)
            wide = 4 * narrow
    x = b.node("GlobalAveragePool", [x], "pool5")
    x = b.node("Flatten", [x], "flatten")
    x = b.node("Gemm", [x, b.weights("logits/weights", 2048, 1000), b.weights("logits/biases", 1000)], "logits")
    x = b.node("Softmax", [x], "predictions", axis=1)
    return b.model([("images", [1, 3, 224, 224])], x, [1, 1000])
