"""``Editor``: an ONNX graph that nodes and values are added to; names that it makes are nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, TensorProto

    _Run = Callable[[None, Mapping[str, NDArray[np.generic] | None]], Sequence[NDArray[np.generic]]]

PREFIX = "bfp:"
"""Of every name that is made here."""


class Editor:
    """Collects nodes in order; ``finish`` puts them into the model."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
        self.nodes: list[NodeProto] = []
        self._values: dict[str, TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self._producers = {name: node for node in model.graph.node for name in node.output if name}
        self._made: dict[str, TensorProto] = {}
        self._count = 0

    def value(self, name: str) -> NDArray[np.float32] | None:
        """A float32 value that follows from the file alone; None when it is computed, or of another type."""
        found = self._constant(name)
        return np.asarray(found, np.float32) if found is not None and found.dtype == np.float32 else None

    def _constant(self, name: str) -> NDArray[np.generic] | None:
        tensor = self._values.get(name)
        if tensor is not None:
            return numpy_helper.to_array(tensor)
        node = self._producers.get(name)
        if node is None or any(a.HasField("g") for a in node.attribute):
            return None
        given = {source: self._constant(source) for source in node.input if source}
        if any(value is None for value in given.values()):
            return None
        # What exporters leave in the file of a weight that they transposed or reshaped.
        found = _evaluated(node, given)[name]
        self._values[name] = numpy_helper.from_array(found, name)
        return found

    def name(self, what: str) -> str:
        """A new name."""
        self._count += 1
        return f"{PREFIX}{what}:{self._count}"

    def node(
        self,
        kind: str,
        inputs: Sequence[str],
        *,
        output: str | None = None,
        **attributes: int | float | str | Sequence[int],
    ) -> str:
        """Add a node of one output, and give the output's name."""
        output = output or self.name(kind.lower())
        made = helper.make_node(kind, list(inputs), [output], name=output)
        made.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(made)
        return output

    def floats(self, what: str, array: NDArray[np.float32]) -> str:
        """A new value; equal scalars are made once."""
        name = f"{PREFIX}{what}:{array.item()!r}" if array.ndim == 0 else self.name(what)
        if name not in self._made:
            self._made[name] = numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name)
        return name

    def scalar(self, number: float) -> str:
        """A float32 that is exactly this number."""
        return self.floats("scalar", np.asarray(number, np.float32))

    def integers(self, numbers: Sequence[int]) -> str:
        """A vector of int64."""
        name = f"{PREFIX}integers:{','.join(map(str, numbers))}"
        if name not in self._made:
            self._made[name] = numpy_helper.from_array(np.asarray(numbers, np.int64), name)
        return name

    def index(self, number: int) -> str:
        """A scalar of int64."""
        name = f"{PREFIX}index:{number}"
        if name not in self._made:
            self._made[name] = numpy_helper.from_array(np.asarray(number, np.int64), name)
        return name

    def reduced_max(self, source: str, axis: int) -> str:
        """The largest along an axis, which stays as one of length 1."""
        if self.opset >= 18:  # the axes became an input
            return self.node("ReduceMax", [source, self.integers([axis])], keepdims=1)
        return self.node("ReduceMax", [source], axes=[axis], keepdims=1)

    def finish(self) -> None:
        """The model has the nodes collected, and only the values that they use."""
        graph = self.model.graph
        del graph.node[:]
        graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input} | {value.name for value in graph.output}
        for node in self.nodes:
            used |= {name for a in node.attribute for inner in a.g.node for name in inner.input}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        # Files of IR version 3 name their values among the inputs as well.
        inputs = [i for i in graph.input if i.name in used or i.name not in self._values]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        graph.initializer.extend(tensor for name, tensor in self._made.items() if name in used)
        del graph.input[:]
        graph.input.extend(inputs)


def _evaluated(node: NodeProto, given: Mapping[str, NDArray[np.generic] | None]) -> dict[str, NDArray[np.generic]]:
    run = cast("_Run", ReferenceEvaluator(node).run)  # pyright: ignore[reportUnknownMemberType]
    outputs = run(None, dict(given))
    return dict(zip(node.output, (np.asarray(o) for o in outputs), strict=True))
