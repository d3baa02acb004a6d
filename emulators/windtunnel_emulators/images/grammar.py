"""What each instruction of a Dockerfile takes: from its arguments to its typed value.

Whether it can be had without Docker is the build's business; here only SHELL, ONBUILD and here-documents are refused,
which change how the rest is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.images.arguments import BLANKS
from windtunnel_emulators.images.errors import WAY_OUT
from windtunnel_emulators.images.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    HealthCheck,
    Instruction,
    Label,
    Maintainer,
    Run,
    StopSignal,
    User,
    Volume,
    Workdir,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.images.arguments import Arguments

_ALIAS = re.compile(r"[a-z][a-z0-9._-]*")
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+")
_DURATIONS = ("interval", "timeout", "start-period", "start-interval")


def _from(given: Arguments) -> Instruction:
    platform = given.flag(given.flags("platform"), "platform")
    words = given.words()
    if len(words) == 3 and words[1].upper() == "AS":
        alias = words[2].lower()
        if not _ALIAS.fullmatch(alias):
            raise given.error(
                f"has the stage name {words[2]!r}; it needs a letter, then letters, digits, '_', '-' or '.'"
            )
        return From(image=words[0], alias=alias, platform=platform, line=given.line, source=given.source)
    if len(words) != 1:
        raise given.error("takes one image and, if wanted, AS and a name")
    return From(image=words[0], platform=platform, line=given.line, source=given.source)


def _arg(given: Arguments) -> Instruction:
    items: list[tuple[str, str | None]] = []
    for word in given.raw_words():
        name, equals, default = word.partition("=")
        if not name:
            raise given.error(f"has {word!r}, which has no name before its '='")
        items.append((name, default if equals else None))
    return Arg(items=tuple(items), line=given.line, source=given.source)


def _pairs(given: Arguments) -> tuple[tuple[str, str], ...]:
    """``name=value ...``, or the old form ``name value`` in which the value is the rest of the line."""
    words = given.raw_words()
    if "=" not in words[0]:
        name, *rest = BLANKS.split(given.text, maxsplit=1)
        if not rest:
            raise given.error(f"needs a value for {name}, as in {name}=value")
        return ((name, rest[0]),)
    items: list[tuple[str, str]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise given.error(f"has {word!r}, which has no '='; it takes name=value, with quotes around blanks")
        if not name:
            raise given.error(f"has {word!r}, which has no name before its '='")
        items.append((name, value))
    return tuple(items)


def _paths(given: Arguments) -> tuple[str, ...]:
    array = given.array()
    return given.words() if array is None else array


def _sources(given: Arguments) -> tuple[tuple[str, ...], str]:
    given.refuse_here_document()
    *sources, destination = _paths(given) or ("",)
    if not sources:
        raise given.error("takes at least two arguments: sources, and a destination at the end")
    if not all((*sources, destination)):
        raise given.error("has an empty path")
    return tuple(sources), destination


def _copy(given: Arguments) -> Instruction:
    # --link only changes how layers may be cached.
    given.text = (
        re.sub(r"--link(?:=true)?[ \t]+", "", given.text, count=1) if given.text.startswith("--") else given.text
    )
    flags = given.flags("chown", "chmod", "from")
    sources, destination = _sources(given)
    return Copy(
        sources=sources,
        destination=destination,
        chown=given.flag(flags, "chown"),
        chmod=given.flag(flags, "chmod"),
        stage=given.flag(flags, "from"),
        line=given.line,
        source=given.source,
    )


def _add(given: Arguments) -> Instruction:
    flags = given.flags("chown", "chmod")
    sources, destination = _sources(given)
    return Add(
        sources=sources,
        destination=destination,
        chown=given.flag(flags, "chown"),
        chmod=given.flag(flags, "chmod"),
        line=given.line,
        source=given.source,
    )


def _volume(given: Arguments) -> Instruction:
    paths = _paths(given)
    if not paths or not all(paths):
        raise given.error("needs a path")
    return Volume(paths=paths, line=given.line, source=given.source)


def _run(given: Arguments) -> Instruction:
    mounts = given.flags("mount").get("mount", [])
    given.refuse_here_document()
    if not given.text:
        raise given.error("needs a command")
    return Run(command=given.command(), mounts=tuple(mounts), line=given.line, source=given.source)


def _health_check(given: Arguments) -> Instruction:
    flags = given.flags(*_DURATIONS, "retries")
    kind, *rest = BLANKS.split(given.text, maxsplit=1)
    if kind.upper() == "NONE" and not rest and not flags:
        return HealthCheck(command=None, line=given.line, source=given.source)
    if kind.upper() != "CMD" or not rest:
        raise given.error("takes NONE, or CMD and a command")
    options: list[tuple[str, str]] = []
    for name in flags:
        value = given.flag(flags, name) or ""
        if not (_DURATION.fullmatch(value) if name in _DURATIONS else re.fullmatch(r"[0-9]{1,9}", value)):
            kind = "a duration such as 30s" if name in _DURATIONS else "a number"
            raise given.error(f"has --{name}={value}, which is not {kind}")
        options.append((name, value))
    given.text = rest[0]
    return HealthCheck(command=given.command(), options=tuple(options), line=given.line, source=given.source)


def _refuse(given: Arguments) -> Instruction:
    raise given.error(f"is not supported without Docker; {WAY_OUT}")


READERS: Mapping[str, Callable[[Arguments], Instruction]] = {
    "FROM": _from,
    "ARG": _arg,
    "ENV": lambda g: Env(items=_pairs(g), line=g.line, source=g.source),
    "LABEL": lambda g: Label(items=_pairs(g), line=g.line, source=g.source),
    "WORKDIR": lambda g: Workdir(path=g.text, line=g.line, source=g.source),
    "COPY": _copy,
    "ADD": _add,
    "RUN": _run,
    "CMD": lambda g: Cmd(command=g.command(), line=g.line, source=g.source),
    "ENTRYPOINT": lambda g: Entrypoint(command=g.command(), line=g.line, source=g.source),
    "EXPOSE": lambda g: Expose(ports=g.words(), line=g.line, source=g.source),
    "VOLUME": _volume,
    "USER": lambda g: User(name=g.text, line=g.line, source=g.source),
    "STOPSIGNAL": lambda g: StopSignal(signal=g.text, line=g.line, source=g.source),
    "MAINTAINER": lambda g: Maintainer(name=g.text, line=g.line, source=g.source),
    "HEALTHCHECK": _health_check,
    "SHELL": _refuse,
    "ONBUILD": _refuse,
}
"""By the instruction's name in capitals."""
