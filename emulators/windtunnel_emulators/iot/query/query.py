"""A query, read; and what it finds in documents."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.query.values import Undefined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from windtunnel_emulators.iot.query.expressions import Expression, Path
    from windtunnel_emulators.iot.query.values import Value
    from windtunnel_emulators.jsontypes import Json, JsonObject


class Collection(Enum):
    """What is looked through."""

    DEVICES = "devices"
    MODULES = "devices.modules"
    JOBS = "devices.jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """``COUNT()``, ``SUM(path)`` and so on; of numbers only."""

    name: str
    of: Path | None = None

    def over(self, documents: list[JsonObject]) -> Value:
        """Undefined when there is nothing to add up."""
        if self.of is None:
            return len(documents)
        found = [self.of.value(one) for one in documents]
        numbers = [one for one in found if isinstance(one, int | float) and not isinstance(one, bool)]
        if not numbers:
            return Undefined.UNDEFINED
        if self.name == "AVG":
            return sum(numbers) / len(numbers)
        if self.name == "SUM":
            return sum(numbers)
        return min(numbers) if self.name == "MIN" else max(numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One element of what is selected."""

    name: str
    """Its name in the answer."""
    of: Expression | Aggregate


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query. No columns is ``*``."""

    source: Collection
    columns: tuple[Column, ...] = ()
    top: int | None = None
    condition: Expression | None = None
    groups: tuple[Path, ...] = ()

    @property
    def is_grouped(self) -> bool:
        """Its rows are no longer those of single documents."""
        return bool(self.groups) or any(isinstance(one.of, Aggregate) for one in self.columns)

    def takes(self, document: JsonObject) -> bool:
        """Whether a document fulfils the condition: what is not true is false."""
        return self.condition is None or self.condition.value(document) is True

    def row(self, document: JsonObject) -> JsonObject:
        """What is answered of one document; only for a query that is not grouped."""
        if not self.columns:
            return document
        return _row((one.name, one.of.value(document)) for one in self.columns if not isinstance(one.of, Aggregate))

    def grouped(self, documents: Iterable[JsonObject]) -> Iterator[JsonObject]:
        """What is answered of all documents that fulfil the condition; groups come as they are met."""
        groups: dict[bytes, list[JsonObject]] = {} if self.groups else {b"": []}
        for document in documents:
            key = msgspec.json.encode([_key(path.value(document)) for path in self.groups]) if self.groups else b""
            groups.setdefault(key, []).append(document)
        for found in groups.values():
            yield _row(
                (one.name, one.of.over(found) if isinstance(one.of, Aggregate) else one.of.value(found[0]))
                for one in self.columns
            )


def _key(value: Value) -> Json:
    """Undefined and null are different groups."""
    return [] if isinstance(value, Undefined) else [value]


def _row(cells: Iterable[tuple[str, Value]]) -> JsonObject:
    return {name: value for name, value in cells if not isinstance(value, Undefined)}
