"""An image whose only program waits for ever: it holds the network that a group's containers share.

No image can be pulled for that without a network, so it is made here: a program of a few instructions, written as the
ELF file that Linux executes (ELF-64 specification; one segment, loaded and entered at its code).
"""

from __future__ import annotations

import io
import struct
import tarfile

REPOSITORY = "windtunnel/pause"
TAG = "1"

_BASE = 0x400000
_HEADERS = 64 + 56

# A loop round a system call that waits for a signal. Number 1 of a process namespace ignores those it does not handle.
_CODE = {
    # mov eax, 34 (pause); syscall; jmp back
    "amd64": (62, bytes.fromhex("b8220000000f05ebf7")),
    # mov x0..x3, 0; mov x8, 73 (ppoll); svc 0; b back
    "arm64": (
        183,
        struct.pack("<7I", 0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800928, 0xD4000001, 0x17FFFFFA),
    ),
}


def archive(architecture: str) -> bytes:
    """The image's files as ``docker import`` takes them. Raises ``ValueError`` for an unknown processor."""
    try:
        machine, code = _CODE[architecture]
    except KeyError:
        raise ValueError(
            f"the docker runtime knows engines on {' and '.join(_CODE)}, and this one is on {architecture}"
        ) from None
    program = _elf(machine, code)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("pause")
        member.size, member.mode = len(program), 0o755
        tar.addfile(member, io.BytesIO(program))
    return out.getvalue()


def _elf(machine: int, code: bytes) -> bytes:
    size = _HEADERS + len(code)
    identification = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return identification + header + segment + code
