"""Reading an ONNX file into a ``Graph``: shapes inferred, weights never loaded into tensors, constants folded away.

An unknown first dimension of an input is the batch and becomes 1: the device takes one input after the other. Any other
unknown dimension must be given by the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.errors import BadModel, BadOption, OpenShape
from windtunnel_emulators.brainwave.graph import Attribute, Graph, Node, Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx

_OPEN = "Give the shape on the command line: --shape {name}={example}, or export the model with fixed shapes."
_FREE_OF_VALUE = {"Shape", "Size"}
"""Operators whose output follows from shapes alone."""


def read_graph(path: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Graph:
    """The graph of a file; ``shapes`` fixes inputs by name. Raises ``BadModel``, ``OpenShape`` and ``BadOption``."""
    import onnx  # half a second
    from google.protobuf.message import DecodeError

    try:
        size = path.stat().st_size
    except OSError as problem:
        raise BadModel(f"there is no model file at {str(path)!r}") from problem
    if not path.is_file() or size == 0:
        raise BadModel(f"{path.name} is {'empty' if path.is_file() else 'no file'}", way_out="Export the model again.")
    try:
        model: onnx.ModelProto = onnx.load_model(  # pyright: ignore[reportUnknownMemberType]  # PathLike of anything
            str(path), format="protobuf", load_external_data=False
        )
    except (DecodeError, ValueError, OSError) as problem:
        raise BadModel(
            f"{path.name} is not an ONNX model, or a damaged one: {_line(problem)}",
            way_out="Export the model to ONNX (torch.onnx.export, tf2onnx), and check that the file is whole.",
        ) from problem
    return graph_of(model, path.stem, shapes)


def graph_of(model: onnx.ModelProto, name: str, shapes: Mapping[str, Sequence[int]] | None = None) -> Graph:
    """As ``read_graph``, of a model in memory, which is changed."""
    import onnx
    from google.protobuf.message import EncodeError

    if not model.graph.node or not model.graph.output:
        raise BadModel(
            f"{name} is not an ONNX model, or an empty one: it has no nodes or no outputs",
            way_out="Export the model to ONNX (torch.onnx.export, tf2onnx), and check that the file is whole.",
        )
    values = {tensor.name for tensor in model.graph.initializer}
    values |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    inputs = [value for value in model.graph.input if value.name not in values]
    notes = _fix_inputs(inputs, dict(shapes or {}))
    for value in (*model.graph.output, *model.graph.value_info):
        value.type.tensor_type.ClearField("shape")  # what the exporter wrote for another batch would win
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, EncodeError) as problem:
        raise BadModel(
            f"the shapes of {name} cannot be inferred: {_line(problem)}",
            way_out="Check the model with onnx.checker.check_model(path, full_check=True).",
        ) from problem
    return _Reader(model, name, [value.name for value in inputs], notes).graph()


def _fix_inputs(inputs: Sequence[onnx.ValueInfoProto], shapes: dict[str, Sequence[int]]) -> list[str]:
    notes: list[str] = []
    for value in inputs:
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type"):
            raise BadModel(f"input {value.name!r} is no tensor", way_out="The device takes tensors only.")
        given = shapes.pop(value.name, None)
        if given is not None:
            if kind.HasField("shape") and len(kind.shape.dim) != len(given):
                raise BadOption(
                    f"the shape given for input {value.name!r} has {len(given)} dimensions, the model's has"
                    f" {len(kind.shape.dim)}"
                )
            kind.shape.Clear()
            for number in given:
                kind.shape.dim.add().dim_value = number
            continue
        if not kind.HasField("shape"):
            raise OpenShape(
                f"input {value.name!r} has no shape", way_out=_OPEN.format(name=value.name, example="1,3,224,224")
            )
        for index, dim in enumerate(kind.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value > 0:
                continue
            if index > 0:
                shown = ",".join(str(d.dim_value) if d.dim_value > 0 else "N" for d in kind.shape.dim)
                raise OpenShape(
                    f"dimension {index} of input {value.name!r} is open"
                    f" ({dim.dim_param or 'without a name'}); the device runs fixed shapes only",
                    way_out=_OPEN.format(name=value.name, example=shown),
                )
            notes.append(f"the open first dimension of input {value.name!r} is taken as a batch of 1")
            dim.dim_value = 1
    if shapes:
        known = ", ".join(repr(value.name) for value in inputs)
        raise BadOption(f"the model has no input {next(iter(shapes))!r}", way_out=f"Its inputs: {known}.")
    return notes


class _Reader:
    """Goes through the nodes once, in order."""

    def __init__(self, model: onnx.ModelProto, name: str, inputs: Sequence[str], notes: Sequence[str]) -> None:
        self._graph = model.graph
        self._name = name
        self._inputs = tuple(inputs)
        self._notes = tuple(notes)
        self._shapes: dict[str, tuple[int, ...] | None] = {}
        for value in (*self._graph.input, *self._graph.value_info, *self._graph.output):
            self._shapes[value.name] = _shape(value)
        self._constants: set[str] = set()
        for tensor in self._graph.initializer:
            self._shapes[tensor.name] = tuple(tensor.dims)
            self._constants.add(tensor.name)
        for sparse in self._graph.sparse_initializer:
            self._shapes[sparse.values.name] = tuple(sparse.dims)
            self._constants.add(sparse.values.name)

    def graph(self) -> Graph:
        """Raises ``BadModel`` when values are used that nothing made before."""
        nodes: list[Node] = []
        made = {*self._inputs, *self._constants}
        for index, proto in enumerate(self._graph.node):
            taken = [name for name in proto.input if name]
            given = [name for name in proto.output if name]
            _check_texts(proto)
            lost = [name for name in taken if name not in made]
            again = [name for name in given if name in made]
            if lost or again or not given:
                what = f"uses {lost[0]!r}, which nothing makes before" if lost else "has no output that is its own"
                raise BadModel(
                    f"{self._name} is a damaged model: operator {index} ({proto.op_type}) {what}",
                    way_out="Check the model with onnx.checker.check_model(path), and export it again.",
                )
            made.update(given)
            of_file = all(name in self._constants for name in taken) and proto.op_type != "RandomNormal"
            of_shape = proto.op_type in _FREE_OF_VALUE and all(self._shapes.get(n) is not None for n in taken)
            if of_file or of_shape:
                self._constants.update(name for name in proto.output if name)
                continue
            nodes.append(self._node(proto, index))
        if not nodes:
            raise BadModel(f"the outputs of {self._name} are constants: there is nothing to run")
        return Graph(
            name=self._name,
            nodes=tuple(nodes),
            tensors=self._tensors(nodes),
            inputs=self._inputs,
            outputs=tuple(value.name for value in self._graph.output),
            notes=self._notes,
        )

    def _node(self, proto: onnx.NodeProto, index: int) -> Node:
        domain = "" if proto.domain in ("", "ai.onnx") else f"{proto.domain}."
        return Node(
            name=proto.name or (proto.output[0] if proto.output else f"node_{index}"),
            op=domain + proto.op_type,
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes={a.name: value for a in proto.attribute if (value := _attribute(a)) is not None},
        )

    def _tensors(self, nodes: Sequence[Node]) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for node in nodes:
            for name in (*node.inputs, *node.outputs):
                if not name or name in tensors:
                    continue
                shape = self._shapes.get(name)
                tensors[name] = Tensor(
                    name=name, shape=shape or (), constant=name in self._constants, known=shape is not None
                )
        return tensors


def _check_texts(proto: onnx.NodeProto) -> None:
    """Protobuf gives bytes where a text is no UTF-8, whatever its types say."""
    texts: list[object] = [proto.name, proto.op_type, proto.domain, *proto.input, *proto.output]
    if not all(isinstance(text, str) for text in texts):
        raise BadModel("a name in the model is no text", way_out="The file is damaged: export the model again.")


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    dims = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return None if any(d < 0 for d in dims) else dims  # a size of 0 is known, and refused where it matters


def _attribute(proto: onnx.AttributeProto) -> Attribute | None:
    """None for tensors and graphs, which no layer of the device has."""
    kinds = type(proto)
    if proto.type == kinds.INT:
        return int(proto.i)
    if proto.type == kinds.FLOAT:
        return float(proto.f)
    if proto.type == kinds.STRING:
        return proto.s.decode("utf-8", "replace")
    if proto.type == kinds.INTS:
        return tuple(int(i) for i in proto.ints)
    if proto.type == kinds.FLOATS:
        return tuple(float(f) for f in proto.floats)
    if proto.type == kinds.STRINGS:
        return tuple(s.decode("utf-8", "replace") for s in proto.strings)
    return None


def _line(problem: Exception) -> str:
    text = str(problem).strip() or type(problem).__name__
    return text.splitlines()[0][:300]
