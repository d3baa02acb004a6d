"""Byte ranges of blobs (RFC 9110, section 14) and of chunks that are pushed (distribution specification)."""

from __future__ import annotations

import re

from windtunnel_emulators.registry.errors import RegistryError

_WANTED = re.compile(r"bytes=\s*([0-9]{0,19})-([0-9]{0,19})\s*")
_SENT = re.compile(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/(?:[0-9]{1,19}|\*))?")


def wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and number of bytes of a ``Range`` header; None for the whole, as for what is not understood.

    Raises ``RegistryError`` 416 for a range that has nothing of the blob.
    """
    found = _WANTED.fullmatch(header) if header else None
    if found is None:
        return None  # several ranges, or another unit: RFC 9110 lets a server send the whole
    first, last = found.groups()
    if first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
    elif last:
        start, end = max(0, size - int(last)), size - 1
    else:
        return None
    if start >= size or end < start:
        raise RegistryError(
            416,
            "RANGE_INVALID",
            f"range {header!r} has nothing of a blob of {size} bytes",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end - start + 1


def sent_range(header: str) -> tuple[int, int]:
    """First byte and number of bytes of a chunk's ``Content-Range``, ``0-99``. Raises ``RegistryError`` 400."""
    found = _SENT.fullmatch(header.strip())
    first, last = (int(part) for part in found.groups()) if found else (0, -1)
    if last < first:
        raise RegistryError(400, "RANGE_INVALID", f"Content-Range {header[:80]!r} has not the form <first>-<last>")
    return first, last - first + 1
