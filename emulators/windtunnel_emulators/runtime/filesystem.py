"""Which file system containers get here, found out once: their own root, or the machine's with paths rewritten."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.images.interpreter import base_interpreter, find_program
from windtunnel_emulators.runtime.folders import remove_tree
from windtunnel_emulators.runtime.interface import ContainerSpec, Image, StartError
from windtunnel_emulators.runtime.roots import Roots, host_name
from windtunnel_emulators.runtime.skeleton import Skeleton
from windtunnel_emulators.runtime.translation import Translation, copy_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.runtime.connection import KeeperConnection
    from windtunnel_emulators.runtime.keeper.protocol import Message

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a container's commands run, as the keeper is told."""

    environment: Mapping[str, str]
    folder: str
    root: Message | None = None
    translation: Translation | None = None

    def arguments(self, argv: tuple[str, ...], image: Image) -> tuple[str, ...]:
        """A command as it is executed here."""
        program = None if image.complete else find_program(image.packages, argv[0])
        if program is not None:
            argv = (*program, *argv[1:])
        elif self.translation is not None:
            argv = (self.translation.text(argv[0]), *argv[1:])
        return argv if self.translation is None else (argv[0], *self.translation.arguments(argv[1:]))


class FileSystem(Protocol):
    """One way to give containers their files."""

    @property
    def description(self) -> str: ...

    def surround(self, spec: ContainerSpec) -> Surroundings:
        """Prepare a container's files; blocks. Raises ``StartError``."""
        ...


class OwnRoot:
    """Each container has a root of its own in a mount namespace."""

    def __init__(self, roots: Roots, *, in_memory: bool) -> None:
        self._roots = roots
        kept = "in memory, as this file system takes no overlay" if in_memory else "in its own folder"
        self.description = (
            "each container has its own root: its image over the machine's programs, its mounts at their exact paths;"
            f" what it writes is kept {kept}; the network is the machine's"
        )

    def surround(self, spec: ContainerSpec) -> Surroundings:
        return Surroundings(
            environment=_environment(spec, home="/root"),
            folder=spec.working_directory or spec.image.working_directory or "/",
            root=self._roots.plan(spec),
        )


class SharedRoot:
    """Containers see the machine's files; paths of their images and mounts are rewritten."""

    description = (
        "containers see the machine's files, as mount namespaces are not permitted here: each works on a copy of its"
        " image, and absolute paths of the image and of mounts in its arguments, environment and working directory are"
        " rewritten; read-only mounts are not enforced"
    )

    def __init__(self, folder: Path) -> None:
        self._skeleton = Skeleton(folder)
        self._skeleton.build()

    def surround(self, spec: ContainerSpec) -> Surroundings:
        root = spec.directory / "layer"
        if spec.image.complete:
            raise StartError(
                f"image {spec.image.reference!r} brings its own system, and containers cannot have a root of their own"
                " here; start the emulators with --runtime docker, or as a user who may make mount namespaces"
            )
        try:
            copy_image(spec.image.root, root)
        except OSError as problem:
            raise StartError(f"the image {spec.image.reference!r} could not be copied: {problem}") from problem
        translation = Translation(root, spec.mounts)
        environment = translation.environment(_environment(spec, home="/root"))
        if spec.image.packages is None:
            environment["PATH"] = _with_programs(environment["PATH"], self._skeleton.python / "bin")
        environment.setdefault("TMPDIR", str(root / "tmp"))
        folder = translation.folder(spec.working_directory or spec.image.working_directory or "/")
        return Surroundings(environment=environment, folder=folder, translation=translation)


async def choose(folder: Path, keeper: KeeperConnection, *, own_root: bool | None) -> FileSystem:
    """The best there is; ``own_root`` False takes the second even where the first works, True insists on the first.

    Only Linux has the first.
    """
    if own_root is False or sys.platform != "linux":
        return await asyncio.to_thread(SharedRoot, folder / "skeleton")
    problems: list[str] = []
    for in_memory in (False, True):
        roots = await asyncio.to_thread(Roots, folder / "skeleton", in_memory=in_memory)
        file_system = OwnRoot(roots, in_memory=in_memory)
        problem = await _try(file_system, folder / "probe", keeper)
        if problem is None:
            return file_system
        problems.append(problem)
    if own_root:
        raise StartError(f"containers cannot have a root of their own here: {'; '.join(problems)}")
    return await asyncio.to_thread(SharedRoot, folder / "skeleton")


async def _try(file_system: FileSystem, folder: Path, keeper: KeeperConnection) -> str | None:
    """Whether the interpreter runs there; the reason when not."""
    spec = ContainerSpec(
        id="probe",
        owner="the process runtime",
        image=Image(reference="probe", digest=""),
        command=(str(base_interpreter()), "-I", "-S", "-c", ""),
        address="127.0.0.1",
        log=folder / "log",
        directory=folder,
    )
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        around = await asyncio.to_thread(file_system.surround, spec)
        child = await keeper.launch(order(spec.id, spec.command, around), [null, null, null])
        code = await child.code
    except StartError as problem:
        return str(problem)
    finally:
        os.close(null)
        await asyncio.to_thread(remove_tree, folder)
    return None if code == 0 else f"the interpreter ended with {code}"


def order(name: str, argv: Sequence[str], around: Surroundings) -> Message:
    """To the keeper, to start a container."""
    return {
        "do": "start",
        "id": name,
        "argv": list(argv),
        "environment": dict(around.environment),
        "folder": around.folder,
        "root": around.root,
    }


def _environment(spec: ContainerSpec, *, home: str) -> dict[str, str]:
    """The whole environment: nothing of the emulators' own is in it."""
    environment = {"PATH": _PATH, "HOME": home, "HOSTNAME": host_name(spec)}
    environment |= spec.image.environment
    environment |= spec.environment
    environment["WINDTUNNEL_ADDRESS"] = spec.address
    if spec.image.packages is not None:
        environment["PATH"] = _with_programs(environment["PATH"], spec.image.packages / "bin")
    return environment


def _with_programs(path: str, programs: Path) -> str:
    """The image's programs come before the machine's of the same name, and after what the image put in front."""
    entries = path.split(":")
    first = next((i for i, entry in enumerate(entries) if entry in _PATH.split(":")), len(entries))
    return ":".join([*entries[:first], str(programs), *entries[first:]])
