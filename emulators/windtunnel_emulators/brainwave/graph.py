"""``Graph``: a model as the simulator sees it: nodes in order, every tensor with its shape, constants known as such."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Attribute: TypeAlias = "int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """The shape of a value. ``constant`` is whether it follows from the file alone."""

    name: str
    shape: tuple[int, ...]
    constant: bool = False
    known: bool = True
    """Whether the shape is: behind operators that decide while they run, it is not."""

    @property
    def size(self) -> int:
        """Elements."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator. Missing optional inputs are empty names."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])

    def whole(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, int) else default

    def wholes(self, name: str) -> tuple[int, ...]:
        """An attribute that is a list of whole numbers; empty when it is absent."""
        value = self.attributes.get(name)
        return tuple(v for v in value if isinstance(v, int)) if isinstance(value, tuple) else ()

    def text(self, name: str, default: str) -> str:
        """An attribute that is a text."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, str) else default

    def texts(self, name: str) -> tuple[str, ...]:
        """An attribute that is a list of texts."""
        value = self.attributes.get(name)
        return tuple(v for v in value if isinstance(v, str)) if isinstance(value, tuple) else ()


@dataclass(frozen=True, kw_only=True)  # no slots: the two indexes are made once
class Graph:
    """What is left of a model after everything constant has been taken out. Nodes are in topological order."""

    name: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What was decided while reading, as sentences for the report."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a value that has a name."""
        return self.tensors[name].shape

    def constant(self, name: str) -> bool:
        """Whether it is a value of the file; the empty name (a missing input) is."""
        return not name or self.tensors[name].constant

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """The node that makes each value."""
        return {output: node for node in self.nodes for output in node.outputs if output}

    @cached_property
    def consumers(self) -> Mapping[str, Sequence[Node]]:
        """The nodes that take each value."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(n for n in node.inputs if n):
                found.setdefault(name, []).append(node)
        return found
