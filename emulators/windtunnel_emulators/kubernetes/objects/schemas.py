"""Schemas: the fields of objects and what is known of each; the built-in ones are read from a data file when asked for.

The file is written by ``make_schemas.py`` of the tests from what a real API server says. A ``Schema`` is also what the
schema of a custom resource becomes, so that decoding, patching and applying have one form to walk.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

_FILE = Path(__file__).parent / "data" / "definitions.json"

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"


class Schema(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One value's schema. Never changed once made."""

    type: str = ""
    """``object``, ``array``, ``string``, ``integer``, ``number``, ``boolean``; empty for anything."""
    format: str = ""
    ref: str = ""
    """The name of the definition that has the rest."""
    properties: dict[str, Schema] = {}
    """In the order in which the real server writes them."""
    required: tuple[str, ...] = ()
    items: Schema | None = None
    values: Schema | None = None
    """Of the values of a map."""
    enum: tuple[object, ...] = ()
    default: object = msgspec.UNSET
    """``{}`` on a reference says that the field is a structure that is always there."""
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    patch_strategy: str = ""
    patch_key: str = ""
    pointer: bool = False
    """Zero is a value of its own, distinct from nothing."""
    kept: bool = False
    """Written even when it is empty."""
    go: str = ""
    """The server's name of a scalar type, as messages have it."""
    kinds: tuple[tuple[str, str, str], ...] = ()
    unions: object = None
    preserve: bool = False
    """Unknown fields are kept (custom resources)."""
    int_or_string: bool = False
    nullable: bool = False
    raw: dict[str, object] | None = None
    """The whole JSON schema, of a custom resource."""
    embedded: bool = False
    """The value is a whole object with its own ``apiVersion``, ``kind`` and ``metadata``."""

    @property
    def has_default(self) -> bool:
        return self.default is not msgspec.UNSET


_ANYTHING = Schema()


@cache
def _file() -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(_FILE.read_bytes(), type=dict[str, msgspec.Raw])


@cache
def definition(name: str) -> Schema:
    """A built-in definition. Raises ``KeyError``."""
    return msgspec.json.decode(_file()[name], type=Schema)


def definition_names() -> list[str]:
    """All built-in definitions, by name."""
    return list(_file())


def resolve(schema: Schema | None) -> Schema:
    """The schema that has the fields: the definition behind a reference; one that allows anything for None."""
    if schema is None:
        return _ANYTHING
    return definition(schema.ref) if schema.ref else schema


def struct_name(name: str) -> str:
    """The last part of a definition's name: ``DeploymentSpec``."""
    return name.rpartition(".")[2]
