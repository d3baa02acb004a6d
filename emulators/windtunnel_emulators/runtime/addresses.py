"""Loopback addresses for groups: each owner its own in 127.0.0.0/8 where the system has them, else all 127.0.0.1."""

from __future__ import annotations

import errno
import hashlib
import socket

from windtunnel_emulators.runtime.interface import StartError

_FIRST = (127 << 24) + (64 << 16)
"""127.64.0.0: far from what a system's own resolvers and tools like to use (127.0.0.53, 127.0.1.1)."""
_COUNT = 64 << 16
ONLY = "127.0.0.1"


class Addresses:
    """Hands out one free address after the other; the same owner gets the same one until it is released.

    Where it begins follows from the ``seed``, so that emulators that run side by side stay out of each other's way.
    """

    def __init__(self, seed: str) -> None:
        self._of_owner: dict[str, str] = {}
        self._used: set[str] = set()
        block = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") % (_COUNT >> 8)
        self._next = (block << 8) + 1
        self._distinct: bool | None = None

    @property
    def distinct(self) -> bool:
        """Every group can have an address of its own."""
        if self._distinct is None:
            self._distinct = _can_bind(_text(_FIRST + self._next))
        return self._distinct

    def allocate(self, owner: str, preferred: str | None = None) -> str:
        """``preferred`` when it is one of ours and free: what an owner had before a restart."""
        known = self._of_owner.get(owner)
        if known is None:
            known = preferred if preferred is not None and self._is_free(preferred) else self._free()
            self._of_owner[owner] = known
            self._used.add(known)
        return known

    def release(self, owner: str) -> None:
        """Nothing when the owner has none."""
        address = self._of_owner.pop(owner, None)
        if address is not None:
            self._used.discard(address)

    def _is_free(self, address: str) -> bool:
        return self.distinct and _is_ours(address) and address not in self._used

    def _free(self) -> str:
        if not self.distinct:
            return ONLY
        for _ in range(_COUNT):
            address = _text(_FIRST + self._next)
            self._next = (self._next + 1) % _COUNT
            if not address.endswith((".0", ".255")) and address not in self._used:
                return address
        raise StartError("every loopback address of the runtime is in use; delete a group first")


def _is_ours(address: str) -> bool:
    try:
        number = int.from_bytes(socket.inet_aton(address), "big")
    except OSError:
        return False
    return _FIRST <= number < _FIRST + _COUNT


def _text(number: int) -> str:
    return socket.inet_ntoa(number.to_bytes(4, "big"))


def _can_bind(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError as problem:
            if problem.errno not in (errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM):
                raise
            return False
    return True
