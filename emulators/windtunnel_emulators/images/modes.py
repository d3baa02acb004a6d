"""The modes that chmod takes: octal, and symbolic as in ``u+x,go-w``."""

from __future__ import annotations

import re

from windtunnel_emulators.images.errors import ImageProblem

_OCTAL = re.compile(r"[0-7]{1,4}")
_CLAUSE = re.compile(r"(?P<who>[ugoa]*)(?P<operator>[-+=])(?P<what>[rwxX]*)")
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111}
_WHO = {"u": 0o700, "g": 0o070, "o": 0o007, "a": 0o777}

# The usual mask counts where nobody is named.
_MASK = 0o022


class ModeProblem(ImageProblem):
    """What is no mode."""


def change_mode(mode: int, change: str, *, directory: bool) -> int:
    """The mode after ``chmod change``. Raises ``ModeProblem``."""
    if _OCTAL.fullmatch(change):
        return int(change, 8)
    for text in change.split(","):
        clause = _CLAUSE.fullmatch(text)
        if clause is None:
            raise ModeProblem(f"{change!r} is not a mode that is known here, such as 755, +x or u=rwx,go=rx")
        mode = _apply(mode, clause["who"], clause["operator"], clause["what"], directory=directory)
    return mode


def _apply(mode: int, who: str, operator: str, what: str, *, directory: bool) -> int:
    reach = 0
    for letter in who or "a":
        reach |= _WHO[letter]
    bits = 0
    for letter in what:
        # X is x for directories, and for files that somebody may execute already.
        if letter != "X" or directory or mode & 0o111:
            bits |= _BITS[letter.lower()]
    bits &= reach if who else reach & ~_MASK
    match operator:
        case "+":
            return mode | bits
        case "-":
            return mode & ~bits
        case _:
            return mode & ~reach | bits
