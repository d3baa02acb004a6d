"""Keeping up with one kind of object: list, then watch, for ever.

A watch that ends is followed by another from where it was; one that is too old (410) by a new list. While the API
cannot be reached everything stays as it was known, and it is asked again after a growing wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Protocol

from windtunnel_scoring.router.api import ApiError, ApiUnreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from windtunnel_scoring.jsontypes import JsonObject
    from windtunnel_scoring.router.api import Api

logger = logging.getLogger("windtunnel")

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 10.0


class Sink(Protocol):
    """Who is told."""

    def replace(self, listed: Iterable[JsonObject]) -> None: ...
    def put(self, item: JsonObject) -> None: ...
    def remove(self, item: JsonObject) -> None: ...


class Watch:
    """One path of the API."""

    def __init__(
        self,
        api: Api,
        path: str,
        selector: str,
        sink: Sink,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._path = path
        self._selector = selector
        self._sink = sink
        self._sleep = sleep
        self._version = ""
        self.listed = asyncio.Event()
        """Set once the objects are known."""

    async def run(self) -> None:
        """Until it is cancelled."""
        wait = 0.0
        while True:
            try:
                if not self._version:
                    items, self._version = await self._api.list_all(self._path, self._selector)
                    self._sink.replace(items)
                    self.listed.set()
                if await self._follow():
                    wait = 0.0
            except ApiError as error:
                # 410 is the usual way to learn that a version is too old. One that is refused for another reason would
                # be refused for ever, so that asks for a new list too.
                self._version = ""
                if error.status != 410:
                    logger.warning("the Kubernetes API refuses %s: %s", self._path, error)
            except ApiUnreachable as error:
                logger.warning("going on with what is known: %s", error)
            await self._sleep(wait)
            wait = min(max(wait * 2, _FIRST_WAIT_S), _LONGEST_WAIT_S)

    async def _follow(self) -> bool:
        """One watch; says whether it brought anything."""
        useful = False
        async with contextlib.aclosing(self._api.watch(self._path, self._selector, self._version)) as events:
            async for kind, item in events:
                useful = True
                metadata = item.get("metadata")
                version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
                if kind in ("ADDED", "MODIFIED"):
                    self._sink.put(item)
                elif kind == "DELETED":
                    self._sink.remove(item)
                if isinstance(version, str) and version:
                    self._version = version
        return useful
