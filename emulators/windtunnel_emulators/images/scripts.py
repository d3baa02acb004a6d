"""Programs that Python packages bring: console scripts from entry points, and script files with their interpreter."""

from __future__ import annotations

import re
from importlib.metadata import Distribution
from typing import TYPE_CHECKING

from windtunnel_emulators.images.errors import EnvironmentError_
from windtunnel_emulators.images.interpreter import INTERPRETER_NAMES, programs

if TYPE_CHECKING:
    from pathlib import Path

_GROUPS = ("console_scripts", "gui_scripts")
_NAME = re.compile(r"[\w.-]+(?: [\w.-]+)*")
_OBJECT = re.compile(r"(?P<module>\w+(?:\.\w+)*)\s*:\s*(?P<attribute>(?P<name>\w+)(?:\.\w+)*)\s*(?:\[.*\])?")

# Linux before 5.1 cuts the first line of a script at 127 bytes.
_LONGEST_LINE = 127

_SCRIPT = """\
import sys

from {module} import {name}

if __name__ == "__main__":
    sys.exit({attribute}())
"""


def write_console_scripts(information: Path, packages: Path, home: Path) -> set[str]:
    """Write the scripts of one distribution (``information`` is its dist-info folder) and return their names.

    ``home`` is where ``packages`` will be when they run. Raises ``EnvironmentError_``.
    """
    written: set[str] = set()
    for point in Distribution.at(information).entry_points:
        if point.group not in _GROUPS:
            continue
        found = _OBJECT.fullmatch(point.value.strip())
        if found is None or not _NAME.fullmatch(point.name) or point.name in {".", "..", *INTERPRETER_NAMES}:
            raise EnvironmentError_(
                f"{information.name} has the console script {point.name!r} = {point.value!r}, which cannot be run"
            )
        write_script(programs(packages) / point.name, _first_line(home) + _SCRIPT.format(**found.groupdict()).encode())
        written.add(point.name)
    return written


def write_script(path: Path, content: bytes) -> None:
    """A program, in place of any other of its name."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)


def with_interpreter(script: bytes, home: Path) -> bytes:
    """The script, to be run by the interpreter of ``home`` if it is one for Python; else as it is."""
    first, _, rest = script.partition(b"\n")
    if first.startswith(b"#!") and b"python" in first:
        return _first_line(home) + rest
    # What pip and uv write where the interpreter's path is too long for the first line.
    if first == b"#!/bin/sh" and rest.startswith(b"'''exec'"):
        return _first_line(home) + rest.partition(b"\n' '''\n")[2]
    return script


def _first_line(home: Path) -> bytes:
    interpreter = str(programs(home) / INTERPRETER_NAMES[0])
    line = f"#!{interpreter}\n"
    if len(line.encode()) <= _LONGEST_LINE and " " not in interpreter:
        return line.encode()
    # The shell runs the second line; to Python, it and the third are a string.
    quoted = interpreter.replace("'", "'\"'\"'")
    return f"#!/bin/sh\n''':'\nexec '{quoted}' \"$0\" \"$@\"\n'''\n".encode()
