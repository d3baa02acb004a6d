"""Builds of a Docker engine for the registry's tasks: any Dockerfile, with the engine's own log."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from windtunnel_emulators.images.threads import in_thread
from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.runtime.builder import BuildFailed
from windtunnel_emulators.runtime.engine.client import EngineProblem, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.runtime.engine.client import DockerApi, Engine
    from windtunnel_emulators.runtime.interface import Credentials

_GZIP = b"\x1f\x8b"


class EngineBuilds:
    """Implements ``builder.ImageBuilder`` on one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def build(
        self,
        context: Path,
        dockerfile: str,
        arguments: Mapping[str, str],
        target: str | None,
        log: Callable[[str], None],
        *,
        cache: bool,
    ) -> str:
        def work(api: DockerApi, say: Callable[[str], None], stop: threading.Event) -> str:
            found = error = ""
            with context.open("rb") as file:
                gzip = file.read(2) == _GZIP
                file.seek(0)
                lines = api.build(
                    fileobj=file,
                    custom_context=True,
                    encoding="gzip" if gzip else None,
                    dockerfile=dockerfile,
                    buildargs=dict(arguments),
                    target=target,
                    nocache=not cache,
                    rm=True,
                    forcerm=True,
                    decode=True,
                )
                for line in _until(lines, stop):
                    for text in as_str(line.get("stream")).splitlines():
                        if text.strip():
                            say(text)
                    if "status" in line:
                        say(_progress(line))
                    found = as_str(as_object(line.get("aux")).get("ID")) or found
                    error = _error(line, say) or error
            if error:
                raise BuildFailed(error)
            return found

        image = await self._follow(work, log)
        if not image:
            raise BuildFailed("the engine has not said which image it has built")
        return image

    async def push(
        self, image: str, references: Sequence[str], credentials: Credentials, log: Callable[[str], None]
    ) -> str:
        def work(api: DockerApi, say: Callable[[str], None], stop: threading.Event) -> str:
            digest = ""
            try:
                for reference in references:
                    digest = _push(api, image, reference, credentials, say, stop)
            finally:
                for reference in references:
                    _forget(api, reference)
            return digest

        digest = await self._follow(work, log)
        if not digest:
            raise BuildFailed(f"the engine has not said under which digest it has pushed {', '.join(references)}")
        return digest

    async def _follow(
        self, work: Callable[[DockerApi, Callable[[str], None], threading.Event], str], log: Callable[[str], None]
    ) -> str:
        """The work in a thread with a connection of its own, whose lines come to the log on the event loop."""
        loop = asyncio.get_running_loop()
        stop = threading.Event()

        def run() -> str:
            api = self._engine.connect()
            try:
                return checked(lambda: work(api, lambda text: _say(loop, log, text), stop), self._engine.url)
            finally:
                api.close()

        try:
            return await in_thread(stop, run)
        except EngineProblem as problem:
            raise BuildFailed(str(problem)) from problem


def _push(
    api: DockerApi,
    image: str,
    reference: str,
    credentials: Credentials,
    say: Callable[[str], None],
    stop: threading.Event,
) -> str:
    repository, _, tag = reference.rpartition(":")
    api.tag(image, repository, tag)
    auth = {"username": credentials.username, "password": credentials.password}
    digest = error = ""
    for line in _until(api.push(repository, tag, stream=True, decode=True, auth_config=auth), stop):
        if "status" in line and "progressDetail" not in line:
            say(_progress(line))
        digest = as_str(as_object(line.get("aux")).get("Digest")) or digest
        error = _error(line, say) or error
    if error:
        raise BuildFailed(error)
    return digest


def _forget(api: DockerApi, reference: str) -> None:
    """The name that a push needed goes, so that the user's own list of images stays short."""
    try:
        checked(lambda: api.remove_image(reference, noprune=True), "")
    except EngineProblem as problem:
        if problem.status != 404:
            raise


def _until(lines: Iterator[JsonObject], stop: threading.Event) -> Iterator[JsonObject]:
    """The lines until it is stopped; the engine ends a build when nobody listens any more."""
    for line in lines:
        if stop.is_set():
            return
        yield line


def _error(line: JsonObject, say: Callable[[str], None]) -> str:
    """The error that a line reports, if it does. The lines after it are still to be read, to free the connection."""
    message = as_str(line.get("error"))
    if message:
        say(message)
    return message


def _progress(line: JsonObject) -> str:
    name, status = as_str(line.get("id")), as_str(line.get("status"))
    return f"{name}: {status}" if name else status


def _say(loop: asyncio.AbstractEventLoop, log: Callable[[str], None], text: str) -> None:
    # A loop that has been closed has nobody to tell.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(log, text)
