"""The instructions of a Dockerfile, carried out on a stage; FROM and ARG before it are the build's."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from windtunnel_emulators.images import instructions as written
from windtunnel_emulators.images.archive import Limits, compression, entries, plain
from windtunnel_emulators.images.copying import Found, Ownership, find_sources, parse_mode, place_all, put
from windtunnel_emulators.images.errors import WAY_OUT, ArchiveError, DockerfileError
from windtunnel_emulators.images.health import health_check
from windtunnel_emulators.images.layers import Layer, write_layer
from windtunnel_emulators.images.running import Changes, Runner
from windtunnel_emulators.images.shell import read_command
from windtunnel_emulators.images.threads import in_thread
from windtunnel_emulators.images.tree import DIRECTORY, Node, Tree
from windtunnel_emulators.images.words import expand, expand_split

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from windtunnel_emulators.images.instructions import Command, Instruction
    from windtunnel_emulators.images.oci import ImageConfig
    from windtunnel_emulators.images.stage import Stage
    from windtunnel_emulators.images.variables import BuildArguments

_PORT = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?(?:/(?P<protocol>tcp|udp|sctp))?", re.IGNORECASE)
_SIGNAL = re.compile(r"(SIG[A-Z0-9+-]+|[0-9]{1,3})")


@dataclass(slots=True, kw_only=True)
class Steps:
    """Carries out instructions; the same for all stages of a build."""

    context: Tree
    runner: Runner
    arguments: BuildArguments
    scratch: Path
    limits: Limits
    stop: threading.Event
    escape: str
    stages: list[Stage] = field(default_factory=list["Stage"])
    """Those before the one that is being built."""
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def carry_out(self, stage: Stage, instruction: Instruction) -> Layer | None:
        """Change the stage; returns the layer when there is one. Raises ``ImageProblem``s."""
        match instruction:
            case written.Run():
                for mount in instruction.mounts:
                    _check_mount(mount, instruction)
                actions = read_command(instruction.command, stage.lookup)
                return await self._layer(stage, await self.runner.run(stage, actions))
            case written.Copy():
                new = await in_thread(self.stop, self._copy, stage, instruction)
                return await self._layer(stage, Changes(new=new, removed={}))
            case written.Add():
                new = await in_thread(self.stop, self._add, stage, instruction)
                return await self._layer(stage, Changes(new=new, removed={}))
            case written.Workdir():
                return await self._work_directory(stage, instruction)
            case written.Arg():
                for name, default in instruction.items:
                    expanded = None if default is None else self._expand(default, stage)
                    declared = self._expand(name, stage)
                    value = self.arguments.declare(declared, expanded)
                    if value is not None:
                        stage.arguments[declared] = value
            case _:
                stage.config = self._configure(stage, instruction)
        return None

    async def _work_directory(self, stage: Stage, instruction: written.Workdir) -> Layer | None:
        wanted = self._expand(instruction.path, stage)
        if not wanted:
            raise DockerfileError(f"WORKDIR {instruction.path} comes to an empty path", line=instruction.line)
        path = stage.path(wanted)
        stage.config = replace(stage.config, working_directory=path)
        place = stage.tree.resolve(path)
        if stage.tree.is_directory(place):
            return None
        return await self._layer(stage, Changes(new=put(stage.tree, place, DIRECTORY), removed={}))

    async def _layer(self, stage: Stage, changes: Changes) -> Layer:
        file = self.scratch / f"layer-{next(self._numbers)}"
        # As Docker's layers do, with the directories on the way, so that their modes are kept.
        nodes = stage.tree.with_parents(changes.new)
        return await in_thread(
            self.stop,
            write_layer,
            nodes.items(),
            file,
            time=stage.time,
            removed=tuple(changes.removed),
            stop=self.stop.is_set,
        )

    def _copy(self, stage: Stage, instruction: written.Copy) -> dict[str, Node]:
        sources = [self._expand(source, stage) for source in instruction.sources]
        if instruction.stage is None:
            tree, what = self.context, "the build context (or its .dockerignore leaves it out)"
        else:
            tree, what = self._stage(self._expand(instruction.stage, stage), instruction)
        change = self._ownership(stage, instruction.chown, instruction.chmod, keep=instruction.stage is not None)
        return self._place(stage, find_sources(tree, sources, what), tree, instruction.destination, change)

    def _add(self, stage: Stage, instruction: written.Add) -> dict[str, Node]:
        """Like COPY, and an archive is unpacked at the destination."""
        sources = [self._expand(source, stage) for source in instruction.sources]
        for source in sources:
            if "://" in source or source.startswith("git@"):
                raise DockerfileError(
                    f"ADD of {source!r}, which is on another machine, is not supported without Docker; put the file"
                    f" into the context, or {WAY_OUT}",
                    line=instruction.line,
                )
        change = self._ownership(stage, instruction.chown, instruction.chmod, keep=False)
        found = find_sources(self.context, sources, "the build context (or its .dockerignore leaves it out)")
        new: dict[str, Node] = {}
        plain_files: list[Found] = []
        for one in found:
            archive = self._unpacked(one)
            if archive is None:
                plain_files.append(one)
                continue
            root = [Found(path="", node=DIRECTORY, name="")]
            kept = Ownership(owner=change.owner if instruction.chown else None, mode=change.mode)
            new |= self._place(stage, root, archive, f"{instruction.destination}/", kept)
        if plain_files:
            new |= self._place(stage, plain_files, self.context, instruction.destination, change)
        return new

    def _place(
        self, stage: Stage, found: list[Found], tree: Tree, destination: str, change: Ownership
    ) -> dict[str, Node]:
        target = self._expand(destination, stage)
        into_directory = target.endswith("/") or target == "."
        return place_all(
            stage.tree, found, tree, stage.path(target).lstrip("/"), into_directory=into_directory, change=change
        )

    def _unpacked(self, found: Found) -> Tree | None:
        """What is in the archive, None when the source is no archive."""
        if found.node.content is None:
            return None
        file = self.scratch / f"added-{next(self._numbers)}"
        with file.open("xb") as target:
            found.node.content.copy(target.write, stop=self.stop.is_set)
        if compression(file) is None:
            file.unlink()
            return None
        tree = Tree()
        try:
            archive = plain(file, self.scratch / f"added-{next(self._numbers)}.tar", self.limits, stop=self.stop.is_set)
            if compression(archive) != "tar":
                return None  # a compressed file of another kind
            tree.extend(entries(archive, self.limits))
        except ArchiveError as error:
            raise ArchiveError(f"ADD unpacks {found.path!r}, and that failed: {error}") from error
        return tree

    def _stage(self, name: str, instruction: written.Copy) -> tuple[Tree, str]:
        for number, stage in enumerate(self.stages):
            if name.lower() == stage.name or name == str(number):
                return stage.tree, (
                    f"stage {name} (packages that pip installed are kept apart from its files: run pip install in the"
                    " stage that needs them)"
                )
        raise DockerfileError(
            f"COPY --from={name} names no earlier stage of this Dockerfile; to copy from another image, {WAY_OUT}",
            line=instruction.line,
        )

    def _ownership(self, stage: Stage, chown: str | None, chmod: str | None, *, keep: bool) -> Ownership:
        """``keep`` says that files keep their owner unless another is named; from the context, root owns all."""
        owner = None if keep else (0, 0)
        user = "" if chown is None else self._expand(chown, stage)
        if user:
            owner = stage.owner(user)
        return Ownership(owner=owner, mode=None if chmod is None else parse_mode(self._expand(chmod, stage)))

    def _configure(self, stage: Stage, instruction: Instruction) -> ImageConfig:
        config = stage.config
        match instruction:
            case written.Env():
                return replace(config, environment={**config.environment, **self._pairs(instruction.items, stage)})
            case written.Label():
                return replace(config, labels={**config.labels, **self._pairs(instruction.items, stage)})
            case written.Cmd():
                stage.has_command = True
                return replace(config, command=_start(instruction.command))
            case written.Entrypoint():
                # Docker: an entry point drops the command that came with the base.
                command = config.command if stage.has_command else ()
                return replace(config, entrypoint=_start(instruction.command), command=command)
            case written.Expose():
                words = [word for port in instruction.ports for word in self._split(port, stage)]
                return replace(config, ports=config.ports.union(*(_ports(word, instruction) for word in words)))
            case written.Volume():
                paths = [self._volume(self._expand(path, stage), stage, instruction) for path in instruction.paths]
                return replace(config, volumes=config.volumes.union(paths))
            case written.User():
                return replace(config, user=self._expand(instruction.name, stage))
            case written.StopSignal():
                signal = self._expand(instruction.signal, stage)
                if not _SIGNAL.fullmatch(signal):
                    raise DockerfileError(
                        f"STOPSIGNAL takes a signal such as SIGTERM or 9, not {signal!r}", line=instruction.line
                    )
                return replace(config, stop_signal=signal)
            case written.HealthCheck():
                return replace(config, health_check=health_check(instruction))
            case written.Maintainer():
                return replace(config, author=instruction.name)
            case _:
                raise DockerfileError(f"{type(instruction).__name__} cannot stand here", line=instruction.line)

    def _volume(self, path: str, stage: Stage, instruction: Instruction) -> str:
        place = stage.tree.resolve(stage.path(path)) if path else ""
        if not path or (place in stage.tree and not stage.tree.is_directory(place)):
            raise DockerfileError(f"VOLUME takes directories, and {path!r} is none", line=instruction.line)
        return path

    def _pairs(self, items: tuple[tuple[str, str], ...], stage: Stage) -> dict[str, str]:
        """All values with the variables as they were before the instruction."""
        return {self._expand(name, stage): self._expand(value, stage) for name, value in items}

    def _expand(self, word: str, stage: Stage) -> str:
        return expand(word, stage.lookup, self.escape)

    def _split(self, word: str, stage: Stage) -> list[str]:
        return expand_split(word, stage.lookup, self.escape)


def _start(command: Command) -> tuple[str, ...]:
    if isinstance(command, written.Exec):
        return command.arguments
    return ("/bin/sh", "-c", command.text) if command.text else ()


def _ports(word: str, instruction: written.Expose) -> frozenset[str]:
    found = _PORT.fullmatch(word)
    first = int(found["first"]) if found else 0
    last = int(found["last"] or first) if found else 0
    if found is None or not 0 < first <= last <= 65535:
        raise DockerfileError(
            f"EXPOSE takes ports such as 8080, 8080/udp or 8000-8010, not {word!r}", line=instruction.line
        )
    protocol = (found["protocol"] or "tcp").lower()
    return frozenset(f"{port}/{protocol}" for port in range(first, last + 1))


def _check_mount(mount: str, instruction: written.Run) -> None:
    """A cache may be empty at any time, so it can always be left out; any other mount cannot."""
    if "type=cache" not in mount.split(","):
        raise DockerfileError(
            f"RUN with --mount={mount} is not supported without Docker; {WAY_OUT}", line=instruction.line
        )
