"""What Microsoft.Storage keeps beside the store: one port for the blobs of all accounts, opened with the first."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.server import ADDRESS

from .accounts import KEYS, TYPE
from .blobs.app import BlobApp
from .blobs.content import BlobContent

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.world import World

_LISTENER = "blobs"
_log = logging.getLogger(__name__)


class StorageService:
    """One per process."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._content: BlobContent | None = None
        self._port: int | None = None
        self._opening: asyncio.Task[None] | None = None

    @property
    def content(self) -> BlobContent:
        """Blobs and containers; made on first use, since most states have none."""
        if self._content is None:
            self._content = BlobContent(self.world.store, self.world.folder / "storage", self.world.clock)
        return self._content

    async def start(self) -> None:
        if self.world.resources.list(TYPE):
            await self._open()

    async def stop(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)

    def endpoint(self, account: str) -> str:
        """Where the blobs of an account are; the port takes connections from now on."""
        if self._port is None:
            self._port = self.world.listeners.reserve(_LISTENER)
            self._opening = asyncio.get_running_loop().create_task(self._open(), name="opening of the blob endpoint")
            self._opening.add_done_callback(_told)
        return f"http://{ADDRESS}:{self._port}/{account}/"

    async def _open(self) -> None:
        # Plain HTTP, on loopback: what is sent is signed, and the key itself never goes over the wire.
        self._port = await self.world.listeners.open(
            _LISTENER, BlobApp(self.content, self.keys, self.world.clock), tls=False
        )

    def find(self, account: str) -> Resource | None:
        """By its name, which is unique over all resource groups."""
        return next((r for r in self.world.resources.list(TYPE) if r.id.name == account), None)

    def keys(self, account: str) -> tuple[str, ...]:
        """The keys of an account; none when there is no such account."""
        found = self.find(account)
        return () if found is None else tuple(str(found.secrets[name]) for name in KEYS)

    async def remove(self, account: Resource) -> Resource:
        """The work ``delete`` of an account. Safe to repeat."""
        if self.find(account.id.name) is None:
            await asyncio.to_thread(self.content.drop_files, self.content.drop_account(account.id.name))
        return account


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (problem := task.exception()) is not None:
        _log.error("%s failed", task.get_name(), exc_info=problem)
