"""Watches over sockets: those that send the same are one group, which makes each event once and writes it to all.

A member whose client reads costs no task switch for an event: its ``send`` is run to its end at once. One whose client
does not read gets a task of its own until it has caught up, and holds nobody else up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from windtunnel_emulators.kubernetes.api.watching import Bookmark

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from windtunnel_emulators.asgi import Send
    from windtunnel_emulators.kubernetes.api.storage import Event, Storage
    from windtunnel_emulators.kubernetes.api.watching import Encode, Watch

_MANY = 8
_GATHERED_S = 0.0005
_LONGEST_GATHERED_S = 0.05
"""Groups of many members wait, this long per member, for more events before they write: some 25 microseconds of
encryption and of the kernel's work for each socket are the dear part, and stay below a twentieth of the time."""
_MOST_BACKLOG = 16 * 1024 * 1024
"""Bytes that wait for a client that does not read; more end its watch, and it lists again."""


class Fanout:
    """The groups of one cluster."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._groups: dict[object, _Group] = {}

    def join(self, watch: Watch, lines: Encode, send: Send) -> Member:
        """Go on with a watch over a socket; what it has seen so far is the member's to send first."""
        key = (watch.resource, watch.selection, lines.key, watch.after if watch.after > self._storage.version else 0)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(self._storage, watch, lines, lambda: self._groups.pop(key, None))
        group.write()  # what its members have yet to get, this one has seen
        first = watch.encoded(watch.take(), lines)
        watch.stop()
        member = Member(group, send, bookmarks=watch.bookmarks, first=first)
        group.members.append(member)
        return member

    def bookmark(self) -> None:
        """Tell all who want to know how far they are."""
        for group in list(self._groups.values()):
            group.bookmark()

    def stop(self) -> None:
        """End every watch."""
        for group in list(self._groups.values()):
            for member in list(group.members):
                member.stop()


class _Group:
    """Members that get the same bytes."""

    def __init__(self, storage: Storage, watch: Watch, lines: Encode, empty: Callable[[], object]) -> None:
        self.members: list[Member] = []
        self._storage = storage
        self._watch = watch
        self._lines = lines
        self._empty = empty
        self._pending: list[bytes] = []
        self._scheduled = False
        self._end = storage.listen(watch.resource, self._receive)

    def _receive(self, event: Event) -> None:
        if event.version <= self._watch.after:
            return
        made = self._watch.encoded((event,), self._lines)
        if not made:
            return
        self._pending.extend(made)
        if not self._scheduled:
            self._scheduled = True
            loop = asyncio.get_running_loop()
            if len(self.members) < _MANY:
                loop.call_soon(self.write)
            else:
                loop.call_later(min(_LONGEST_GATHERED_S, _GATHERED_S * len(self.members)), self.write)

    def write(self) -> None:
        """Send what has come."""
        self._scheduled = False
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            for member in self.members:
                member.feed(data)

    def bookmark(self) -> None:
        self.write()
        data = self._lines.bookmark(Bookmark(version=self._storage.version))
        for member in self.members:
            if member.bookmarks:
                member.feed(data)

    def leave(self, member: Member) -> None:
        """A watch is over; the last one ends the group."""
        if member in self.members:
            self.members.remove(member)
        if not self.members:
            self._end()
            self._empty()


class Member:
    """One watch over a socket."""

    def __init__(self, group: _Group, send: Send, *, bookmarks: bool, first: list[bytes]) -> None:
        self.bookmarks = bookmarks
        self._group = group
        self._send = send
        self._backlog = first
        self._waiting = sum(map(len, first))
        self._busy = True
        """Somebody is sending, or will: what comes is to be put behind it."""
        self._late: asyncio.Task[None] | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def feed(self, data: bytes) -> None:
        """Send some lines, now or after those before them."""
        if self._busy:
            self._backlog.append(data)
            self._waiting += len(data)
            if self._waiting > _MOST_BACKLOG:
                self.stop()
            return
        sending: Coroutine[Any, Any, None] = self._send(_body(data))  # type: ignore[assignment]  # servers' are coroutines
        try:
            wanted = sending.send(None)
        except StopIteration:
            return
        except OSError:
            self.stop()
            return
        self._busy = True
        self._late = asyncio.get_running_loop().create_task(self._catch_up(_Rest(sending, wanted)), name="slow watch")

    def stop(self) -> None:
        """End the watch; safe to call twice."""
        if not self._over.done():
            self._over.set_result(None)

    async def run(self) -> None:
        """Send until either side ends it; the head has been sent."""
        await self._catch_up(None)
        await self._over
        if self._late is not None:
            self._late.cancel()
            await asyncio.gather(self._late, return_exceptions=True)

    def close(self) -> None:
        """Leave the group; whatever happened, this has to be called."""
        self.stop()
        self._group.leave(self)
        if self._late is not None:
            self._late.cancel()

    async def _catch_up(self, rest: _Rest | None) -> None:
        if rest is not None:
            await rest
        while self._backlog and not self._over.done():
            data = b"".join(self._backlog)
            self._backlog.clear()
            self._waiting = 0
            await self._send(_body(data))
        self._busy = False


class _Rest:
    """The rest of a coroutine that has run up to something it waits for."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], wanted: Any) -> None:
        self._coroutine = coroutine
        self._wanted = wanted

    def __await__(self) -> Generator[Any, Any, None]:
        wanted = self._wanted
        while True:
            try:
                got = yield wanted
            except BaseException as problem:
                try:
                    wanted = self._coroutine.throw(problem)
                except StopIteration:
                    return
                continue
            try:
                wanted = self._coroutine.send(got)
            except StopIteration:
                return


def _body(data: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": True}
