"""Whose process is at the other end of a connection on loopback, as Linux tells it.

``/proc/net/tcp`` lists the machine's sockets with the user that owns each (proc_net_tcp in the kernel's documentation);
addresses are the bytes of the network order read as a number of this machine, in hexadecimal digits.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))  # the second has IPv6 sockets that speak IPv4


def owner(client: tuple[str, int] | None, server: tuple[str, int] | None) -> int | None:
    """The user id of the client's end; None where the system does not tell, or for addresses that are not IPv4."""
    try:
        local, remote = _digits(client), _digits(server)
    except (OSError, TypeError, ValueError):
        return None
    for table in _TABLES:
        try:
            lines = table.read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1].endswith(local) and fields[2].endswith(remote):
                return int(fields[7])
    return None


def _digits(address: tuple[str, int] | None) -> str:
    if address is None:
        raise ValueError("no address")
    host, port = address
    number = int.from_bytes(socket.inet_pton(socket.AF_INET, host), sys.byteorder)
    return f"{number:08X}:{port:04X}"
