"""The parser of Dockerfiles: text to typed instructions, and every mistake a sentence with its line.

Lines, comments, parser directives, continuations, quotes and forms are read as Docker reads them (Dockerfile
reference, "Format", "Parser directives"). What an instruction may ask for, and whether it can be had without Docker,
is the build's business.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.images.arguments import BLANKS, Arguments
from windtunnel_emulators.images.errors import WAY_OUT, DockerfileError
from windtunnel_emulators.images.grammar import READERS
from windtunnel_emulators.images.instructions import Arg, Dockerfile, From, Instruction

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 1 << 20
"""Characters of a Dockerfile."""

_MOST_INSTRUCTIONS = 5_000
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+)")


def parse(text: str) -> Dockerfile:
    """Raises ``DockerfileError``, and nothing else."""
    if len(text) > LARGEST:
        raise DockerfileError(f"it has {len(text):,} characters; at most {LARGEST:,} are read")
    lines = [line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n")]
    escape, start = _directives(lines)
    instructions: list[Instruction] = []
    for number, line in _logical_lines(lines, start, escape):
        if len(instructions) == _MOST_INSTRUCTIONS:
            raise DockerfileError(f"it has more than {_MOST_INSTRUCTIONS:,} instructions", line=number)
        instructions.append(_instruction(line, number, escape))
    first = next((one for one in instructions if not isinstance(one, Arg)), None)
    if first is None:
        raise DockerfileError("it has no FROM: the first instruction names the image that the build starts from")
    if not isinstance(first, From):
        raise DockerfileError("only ARG may stand before the first FROM", line=first.line)
    return Dockerfile(instructions=tuple(instructions), escape=escape)


def _directives(lines: list[str]) -> tuple[str, int]:
    """The escape character, and the line after the directives; they end with the first line that is none."""
    escape = "\\"
    seen: set[str] = set()
    for index, line in enumerate(lines):
        found = _DIRECTIVE.fullmatch(line.strip())
        name = found[1].lower() if found else ""
        if not found or name not in {"escape", "syntax", "check"}:
            return escape, index
        if name in seen:
            raise DockerfileError(f"the directive {name} is given twice", line=index + 1)
        seen.add(name)
        value = found[2]
        if name == "escape":
            if value not in {"\\", "`"}:
                raise DockerfileError(f"the escape character {value!r} is neither \\ nor `", line=index + 1)
            escape = value
        elif name == "syntax" and not re.fullmatch(r"(docker\.io/)?docker/dockerfile(-upstream)?(:1[\w.-]*)?", value):
            raise DockerfileError(
                f"the syntax {value!r} is another language than docker/dockerfile:1; to use it, {WAY_OUT}",
                line=index + 1,
            )
    return escape, len(lines)


def _logical_lines(lines: list[str], start: int, escape: str) -> Iterator[tuple[int, str]]:
    """Each instruction on one line, with the number of the line it starts on."""
    quoted = re.escape(escape)
    continuation = re.compile(rf"(?:(?<!{quoted})|^){quoted}[ \t]*$")
    pending: list[str] = []
    number = 0
    for index in range(start, len(lines)):
        line = lines[index]
        # Comments and empty lines are dropped within an instruction, too.
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not pending:
            line, number = line.lstrip(), index + 1
        head, continued = continuation.subn("", line)
        pending.append(head)
        if not continued:
            yield number, "".join(pending).strip()
            pending = []
    if "".join(pending).strip():
        yield number, "".join(pending).strip()


def _instruction(line: str, number: int, escape: str) -> Instruction:
    name, *rest = BLANKS.split(line, maxsplit=1)
    arguments = rest[0].strip() if rest else ""
    reader = READERS.get(name.upper())
    if reader is None:
        raise DockerfileError(f"unknown instruction: {name[:40]}", line=number)
    if not arguments and name.upper() not in {"CMD", "ENTRYPOINT"}:
        raise DockerfileError(f"{name.upper()} needs an argument", line=number)
    return reader(Arguments(name.upper(), arguments, number, line, escape))
