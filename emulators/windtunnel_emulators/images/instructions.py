"""The instructions of a Dockerfile as values, and as text.

Words are kept raw, with their quotes and variables: what they stand for depends on the build. ``line`` and ``source``
(the instruction as written, on one line) say where it comes from and do not count in a comparison.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TypeAlias

from windtunnel_emulators.images.words import raw_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What all have."""

    line: int = field(default=0, compare=False)
    source: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Shell:
    """A command for ``/bin/sh -c``."""

    text: str


@dataclass(frozen=True, slots=True)
class Exec:
    """A command as a list of arguments."""

    arguments: tuple[str, ...]


Command: TypeAlias = "Shell | Exec"


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    image: str
    alias: str | None = None
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    items: tuple[tuple[str, str | None], ...]
    """Names, each with its default if it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Instruction):
    sources: tuple[str, ...]
    destination: str
    chown: str | None = None
    chmod: str | None = None
    stage: str | None = None
    """What ``--from`` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Instruction):
    sources: tuple[str, ...]
    destination: str
    chown: str | None = None
    chmod: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    command: Command
    mounts: tuple[str, ...] = ()
    """What each ``--mount`` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck(Instruction):
    command: Command | None
    """None for NONE."""
    options: tuple[tuple[str, str], ...] = ()
    """``interval``, ``timeout``, ``start-period``, ``start-interval``, ``retries``, as written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A whole file: one instruction at least, the first that is no ARG is a FROM."""

    instructions: tuple[Instruction, ...]
    escape: str = "\\"

    def text(self) -> str:
        """A Dockerfile that parses to an equal value."""
        lines = [render(instruction, self.escape) for instruction in self.instructions]
        return "\n".join([*([f"# escape={self.escape}"] if self.escape != "\\" else []), *lines, ""])


def render(instruction: Instruction, escape: str = "\\") -> str:
    """The instruction as one line, which parses to an equal value with the same escape character."""
    match instruction:
        case From():
            return _join("FROM", *_flags(platform=instruction.platform), instruction.image, *_alias(instruction.alias))
        case Arg():
            items = [name if default is None else f"{name}={default}" for name, default in instruction.items]
            return _join("ARG", *items)
        case Env():
            return _join("ENV", _assignments(instruction.items, escape))
        case Label():
            return _join("LABEL", _assignments(instruction.items, escape))
        case Workdir():
            return _join("WORKDIR", instruction.path)
        case Copy():
            flags = _flags(**{"from": instruction.stage}, chown=instruction.chown, chmod=instruction.chmod)
            return _join("COPY", *flags, _paths((*instruction.sources, instruction.destination)))
        case Add():
            flags = _flags(chown=instruction.chown, chmod=instruction.chmod)
            return _join("ADD", *flags, _paths((*instruction.sources, instruction.destination)))
        case Run():
            return _join("RUN", *(f"--mount={mount}" for mount in instruction.mounts), _command(instruction.command))
        case Cmd():
            return _join("CMD", _command(instruction.command))
        case Entrypoint():
            return _join("ENTRYPOINT", _command(instruction.command))
        case Expose():
            return _join("EXPOSE", *instruction.ports)
        case Volume():
            return _join("VOLUME", _paths(instruction.paths))
        case User():
            return _join("USER", instruction.name)
        case StopSignal():
            return _join("STOPSIGNAL", instruction.signal)
        case Maintainer():
            return _join("MAINTAINER", instruction.name)
        case HealthCheck():
            if instruction.command is None:
                return "HEALTHCHECK NONE"
            options = [f"--{name}={value}" for name, value in instruction.options]
            return _join("HEALTHCHECK", *options, "CMD", _command(instruction.command))
        case _:
            raise TypeError(f"no text is known for {type(instruction).__name__}")


def _join(*words: str) -> str:
    return " ".join(words)


def _flags(**flags: str | None) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items() if value is not None]


def _alias(alias: str | None) -> tuple[str, ...]:
    return () if alias is None else ("AS", alias)


def _command(command: Command) -> str:
    return command.text if isinstance(command, Shell) else json.dumps(command.arguments, ensure_ascii=False)


def _paths(paths: tuple[str, ...]) -> str:
    """The list form where a path has blanks, or the words would read as something else: as a list, an option, or a
    line that goes on."""
    plain = all(path and not any(c.isspace() for c in path) for path in paths)
    plain = plain and not paths[0].startswith(("[", "--")) and not paths[-1].endswith(("\\", "`"))
    return " ".join(paths) if plain else json.dumps(paths, ensure_ascii=False)


def _assignments(items: tuple[tuple[str, str], ...], escape: str) -> str:
    """``name=value ...``; the old form ``name value`` for a value with open blanks, which only that can have."""
    (name, value), *others = items
    if not others and value and raw_words(value, escape) != [value]:
        return f"{name} {value}"
    return " ".join(f"{name}={value}" for name, value in items)
