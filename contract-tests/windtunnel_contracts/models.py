"""Small models for tests, made when they are needed: each has one thing that makes it different.

All are serialised models; ``write`` puts one into a folder. Opset and IR version are old enough for every supported
onnxruntime, where a model is not meant to be too new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from onnx import NodeProto, ValueInfoProto

OPSET = 17
IR_VERSION = 8


def write(model: bytes, folder: Path, name: str = "model.onnx") -> Path:
    """The file, with folders as needed."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model)
    return path


def identity(
    element: int = TensorProto.FLOAT, shape: Sequence[int | str | None] | None = ("N", 2), *, name: str = "x"
) -> bytes:
    """Gives back what it gets as ``y``, in any type and shape; the shape None is no shape at all."""
    given = helper.make_tensor_value_info(name, element, shape)
    back = helper.make_tensor_value_info("y", element, shape)
    return _serialised([helper.make_node("Identity", [name], ["y"])], [given], [back])


def two_inputs() -> bytes:
    """``left`` float32 [N] and ``right`` int64 [N]; ``total`` is their sum, ``larger`` whether left is the larger."""
    nodes = [
        helper.make_node("Cast", ["right"], ["other"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["left", "other"], ["total"]),
        helper.make_node("Greater", ["left", "other"], ["larger"]),
    ]
    inputs = [
        helper.make_tensor_value_info("left", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("right", TensorProto.INT64, ["N"]),
    ]
    outputs = [
        helper.make_tensor_value_info("total", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("larger", TensorProto.BOOL, ["N"]),
    ]
    return _serialised(nodes, inputs, outputs)


def lengths_that_must_agree() -> bytes:
    """``a`` float32 [N] plus ``b`` float32 [M]: well-typed input that the model cannot compute unless N is M."""
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("b", TensorProto.FLOAT, ["M"]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["K"])
    return _serialised([helper.make_node("Add", ["a", "b"], ["y"])], inputs, [output])


def text() -> bytes:
    """A string input [N]."""
    return identity(TensorProto.STRING, ("N",), name="words")


def classifier() -> bytes:
    """As scikit-learn's converters write one: ``label`` int64 [N], and ``probability`` a sequence of maps.

    Its scores are its two inputs themselves.
    """
    nodes = [
        helper.make_node("ArgMax", ["features"], ["label"], axis=1, keepdims=0),
        helper.make_node("ZipMap", ["features"], ["probability"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
    ]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 2])]
    element = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        helper.make_value_info("probability", helper.make_sequence_type_proto(element)),
    ]
    return _serialised(nodes, inputs, outputs)


def slow() -> bytes:
    """``turns`` int64, a scalar: so many turns of a loop that costs time and no memory; gives the number of turns.

    A million turns take about a second.
    """
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["go_on"]),
            helper.make_node("Add", ["count", "one"], ["counted"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("counted", TensorProto.INT64, []),
        ],
    )
    return _serialised(
        [helper.make_node("Loop", ["turns", "", "zero"], ["done"], body=body)],
        [helper.make_tensor_value_info("turns", TensorProto.INT64, [])],
        [helper.make_tensor_value_info("done", TensorProto.INT64, [])],
        [numpy_helper.from_array(np.array(number, np.int64), name) for name, number in (("zero", 0), ("one", 1))],
    )


def sequence_input() -> bytes:
    """Takes a sequence of tensors, which no request can carry."""
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N"])
    given = helper.make_value_info("many", helper.make_sequence_type_proto(element))
    output = helper.make_tensor_value_info("how_many", TensorProto.INT64, [])
    return _serialised([helper.make_node("SequenceLength", ["many"], ["how_many"])], [given], [output])


def newer_opset(opset: int = 4096) -> bytes:
    """Of an operator set that does not exist yet."""
    return _with_versions(opset=opset, ir_version=IR_VERSION)


def newer_ir(ir_version: int = 4096) -> bytes:
    """Of a format version that does not exist yet."""
    return _with_versions(opset=OPSET, ir_version=ir_version)


def truncated(model: bytes) -> bytes:
    """A download that broke off."""
    return model[: len(model) // 2]


def not_onnx() -> bytes:
    """A picture that somebody renamed."""
    return b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def _with_versions(*, opset: int, ir_version: int) -> bytes:
    model = ModelProto.FromString(identity())
    model.ir_version = ir_version
    model.opset_import[0].version = opset
    return bytes(model.SerializeToString())


def _serialised(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    initialisers: Sequence[TensorProto] = (),
) -> bytes:
    graph = helper.make_graph(nodes, "small", inputs, outputs, initialisers)
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, producer_name="windtunnel", ir_version=IR_VERSION, opset_imports=imports)
    return bytes(model.SerializeToString())
