"""The commands of RUN that need no Docker: pip install, and what can be done to the image's own files.

A shell command is one such command, or several joined by ``&&``; anything else of the shell's language is refused by
its name, and nothing is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from windtunnel_emulators.images.errors import WAY_OUT, ImageProblem
from windtunnel_emulators.images.instructions import Command, Exec
from windtunnel_emulators.images.words import expand_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.images.words import Lookup

_OPERATORS = {
    ";": "the command separator ;",
    "|": "a pipe or ||",
    "&": "a background command (&)",
    "<": "a redirection (quote requirements such as 'numpy<3')",
    ">": "a redirection (quote requirements such as 'numpy>=2')",
    "(": "a subshell",
    ")": "a subshell",
    "`": "a command substitution",
    "\n": "several lines",
}
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_PIP = re.compile(r"pip[0-9.]*")
_PYTHON = re.compile(r"python[0-9.]*")
_HARMLESS = frozenset({"true", ":"})
_SUPPORTED = "pip install, mkdir, chmod and rm"


class ShellProblem(ImageProblem):
    """A command of RUN that cannot be carried out without Docker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipInstall:
    """``arguments`` is what follows the word install."""

    arguments: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    """Set for this command alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDirectories:
    paths: tuple[str, ...]
    parents: bool = False
    mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMode:
    paths: tuple[str, ...]
    mode: str
    recursive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    paths: tuple[str, ...]
    recursive: bool = False
    force: bool = False


Action: TypeAlias = "PipInstall | MakeDirectories | ChangeMode | Remove"


def read_command(command: Command, lookup: Lookup) -> tuple[Action, ...]:
    """What a RUN does, in order. Paths may have ``*`` and ``?`` in them. Raises ``ShellProblem``, ``WordError``."""
    if isinstance(command, Exec):
        commands = [list(command.arguments)]
    else:
        commands = [expand_split(text, lookup) for text in _split(command.text)]
    actions = [_action(words) for words in commands]
    return tuple(action for action in actions if action is not None)


def _split(text: str) -> list[str]:
    """The commands between ``&&``. Raises ``ShellProblem`` for any other operator that is not quoted."""
    commands: list[str] = []
    start = position = 0
    quote = ""
    while position < len(text):
        character = text[position]
        if character == "\\" and quote != "'":
            position += 2
            continue
        if character == "`" or text.startswith("$(", position):
            if quote != "'":
                raise ShellProblem(_refusal("a command substitution"))
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif text.startswith("&&", position):
            commands.append(text[start:position])
            position += 1
            start = position + 1
        elif character in _OPERATORS:
            raise ShellProblem(_refusal(_OPERATORS[character]))
        elif character == "#" and (position == 0 or text[position - 1].isspace()):
            text = text[:position]
            break
        position += 1
    return [*commands, text[start:]]


def _action(words: list[str]) -> Action | None:
    count = 0
    while count < len(words) and _ASSIGNMENT.fullmatch(words[count]):
        count += 1
    variables = tuple((name, value) for name, _, value in (word.partition("=") for word in words[:count]))
    if count == len(words):
        raise ShellProblem("an empty command is not one that RUN can carry out" if not words else _refusal(words[0]))
    name, arguments = words[count].rpartition("/")[2], words[count + 1 :]
    if _PYTHON.fullmatch(name) and arguments[:2] == ["-m", "pip"]:
        name, arguments = "pip", arguments[2:]
    elif name == "uv" and arguments[:1] == ["pip"]:
        name, arguments = "pip", arguments[1:]
    if _PIP.fullmatch(name) and arguments[:1] == ["install"]:
        return PipInstall(arguments=tuple(arguments[1:]), variables=variables)
    match name:
        case "mkdir":
            flags, values, paths = _options(name, arguments, "pv", "m", {"parents": "p", "mode": "m", "verbose": "v"})
            return MakeDirectories(paths=paths, parents="p" in flags, mode=values.get("m"))
        case "chmod":
            flags, _, (mode, *rest) = _options(name, arguments, "Rvc", "", {"recursive": "R", "verbose": "v"})
            if not rest:
                raise ShellProblem("chmod needs a mode and a path")
            return ChangeMode(paths=tuple(rest), mode=mode, recursive="R" in flags)
        case "rm":
            flags, _, paths = _options(name, arguments, "rRfv", "", {"recursive": "r", "force": "f", "verbose": "v"})
            return Remove(paths=paths, recursive=bool(flags & {"r", "R"}), force="f" in flags)
        case "set" if all(re.fullmatch(r"-[eux]+", word) for word in arguments):
            return None  # stops at the first failure, as && does
        case _ if name in _HARMLESS and not variables:
            return None
        case _:
            raise ShellProblem(_refusal(" ".join([name, *arguments[:1]])))


def _options(
    name: str, arguments: Sequence[str], switches: str, valued: str, long: dict[str, str]
) -> tuple[set[str], dict[str, str], tuple[str, ...]]:
    """Switches, options with a value, and what is left, of which there is one at least."""
    flags: set[str] = set()
    values: dict[str, str] = {}
    rest: list[str] = []
    pending = list(arguments)[::-1]
    while pending:
        word = pending.pop()
        if word == "--":
            rest += pending[::-1]
            break
        if word.startswith("--"):
            option, _, value = word.removeprefix("--").partition("=")
            if option not in long:
                raise ShellProblem(_refusal(f"{name} {word}"))
            pending += [value] if value else []
            word = f"-{long[option]}"
        if not re.fullmatch(r"-[A-Za-z]+", word):
            rest.append(word)
            continue
        for letter in word[1:]:
            if letter in valued and pending:
                values[letter] = pending.pop()
            elif letter in switches:
                flags.add(letter)
            else:
                raise ShellProblem(_refusal(f"{name} {word}"))
    if not rest:
        raise ShellProblem(f"{name} needs a path")
    return flags, values, tuple(rest)


def _refusal(what: str) -> str:
    return f"RUN with {what} is not supported without Docker, only {_SUPPORTED}, joined by &&; {WAY_OUT}"
