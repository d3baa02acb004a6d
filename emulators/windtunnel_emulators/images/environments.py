"""Folders of Python packages for containers, each made once for its content.

An environment is linked from what this machine has installed when that is exactly what is wanted (milliseconds, no
network), with the image's own wheels unpacked into it; else pip or uv installs it. Its folder's name is a hash of all
that it depends on; it appears by a rename, whole or not at all, and never changes but for compiled modules.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import stat
import sys
import sysconfig
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from windtunnel_emulators.images import frozen, installer, interpreter
from windtunnel_emulators.images.distributions import NotHere, find_installed, inspect_installed, link
from windtunnel_emulators.images.drafts import Drafts
from windtunnel_emulators.images.errors import EnvironmentError_
from windtunnel_emulators.images.installation import read_pins, settle_programs
from windtunnel_emulators.images.metadata import normalise
from windtunnel_emulators.images.resolution import Pin, Request, parse_requirement, resolve
from windtunnel_emulators.images.threads import in_thread
from windtunnel_emulators.images.wheels import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.images.distributions import Installed

    Log = Callable[[str], None]

_ANSWERS = "answers"
_INSTALLED = "-installed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A folder of packages, laid out as ``interpreter.prepare`` says, and what is in it."""

    packages: Path
    pins: tuple[Pin, ...]

    @property
    def linked(self) -> bool:
        """Whether its packages are this machine's own, and not installed for it."""
        return not self.packages.name.endswith(_INSTALLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What environments take on the disk; what is only linked takes nothing."""

    environments: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    key: str
    """For these packages, wherever they come from."""
    pins: tuple[Pin, ...]
    made: Path | None
    """The environment, when there is one."""
    folder: Path | None = None
    """Where to link one that this machine has the packages for, of just these installations."""
    linked: tuple[Installed, ...] = ()
    reason: str | None = None
    """Why the packages cannot be linked; None when they can."""


def _silent(line: str) -> None:
    del line


class Environments:
    """All environments of one folder. Any number of tasks and processes may use the same one."""

    def __init__(
        self,
        folder: Path,
        *,
        path: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        install_limit_s: float = installer.LIMIT_S,
    ) -> None:
        """``path`` is where installed packages are looked for, by default ``sys.path``; ``environment`` is pip's."""
        self._folder = folder
        self._path = path
        self._environment = environment
        self._limit_s = install_limit_s
        self._drafts = Drafts(folder)

    async def get(self, pins: Sequence[Pin], log: Log = _silent) -> Path:
        """The folder with exactly these packages. Raises ``EnvironmentError_``."""
        plan = await asyncio.to_thread(self._plan, tuple(pins))
        if plan.made is not None:
            return plan.made
        async with self._drafts.locked(plan.key):
            # Somebody else may have made it while this one waited.
            plan = await asyncio.to_thread(self._plan, plan.pins)
            if plan.made is not None:
                return plan.made
            reason = plan.reason
            if reason is None:
                try:
                    return await in_thread(threading.Event(), self._link, plan)
                except NotHere as problem:
                    reason = str(problem)
            log(f"{reason}; installing")
            return (await self._install(_exact(pins), log, pins)).packages

    async def of_image(self, root: Path, log: Log = _silent) -> Path:
        """The folder for an image of ours that is unpacked at ``root``. Raises ``EnvironmentError_``."""
        return await self.get(await asyncio.to_thread(frozen.read, root), log)

    async def install(self, request: Request, log: Log = _silent, *, cache: bool = True) -> Environment:
        """The environment that an install comes to. Raises ``EnvironmentError_``.

        Where pip or uv has to choose, what they chose for an equal request counts again, unless ``cache`` is False.
        """
        try:
            pins = await asyncio.to_thread(resolve, request, find_installed(self._search_path()))
            return Environment(packages=await self.get(pins, log), pins=pins)
        except NotHere as problem:
            log(f"{problem}; installing")
        request = _with_present(request)
        key = _key("request", *_facts(request))
        answer = self._folder / _ANSWERS / f"{key}.json"
        async with self._drafts.locked(key):
            known = await asyncio.to_thread(_read_answer, answer, request) if cache else None
            if known is not None:
                log(" ---> Using cache")
                return Environment(packages=await self.get(known, log), pins=known)
            environment = await self._install(request, log)
            self._drafts.write(answer, frozen.encode(environment.pins))
        return environment

    def usage(self) -> Usage:
        """Blocks while the folders are read."""
        total = 0
        for folder, _, names in os.walk(self._folder):
            for name in names:
                # Compiled modules and drafts may go away meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    state = os.lstat(os.path.join(folder, name))
                    total += state.st_size if stat.S_ISREG(state.st_mode) and state.st_nlink == 1 else 0
        return Usage(environments=len(self._finished()), bytes=total)

    def sweep(self, keep: Collection[Path] = ()) -> int:
        """Remove the environments that are not to be kept, and what killed processes left; returns how many.

        What is removed is made again when it is wanted; so no container may be using it.
        """
        kept = {path.name for path in keep}
        removed = [path for path in self._finished() if path.name not in kept]
        for path in removed:
            shutil.rmtree(path)
        self._drafts.remove_abandoned()
        return len(removed)

    def _finished(self) -> list[Path]:
        entries = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        return [path for path in entries if not Drafts.owns(path) and path.name != _ANSWERS]

    def _search_path(self) -> Sequence[str]:
        return sys.path if self._path is None else self._path

    def _plan(self, pins: tuple[Pin, ...]) -> _Plan:
        """Whether the environment is there, or everything for it can be linked."""
        key = _key(*map(_fact, pins))
        installed = find_installed(self._search_path())
        try:
            linked = tuple(_exactly(pin, installed) for pin in pins if pin.wheel is None)
        except NotHere as problem:
            made = [path for path in self._finished() if path.name.startswith(f"{key}-") and _is_whole(path)]
            return _Plan(key=key, pins=pins, made=made[0] if made else None, reason=str(problem))
        folder = self._folder / f"{key}-{_key(*(found.stamp for found in linked))[:8]}"
        candidates = (folder, self._folder / f"{key}{_INSTALLED}")
        there = next((path for path in candidates if path.is_dir()), None)
        return _Plan(key=key, pins=pins, made=there, folder=folder, linked=linked)

    def _link(self, plan: _Plan) -> Path:
        assert plan.folder is not None
        with self._drafts.new() as draft:
            interpreter.prepare(draft)
            for found in plan.linked:
                link(found, draft, plan.folder)
            for pin in plan.pins:
                if pin.wheel is not None:
                    unpack(pin.wheel.file, pin.wheel.sha256, draft, plan.folder)
            self._drafts.finish(draft, plan.folder)
        return plan.folder

    async def _install(self, request: Request, log: Log, expected: Sequence[Pin] | None = None) -> Environment:
        """Have pip make an environment; ``expected`` is what has to be in it."""
        with self._drafts.new() as draft, self._drafts.new() as scratch:
            interpreter.prepare(draft)
            scratch.mkdir()
            await installer.install(
                request,
                interpreter.site_packages(draft),
                scratch,
                environment=os.environ if self._environment is None else self._environment,
                log=log,
                limit_s=self._limit_s,
            )
            return await in_thread(threading.Event(), self._adopt, draft, request, expected)

    def _adopt(self, draft: Path, request: Request, expected: Sequence[Pin] | None) -> Environment:
        found = read_pins(draft, (*request.wheels, *request.offered))
        if expected is not None and {pin.name: pin.version for pin in found} != {p.name: p.version for p in expected}:
            raise EnvironmentError_(
                f"the image has {_listed(expected)}, and installing that came to {_listed(found)} instead"
            )
        pins = tuple(expected or found)
        folder = self._folder / f"{_key(*map(_fact, pins))}{_INSTALLED}"
        settle_programs(draft, folder)
        self._drafts.finish(draft, folder)
        return Environment(packages=folder, pins=pins)


def _is_whole(folder: Path) -> bool:
    """Whether the machine still has all that the environment links to, where those links are symbolic."""
    return all((found / "METADATA").exists() for found in interpreter.site_packages(folder).glob("*.dist-info"))


def _exactly(pin: Pin, installed: Mapping[str, Path]) -> Installed:
    """The installed distribution that the pin means. Raises ``NotHere``."""
    if pin.url is not None:
        raise NotHere(f"{pin.name} comes from {pin.url}")
    found = inspect_installed(pin.name, installed)
    if found.metadata.version != pin.version:
        raise NotHere(f"{pin.name} {pin.version} is wanted, and this machine has {found.metadata.version}")
    return found


def _exact(pins: Sequence[Pin]) -> Request:
    """The request for just these."""
    return Request(
        requirements=tuple(pin.requirement for pin in pins if pin.wheel is None),
        wheels=tuple(pin.wheel for pin in pins if pin.wheel is not None),
        dependencies=False,
    )


def _listed(pins: Sequence[Pin]) -> str:
    return ", ".join(f"{pin.name} {pin.version}" for pin in pins) or "nothing"


def _with_present(request: Request) -> Request:
    """The request for an installer that starts with nothing: with what is there and is not asked for anew."""
    asked = {wheel.metadata.name for wheel in request.wheels}
    asked |= {normalise(parse_requirement(line).name) for line in request.requirements}
    kept = [pin for pin in request.present if pin.name not in asked]
    return replace(
        request,
        requirements=(*request.requirements, *(pin.requirement for pin in kept if pin.wheel is None)),
        wheels=(*request.wheels, *(pin.wheel for pin in kept if pin.wheel is not None)),
        present=(),
    )


def _read_answer(file: Path, request: Request) -> tuple[Pin, ...] | None:
    """What an earlier, equal request came to."""
    if not file.is_file():
        return None
    wheels = {wheel.sha256: wheel for wheel in (*request.wheels, *request.offered)}
    return tuple(
        replace(pin, wheel=wheels[pin.wheel.sha256]) if pin.wheel else pin
        for pin in frozen.decode(file.read_bytes(), file.parent)
    )


def _facts(request: Request) -> list[str]:
    return [
        *request.requirements,
        "wheels",
        *(f"{wheel.sha256}{wheel.extras}" for wheel in request.wheels),
        "offered",
        *sorted(wheel.sha256 for wheel in request.offered),
        "constraints",
        *request.constraints,
        "options",
        *request.options,
        f"{request.index} {request.dependencies}",
    ]


def _fact(pin: Pin) -> str:
    return f"{pin.requirement} {pin.wheel.sha256 if pin.wheel else ''}"


def _key(*facts: str) -> str:
    """A folder's name for these facts, this interpreter and this machine."""
    here = (interpreter.FULL_VERSION, str(interpreter.base_interpreter()), sysconfig.get_platform())
    value = hashlib.sha256("\0".join((*here, sys.implementation.cache_tag or "", *facts)).encode())
    return value.hexdigest()[:24]
