"""Reading the attributes of an ONNX node."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import AttributeProto, NodeProto


def _attribute(node: NodeProto, name: str) -> AttributeProto | None:
    return next((a for a in node.attribute if a.name == name), None)


def number_of(node: NodeProto, name: str, default: int) -> int:
    """A whole number."""
    found = _attribute(node, name)
    return default if found is None else int(found.i)


def text_of(node: NodeProto, name: str, default: str) -> str:
    """A text."""
    found = _attribute(node, name)
    return default if found is None else found.s.decode("utf-8", "replace")


def texts_of(node: NodeProto, name: str) -> tuple[str, ...]:
    """Texts; none when the attribute is absent."""
    found = _attribute(node, name)
    return () if found is None else tuple(s.decode("utf-8", "replace") for s in found.strings)


def has(node: NodeProto, name: str) -> bool:
    """Whether the attribute is given."""
    return _attribute(node, name) is not None
