"""A watch: the changes of a selection, in order and without gaps, from a version on.

What a watch sends for an event depends on its selection and form alone; it is made once and kept with the event, so
more watches of the same kind cost a look-up and a write to the socket each.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.api.storage import raw_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.selection import Selection
    from windtunnel_emulators.kubernetes.api.storage import Event, Storage, Stored

_MOST_PENDING = 20_000
"""Events that wait for a client that does not read; more end its watch, and it lists again."""


class Encode(Protocol):
    """Makes lines; those of equal ``key`` are the same bytes."""

    @property
    def key(self) -> object: ...
    def event(self, type_: str, stored: Stored) -> bytes: ...
    def bookmark(self, mark: Bookmark) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event of a watch."""

    type: str
    stored: Stored
    event: Event | None = None
    """None for what was there when the watch began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """The watch has seen everything up to a version."""

    version: int
    initial: bool = False
    """It ends the initial events."""


class Watch:
    """The events of a selection, from the moment it is made."""

    def __init__(self, storage: Storage, resource: str, selection: Selection, *, bookmarks: bool) -> None:
        self.resource = resource
        self.selection = selection
        self.bookmarks = bookmarks
        self.after = 0
        """Events up to this version, which may be one to come, are not of interest."""
        self.limit_s: float | None = None
        """How long the client wants it; None for as long as the server likes."""
        self._storage = storage
        self._pending: list[Line | Bookmark | Event] = []
        self._waiting: asyncio.Future[None] | None = None
        self._ended = False
        self._end: Callable[[], None] = storage.listen(resource, self._receive)

    def begin(self, first: Sequence[Line | Bookmark | Event]) -> None:
        """What comes before the events that happen from now on."""
        self._pending[:0] = first

    def _receive(self, event: Event) -> None:
        if event.version <= self.after:
            return
        self._pending.append(event)
        if len(self._pending) > _MOST_PENDING:
            self.stop()
        self._wake()

    def bookmark(self) -> None:
        """Tell the client how far it is, if it wants to know."""
        if self.bookmarks and not self._pending:
            self._pending.append(Bookmark(version=self._storage.version))
            self._wake()

    def stop(self) -> None:
        """End the watch; safe to call twice."""
        self._ended = True
        self._end()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def take(self) -> list[Line | Bookmark | Event]:
        """What has come since the last call, which may be nothing."""
        found, self._pending = self._pending, []
        return found

    async def next(self) -> list[Line | Bookmark | Event] | None:
        """Everything that has come since the last call, at least one; None at the end."""
        while not self._pending:
            if self._ended:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self.take()

    def line(self, item: Line | Event) -> Line | None:
        """What an event is to this watch; None when it is nothing."""
        if isinstance(item, Line):
            return item
        type_ = self.selection.transition(item)
        if not type_:
            return None
        return Line(type=type_, stored=_seen(item, type_), event=item)

    def encoded(self, items: Sequence[Line | Bookmark | Event], lines: Encode) -> list[bytes]:
        """The lines of ``items``, as ``lines`` makes them."""
        made: list[bytes] = []
        key = (self.selection, lines.key)
        for item in items:
            if isinstance(item, Bookmark):
                made.append(lines.bookmark(item))
                continue
            if isinstance(item, Line):
                made.append(lines.event(item.type, item.stored))
                continue
            known = item.forms.get(key)
            if known is None:
                line = self.line(item)
                known = item.forms[key] = b"" if line is None else lines.event(line.type, line.stored)
            if known:
                made.append(known)
        return made


def _seen(event: Event, type_: str) -> Stored:
    if type_ != "DELETED" or event.deleted or event.old is None:
        return event.new
    # The object goes on, but out of sight: its last visible state, at the version of the change.
    old = event.old
    metadata: JsonObject = {**as_object(old.object.get("metadata")), "resourceVersion": str(event.version)}
    whole: JsonObject = {**old.object, "metadata": metadata}
    return replace(old, version=event.version, object=whole, raw=raw_of(whole))
