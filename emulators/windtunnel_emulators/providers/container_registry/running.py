"""Carrying a run out: the build, its log, its limits, its end. Safe to do again after a crash: it then begins anew.

A run never fails as a piece of ARM's work: what went wrong is the run's own status, ``runErrorMessage`` and its log.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import JsonObject, as_object
from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.names import check_repository, check_tag

from .logs import LogWriter
from .plans import plan_from
from .times import offset, seconds

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.jsontypes import Json

    from .plans import Plan
    from .service import RegistryService

_log = logging.getLogger(__name__)
_AT_ONCE = 2  # builds; more would only share this machine's cores


class RunFailed(Exception):
    """Why a run failed, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    status: str
    message: str = ""
    images: tuple[tuple[str, str, str], ...] = ()
    """Repository, tag and digest of what was pushed."""


class Runner:
    """Runs what was scheduled, a few at a time."""

    def __init__(self, service: RegistryService) -> None:
        self._service = service
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._cancelled: dict[str, asyncio.Event] = {}

    def cancel(self, key: str) -> None:
        """End a run soon, if it is in this process's hands."""
        event = self._cancelled.get(key)
        if event is not None:
            event.set()

    async def run(self, run: Resource) -> Resource:
        """The work ``run``."""
        key = run.id.key
        cancelled = self._cancelled[key] = asyncio.Event()
        if run.state.get("cancelled") is True:
            cancelled.set()
        log = LogWriter(self._service.logs.begin(run.id), self._service.world.clock)
        try:
            async with self._slots:
                started = self._service.world.clock.monotonic()
                self._note(run, "Running")
                ended = await self._ended(run, plan_from(as_object(run.secrets.get("plan"))), log, cancelled)
            log.line("")
            took = round(self._service.world.clock.monotonic() - started)
            log.line(_last_line(run.id.name, ended, took))
            return self._finished(run, ended)
        finally:
            log.close()
            if self._cancelled.get(key) is cancelled:
                del self._cancelled[key]

    async def _ended(self, run: Resource, plan: Plan, log: LogWriter, cancelled: asyncio.Event) -> _Ended:
        """Whichever comes first: the build's end, the cancellation, the timeout."""
        loop = asyncio.get_running_loop()
        build = loop.create_task(self._build(run, plan, log), name=f"build of run {run.id.name}")
        limits = (
            loop.create_task(cancelled.wait(), name=f"cancellation of run {run.id.name}"),
            loop.create_task(self._service.world.clock.sleep(plan.timeout), name=f"timeout of run {run.id.name}"),
        )
        try:
            await asyncio.wait((build, *limits), return_when=asyncio.FIRST_COMPLETED)
            # A cancellation that was acknowledged holds, also when the build was as quick.
            if cancelled.is_set():
                return _Ended(status="Canceled", message="The run was canceled.")
            if not build.done():
                return _Ended(status="Timeout", message=f"The run did not end within its timeout of {plan.timeout} s.")
            return build.result()
        except RunFailed as error:
            return _Ended(status="Failed", message=str(error))
        except Exception:
            _log.exception("run %s failed unexpectedly", run.id)
            return _Ended(status="Error", message="The run failed unexpectedly; the emulators' log has the reason.")
        finally:
            for task in (build, *limits):
                task.cancel()
            await asyncio.gather(build, *limits, return_exceptions=True)

    async def _build(self, run: Resource, plan: Plan, log: LogWriter) -> _Ended:
        service = self._service
        assert run.id.parent is not None
        registry = service.registries.get(run.id.parent.key)
        if registry is None:
            raise RunFailed("the registry is not there any more")
        log.stamped(f"Run {run.id.name} in registry {registry.name}, on this machine")
        if plan.unsupported:
            raise RunFailed(plan.unsupported)
        if plan.platform.get("os") == "windows":
            raise RunFailed("images for Windows are not built by the emulators; use platform.os Linux")
        context = self._context(plan, log)
        servers = (registry.login_server, f"{registry.name.lower()}.azurecr.io")
        images = [_image(name, servers, run.id.name) for name in plan.images]
        if not plan.push and images:
            log.stamped("isPushEnabled is false: the image is built and thrown away")
        work = service.folder / "work"
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work, prefix=f"{run.id.name}-") as folder:
            digest = await service.build(
                context=context,
                plan=plan,
                images=[f"{repository}:{tag}" for repository, tag in images] if plan.push else [],
                servers=servers,
                log=log,
                registry=registry.key,
                work=Path(folder),
            )
        if not plan.push or not images:
            return _Ended(status="Succeeded")
        for repository, tag in images:
            log.stamped(f"Pushed image: {registry.login_server}/{repository}:{tag}")
            log.line(f"{tag}: digest: {digest}")
        return _Ended(status="Succeeded", images=tuple((repository, tag, digest) for repository, tag in images))

    def _context(self, plan: Plan, log: LogWriter) -> Path:
        source = plan.source
        if "://" in source or source.startswith("git@"):
            raise RunFailed(
                f"the context {source} is somewhere else: the emulators promise no network and fetch nothing."
                " Upload it (listBuildSourceUploadUrl; az acr build with a folder does)"
            )
        found = self._service.contexts.find(source)
        if found is None:
            raise RunFailed(
                f"the context {source or '(none)'} was not found: nothing was uploaded there in the last day."
                " Ask listBuildSourceUploadUrl for a place, upload a tar.gz, and name its relativePath"
            )
        log.stamped(f"Using the uploaded context {source} ({found.stat().st_size} bytes)")
        return found

    def _note(self, run: Resource, status: str) -> None:
        """Write a status down while the run goes on."""
        world = self._service.world
        current = world.resources.get(run.id)
        if current is not None:
            now = world.clock.now()
            changed: JsonObject = {"status": status, "startTime": offset(now), "lastUpdatedTime": seconds(now)}
            world.resources.save(replace(current, properties={**current.properties, **changed}))

    def _finished(self, run: Resource, ended: _Ended) -> Resource:
        """The run as it is now, with its end."""
        world = self._service.world
        current = world.resources.get(run.id) or run
        now = world.clock.now()
        changed: JsonObject = {"status": ended.status, "finishTime": offset(now), "lastUpdatedTime": seconds(now)}
        if ended.message:
            changed["runErrorMessage"] = ended.message
        if ended.images and run.id.parent is not None:
            registry = self._service.registries.get(run.id.parent.key)
            server = registry.login_server if registry else ""
            images: list[Json] = [
                {"registry": server, "repository": repository, "tag": tag, "digest": digest}
                for repository, tag, digest in ended.images
            ]
            changed["outputImages"] = images
        return replace(current, properties={**current.properties, **changed})


def _image(name: str, servers: tuple[str, ...], run: str) -> tuple[str, str]:
    """Repository and tag of an image's name, in which ``{{.Run.ID}}`` and ``{{.Run.Registry}}`` may stand."""
    text = name.replace("{{.Run.ID}}", run).replace("{{.Run.Registry}}", servers[0])
    for server in servers:
        if text.lower().startswith(f"{server.lower()}/"):
            text = text[len(server) + 1 :]
    repository, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = text, "latest"
    first = repository.partition("/")[0]
    if "/" in repository and ("." in first or ":" in first or first == "localhost"):
        raise RunFailed(f"image {name} is for registry {first}, which this run cannot push to; leave the server out")
    try:
        return check_repository(repository), check_tag(tag)
    except RegistryError as error:
        raise RunFailed(f"image {name}: {error.message}") from error


def _last_line(run: str, ended: _Ended, took: int) -> str:
    if ended.status == "Succeeded":
        return f"Run ID: {run} was successful after {took}s"
    if ended.status == "Canceled":
        return f"Run ID: {run} was canceled after {took}s"
    if ended.status == "Timeout":
        return f"Run ID: {run} timed out after {took}s. Error: {ended.message}"
    return f"Run ID: {run} failed after {took}s. Error: {ended.message}"
