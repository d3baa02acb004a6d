"""Numbers and addresses that Services are given, each to one of them.

What is taken is known from the Services that there are; what is given to one that is not stored yet is reserved for it
for a while, so that a request that fails gives it back.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
Owner = tuple[str, str]
"""Namespace and name of a Service."""

_RESERVED_S = 60.0
_TRIES = 32


T_co = TypeVar("T_co", covariant=True)


class Row(Protocol[T_co]):
    """Values in order, which need not be a list."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> T_co: ...


class Pool(Generic[T]):
    """Who has what. ``now`` is a clock that never goes back."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._owners: dict[T, Owner] = {}
        self._held: dict[Owner, frozenset[T]] = {}
        self._reserved: dict[T, tuple[Owner, float]] = {}

    def hold(self, owner: Owner, values: Iterable[T]) -> tuple[frozenset[T], frozenset[T]]:
        """A Service has exactly these from now on; returns what it got and what it gave back."""
        before, after = self._held.get(owner, frozenset()), frozenset(values)
        for value in before - after:
            if self._owners.get(value) == owner:
                del self._owners[value]
        for value in after:
            self._owners[value] = owner
        if after:
            self._held[owner] = after
        else:
            self._held.pop(owner, None)
        for value, (reserver, _) in list(self._reserved.items()):
            if reserver == owner:
                del self._reserved[value]
        return after - before, before - after

    def owner(self, value: T) -> Owner | None:
        """Who has it, or has it reserved."""
        found = self._owners.get(value)
        if found is not None:
            return found
        reserved = self._reserved.get(value)
        if reserved is None:
            return None
        if reserved[1] < self._now():
            del self._reserved[value]
            return None
        return reserved[0]

    def reserve(self, owner: Owner, value: T) -> None:
        """Keep it for a Service that is being made or changed."""
        self._reserved[value] = (owner, self._now() + _RESERVED_S)

    def free(self, value: T, owner: Owner) -> bool:
        """Whether a Service may have it."""
        return self.owner(value) in (None, owner)


def pick(values: Row[T], is_free: Callable[[T], bool], first: int) -> T | None:
    """A free one, by chance; those of the ``first`` few, which are left to those who choose, last. None without any."""
    size = len(values)
    upper = size - first
    if upper > 0:
        for _ in range(_TRIES):
            value = values[first + secrets.randbelow(upper)]
            if is_free(value):
                return value
    for index in (*range(first, size), *range(min(first, size))):
        if is_free(values[index]):
            return values[index]
    return None
