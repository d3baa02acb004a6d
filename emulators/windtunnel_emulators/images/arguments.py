"""What stands after the name of a Dockerfile's instruction, and the ways to read it: words, flags, lists, commands."""

from __future__ import annotations

import json
import re

from windtunnel_emulators.images.errors import WAY_OUT, DockerfileError
from windtunnel_emulators.images.instructions import Command, Exec, Shell
from windtunnel_emulators.images.words import raw_words

BLANKS = re.compile(r"[ \t\v\f\r]+")

_DECODER = json.JSONDecoder()
_HERE_DOCUMENT = re.compile(r"(?:^|\s)\d*<<-?\s*[\"']?[A-Za-z_]")


class Arguments:
    """What stands after an instruction's name, and the ways to read it."""

    def __init__(self, name: str, text: str, line: int, source: str, escape: str) -> None:
        self.name = name
        self.text = text
        self.line = line
        self.source = source
        self._escape = escape

    def error(self, message: str) -> DockerfileError:
        return DockerfileError(f"{self.name} {message}", line=self.line)

    def words(self) -> tuple[str, ...]:
        """At blanks, whatever the quotes."""
        return tuple(BLANKS.split(self.text)) if self.text else ()

    def raw_words(self) -> list[str]:
        return raw_words(self.text, self._escape)

    def flags(self, *known: str, switches: tuple[str, ...] = ()) -> dict[str, list[str]]:
        """Take ``--name=value`` words, and ``--switch`` words, from the start."""
        found: dict[str, list[str]] = {}
        while self.text.startswith("--"):
            word, *rest = BLANKS.split(self.text, maxsplit=1)
            name, _, value = word.removeprefix("--").partition("=")
            if name in switches and value in {"", "true", "false"}:
                value = value or "true"
            elif name not in known:
                raise self.error(f"with the flag --{name} is not supported without Docker; {WAY_OUT}")
            if not value:
                raise self.error(f"needs a value for its flag --{name}, as in --{name}=value")
            found.setdefault(name, []).append(value)
            self.text = rest[0] if rest else ""
        return found

    def flag(self, found: dict[str, list[str]], name: str) -> str | None:
        values = found.get(name, [])
        if len(values) > 1:
            raise self.error(f"has its flag --{name} twice")
        return values[0] if values else None

    def array(self) -> tuple[str, ...] | None:
        """The list of strings, if it is one; what only looks like one is ordinary text, as to Docker."""
        if not self.text.startswith("["):
            return None
        try:
            # What follows the list is ignored, as by Docker.
            value: object = _DECODER.raw_decode(self.text)[0]
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, list):
            return None
        items = tuple(item for item in value if isinstance(item, str))  # pyright: ignore[reportUnknownVariableType] JSON
        if len(items) != len(value):  # pyright: ignore[reportUnknownArgumentType] JSON
            raise self.error("has a list with something else than strings in double quotes")
        return items

    def command(self) -> Command:
        array = self.array()
        return Shell(self.text) if array is None else Exec(array)

    def refuse_here_document(self) -> None:
        if _HERE_DOCUMENT.search(self.text):
            raise self.error(f"with a here-document (<<) is not supported without Docker; {WAY_OUT}")
