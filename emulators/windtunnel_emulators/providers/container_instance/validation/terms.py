"""What the rules are made of: how a refusal looks, and what a name is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME_RULE = (
    "A valid name is 1 to 63 characters long and consists of lower case letters, digits or '-'; it starts and ends"
    " with a letter or a digit."
)
MAX_PORT = 65535
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def invalid(code: str, message: str, path: str) -> ArmError:
    """400, with the path of what is wrong as its target."""
    return ArmError(400, code, message, target=path)


def is_name(value: str | None) -> bool:
    """Whether it may name a group, a container or a volume."""
    return value is not None and _NAME.fullmatch(value) is not None


def repeated(values: Iterable[str | None]) -> str | None:
    """The first value that was there before, case apart; None when all differ."""
    seen: set[str] = set()
    for value in values:
        if value is None:
            continue
        if value.lower() in seen:
            return value
        seen.add(value.lower())
    return None


def one_of(allowed: Iterable[str]) -> str:
    """The end of a sentence on a closed set, as the service words it."""
    return f"The value must be one of '{','.join(allowed)}'."


def is_port(port: int | None) -> bool:
    """Whether it is the number of a port."""
    return port is not None and 1 <= port <= MAX_PORT
