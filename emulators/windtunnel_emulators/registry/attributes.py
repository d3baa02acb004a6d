"""What may be done with a repository, manifest or tag: Azure's four changeable attributes, as bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

DELETE, WRITE, LIST, READ = 1, 2, 4, 8
ALL = DELETE | WRITE | LIST | READ

_NAMES = {"deleteEnabled": DELETE, "writeEnabled": WRITE, "readEnabled": READ, "listEnabled": LIST}


def show_attributes(bits: int) -> JsonObject:
    """``{"deleteEnabled": true, ...}``."""
    return {name: bool(bits & bit) for name, bit in _NAMES.items()}


def change_attributes(bits: int, wanted: Json) -> int:
    """The bits after a PATCH. Raises ``ValueError`` with a sentence when the body is something else."""
    if not isinstance(wanted, dict):
        raise ValueError("the body is not an object of attributes")
    for name, value in wanted.items():
        if name not in _NAMES:
            continue
        if not isinstance(value, bool):
            raise ValueError(f"{name} is neither true nor false")
        bits = bits | _NAMES[name] if value else bits & ~_NAMES[name]
    return bits
