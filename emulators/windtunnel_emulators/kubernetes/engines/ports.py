"""Ports of programs that open them themselves: free ones, and the same again after a restart."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.files import write_secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ADDRESS = "127.0.0.1"


def take(file: Path, names: Sequence[str]) -> dict[str, int]:
    """A port by name, kept in ``file``: the former one as long as nobody else has it."""
    try:
        former = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    except (FileNotFoundError, msgspec.DecodeError):
        former = {}
    found: dict[str, int] = {}
    held: list[socket.socket] = []
    try:
        for name in names:
            bound = _bound(former.get(name, 0)) or _bound(0)
            if bound is None:
                raise OSError("no port of 127.0.0.1 is free")
            held.append(bound)
            found[name] = bound.getsockname()[1]
    finally:
        for each in held:
            each.close()
    if found != former:
        write_secret(file, msgspec.json.encode(found))
    return found


def _bound(port: int) -> socket.socket | None:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((ADDRESS, port))
        found.listen(1)
    except OSError:
        found.close()
        return None
    return found
