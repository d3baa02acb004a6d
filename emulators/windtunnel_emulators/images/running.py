"""RUN without Docker: each command is carried out on the image's own files, or the build fails and says why."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from windtunnel_emulators.images import frozen
from windtunnel_emulators.images.archive import Kind
from windtunnel_emulators.images.copying import find_sources, put
from windtunnel_emulators.images.errors import WAY_OUT, ArchiveError, EnvironmentError_
from windtunnel_emulators.images.modes import change_mode
from windtunnel_emulators.images.patterns import compile_glob, has_magic
from windtunnel_emulators.images.requirements import Wanted, read_arguments
from windtunnel_emulators.images.resolution import Request
from windtunnel_emulators.images.shell import (
    Action,
    ChangeMode,
    MakeDirectories,
    PipInstall,
    Remove,
    ShellProblem,
)
from windtunnel_emulators.images.slices import Slice
from windtunnel_emulators.images.threads import in_thread
from windtunnel_emulators.images.tree import DIRECTORY, Node, join
from windtunnel_emulators.images.wheels import Wheel, inspect

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from windtunnel_emulators.images.environments import Environments
    from windtunnel_emulators.images.stage import Stage
    from windtunnel_emulators.images.tree import Tree

_LARGEST_FILE = 4 << 20


@dataclass(slots=True, kw_only=True)
class Changes:
    """What a step changes in the image's files."""

    new: dict[str, Node]
    removed: dict[str, None]

    def add(self, nodes: dict[str, Node]) -> None:
        self.new |= nodes

    def remove(self, path: str, *, was_there: bool) -> None:
        """``was_there`` before the step: only then lower layers have to be told."""
        self.new = {one: node for one, node in self.new.items() if one != path and not one.startswith(f"{path}/")}
        if was_there:
            self.removed[path] = None


class Runner:
    """Carries out the commands of one RUN after another."""

    def __init__(
        self,
        environments: Environments,
        scratch: Path,
        log: Callable[[str], None],
        stop: threading.Event,
        *,
        cache: bool,
    ) -> None:
        self._environments = environments
        self._scratch = scratch
        self._log = log
        self._stop = stop
        self._cache = cache
        self._count = 0

    async def run(self, stage: Stage, actions: Iterable[Action]) -> Changes:
        """Change the stage. Raises ``ImageProblem``s."""
        actions = tuple(actions)
        changes = Changes(new={}, removed={})
        before = stage.tree.copy() if any(isinstance(action, Remove) for action in actions) else stage.tree
        for action in actions:
            match action:
                case PipInstall():
                    await self._install(stage, action, changes)
                case MakeDirectories():
                    _make_directories(stage, action, changes)
                case ChangeMode():
                    _change_mode(stage, action, changes)
                case Remove():
                    _remove(stage, action, changes, before)
        return changes

    async def _install(self, stage: Stage, action: PipInstall, changes: Changes) -> None:
        if not stage.base.python:
            raise ShellProblem(f"RUN pip install needs Python, which the base {stage.base.name} does not promise")
        folder = stage.path(".")
        variables = {**stage.variables(), **dict(action.variables)}
        wanted = read_arguments(action.arguments, folder, _Files(stage.tree), variables)
        request = await in_thread(self._stop, self._request, stage, wanted)
        environment = await self._environments.install(request, self._log, cache=self._cache)
        known = {pin.requirement for pin in stage.pins}
        added = [f"{pin.name}-{pin.version}" for pin in environment.pins if pin.requirement not in known]
        if environment.linked and any(pin.wheel is None for pin in environment.pins):
            self._log("Packages that this machine has installed are shared with the image's containers")
        self._log(f"Successfully installed {' '.join(added)}" if added else "Requirements already satisfied")
        stage.pins = environment.pins
        self._keep(stage, changes)

    def _request(self, stage: Stage, wanted: Wanted) -> Request:
        self._count += 1
        place = self._scratch / f"wheels-{self._count}"
        asked: list[Wheel] = []
        for one in wanted.wheels:
            for path, content in _matching(stage.tree, one.path):
                asked.append(inspect(self._copy(place / "asked", path, content), one.extras))
        offered: list[Wheel] = []
        for folder in wanted.folders:
            home = stage.tree.resolve(folder)
            if not stage.tree.is_directory(home):
                raise EnvironmentError_(f"pip install --find-links names {folder}, which is no folder of the image")
            for name in stage.tree.names(home):
                node = stage.tree.get(stage.tree.resolve(join(home, name)))
                if name.endswith(".whl") and node is not None and node.content is not None:
                    offered.append(inspect(self._copy(place / "offered", name, node.content)))
        return Request(
            requirements=wanted.requirements,
            wheels=tuple(asked),
            offered=tuple(offered),
            constraints=wanted.constraints,
            index=wanted.index,
            dependencies=wanted.dependencies,
            options=wanted.options,
            present=stage.pins,
        )

    def _copy(self, folder: Path, path: str, content: Slice) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / posixpath.basename(path)
        with file.open("wb") as target:
            content.copy(target.write, stop=self._stop.is_set)
        return file

    def _keep(self, stage: Stage, changes: Changes) -> None:
        """Put what was installed into the image's files (``frozen``)."""
        file = self._scratch / f"packages-{self._count}.json"
        file.write_bytes(frozen.encode(stage.pins))
        files = {frozen.PACKAGES: file}
        for pin in stage.pins:
            if pin.wheel is not None:
                files[f"{frozen.WHEELS}/{pin.wheel.file.name}"] = pin.wheel.file
        for path, source in files.items():
            node = Node(kind=Kind.FILE, mode=0o644, content=Slice.whole(source))
            changes.add(put(stage.tree, path, node))


class _Files:
    """An image's files, for requirements."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def read_text(self, path: str) -> str:
        node = self._tree.get(self._tree.resolve(path))
        if node is None or node.content is None:
            raise EnvironmentError_(f"pip install names the file {path}, which is not in the image")
        try:
            return node.content.read(_LARGEST_FILE).decode()
        except UnicodeDecodeError as error:
            raise EnvironmentError_(f"pip install names the file {path}, which is not UTF-8 text") from error

    def exists(self, path: str) -> bool:
        return self._tree.resolve(path) in self._tree


def _matching(tree: Tree, path: str) -> list[tuple[str, Slice]]:
    found: list[tuple[str, Slice]] = []
    for one in find_sources(tree, [path], "the image"):
        if one.node.content is None:
            raise EnvironmentError_(f"pip install names {path}, which is no file")
        found.append((one.name, one.node.content))
    return found


def _make_directories(stage: Stage, action: MakeDirectories, changes: Changes) -> None:
    for written in action.paths:
        path = stage.tree.resolve(stage.path(written))
        if path in stage.tree:
            if action.parents and stage.tree.is_directory(path):
                continue
            raise ShellProblem(f"mkdir: cannot create {written!r}: it exists")
        if not action.parents and not stage.tree.is_directory(posixpath.dirname(path)):
            raise ShellProblem(
                f"mkdir: cannot create {written!r}: there is no {posixpath.dirname(path)!r}; use mkdir -p"
            )
        mode = change_mode(0o777, action.mode, directory=True) if action.mode else 0o755
        changes.add(put(stage.tree, path, replace(DIRECTORY, mode=mode)))


def _change_mode(stage: Stage, action: ChangeMode, changes: Changes) -> None:
    for written in action.paths:
        for path in _named(stage, written, "chmod"):
            for one, node in list(stage.tree.walk(path)) if action.recursive else [(path, stage.tree.get(path))]:
                if node is not None and node.kind is not Kind.SYMLINK:
                    mode = change_mode(node.mode, action.mode, directory=node.kind is Kind.DIRECTORY)
                    changes.add(put(stage.tree, one, replace(node, mode=mode)))


def _remove(stage: Stage, action: Remove, changes: Changes, before: Tree) -> None:
    for written in action.paths:
        for path in _named(stage, written, "rm", missing_is_fine=action.force, follow=False):
            if not path or path == frozen.FOLDER.partition("/")[0]:
                raise ShellProblem(f"rm: cannot remove {written!r}, which the image needs")
            if stage.tree.is_directory(path) and not action.recursive:
                raise ShellProblem(f"rm: cannot remove {written!r}: it is a directory; use rm -r")
            stage.tree.remove(path)
            changes.remove(path, was_there=path in before)


def _named(
    stage: Stage, written: str, command: str, *, missing_is_fine: bool = False, follow: bool = True
) -> list[str]:
    """The paths that a word means after the shell has replaced its pattern."""
    path = stage.path(written).lstrip("/")
    if has_magic(path):
        pattern = compile_glob(path)
        found = [one for one, _ in stage.tree.walk() if pattern.fullmatch(one)]
    else:
        try:
            place = stage.tree.resolve(path, follow=follow)
        except ArchiveError as error:
            raise ShellProblem(f"{command}: cannot access {written!r}: {error}") from error
        found = [place] if place in stage.tree else []
    if not found and not missing_is_fine:
        raise ShellProblem(
            f"{command}: {written!r} is not among the files that this build has put into the image; those of the base"
            f" are not here. To change them, {WAY_OUT}"
        )
    return found
