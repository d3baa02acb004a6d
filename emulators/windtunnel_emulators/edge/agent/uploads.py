"""Uploads to a container of Azure's blob storage, by its signed URL, in the background; each has a correlation id."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from windtunnel_emulators.edge.agent.errors import BadRequest
from windtunnel_emulators.edge.interface import EdgeProblem, Unreachable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from windtunnel_emulators.edge.upstream.link import Link
    from windtunnel_emulators.jsontypes import JsonObject

_LIMIT_S = 600.0
_MOST_KEPT = 100
_VERSION = "2021-08-06"
_log = logging.getLogger(__name__)


class Uploads:
    """Of one device. ``close`` ends what is on its way."""

    def __init__(self, link: Link, tls: ssl.SSLContext) -> None:
        self._link = link
        self._tls = tls
        self._states: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, url: str, files: Callable[[], Awaitable[Mapping[str, bytes]]]) -> JsonObject:
        """Start one. Raises ``BadRequest`` for what is no URL of a container."""
        parts = urlsplit(url)
        local = parts.hostname in ("localhost", "127.0.0.1")
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise BadRequest("sasUrl is no https URL")
        if not parts.netloc or not parts.query or not parts.path.strip("/"):
            raise BadRequest("sasUrl is no signed URL of a container: https://ACCOUNT.blob.core.windows.net/NAME?SAS")
        id = str(uuid.uuid4())
        self._set(id, "NotStarted", "")
        task = asyncio.get_running_loop().create_task(self._upload(id, url, files), name="upload of logs")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self.status(id) or {}

    def status(self, id: str) -> JsonObject | None:
        """None for an id that is not known (any more)."""
        known = self._states.get(id)
        return None if known is None else {"status": known[0], "message": known[1], "correlationId": id}

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _upload(self, id: str, url: str, files: Callable[[], Awaitable[Mapping[str, bytes]]]) -> None:
        self._set(id, "Running", "")
        try:
            for name, content in (await files()).items():
                await self._put(url, name, content)
        except EdgeProblem as problem:
            _log.error("an upload failed: %s", problem)
            self._set(id, "Failed", str(problem))
        except OSError as problem:
            _log.error("an upload failed: %s", problem)
            self._set(id, "Failed", f"A log cannot be read: {problem.strerror}")
        else:
            self._set(id, "Completed", "")

    async def _put(self, url: str, name: str, content: bytes) -> None:
        import httpx

        parts = urlsplit(url)
        target = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": _VERSION}

        async def put() -> httpx.Response:
            async with httpx.AsyncClient(verify=self._tls, timeout=60.0, trust_env=False) as client:
                return await client.put(target, content=content, headers=headers)

        try:
            answer = await self._link.carry(put, within=_LIMIT_S)
        except httpx.HTTPError as problem:
            # The URL is a secret: it is not part of what is said.
            raise Unreachable(f"{parts.netloc} cannot be reached: {type(problem).__name__}") from problem
        if answer.status_code != 201:
            code = answer.headers.get("x-ms-error-code", "")
            raise EdgeProblem(f"{parts.netloc} answers {answer.status_code} {code}".rstrip())

    def _set(self, id: str, status: str, message: str) -> None:
        self._states[id] = (status, message)
        while len(self._states) > _MOST_KEPT:
            self._states.popitem(last=False)
