"""A loopback address for each hub: the ports of its devices' clients are constants, so hubs differ by address.

A hub gets the same address at every start, unless another program has its port there.
"""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.server import ADDRESS, bound

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from windtunnel_emulators.store import Store

MQTT_PORT = 8883
FIRST_BLOCK = 0
"""127.0.0.x come first, as people expect."""
_BLOCKS = 16
_RESERVED = frozenset(("127.0.0.53", "127.0.0.54", "127.0.1.1"))
"""Where systems keep their resolver and their own name."""
_TAKEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM)
_log = logging.getLogger(__name__)


class NoAddress(Exception):
    """No address is free; the message is a sentence for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address and the socket that holds it: connections wait there until somebody serves them."""

    address: str
    mqtt: socket.socket


def take(store: Store, hub: str, name: str, *, first_block: int = FIRST_BLOCK) -> Place:
    """The address of a hub, held from now on. Raises ``NoAddress``."""
    former = remembered(store, hub)
    others = {str(address) for (address,) in store.rows("SELECT address FROM iot_addresses WHERE hub <> ?", (hub,))}
    for address in _candidates(former, first_block):
        if address in others:
            continue
        try:
            held = bound(MQTT_PORT, address)
        except OSError as problem:
            if problem.errno not in _TAKEN:
                raise
            continue
        if address != former:
            if former is not None:
                _log.warning("hub %s was at %s, which is taken now; it is at %s from now on", name, former, address)
            store.execute("INSERT OR REPLACE INTO iot_addresses VALUES (?, ?)", (hub, address))
        return Place(address=address, mqtt=held)
    raise NoAddress(
        f"hub {name} gets no address: port {MQTT_PORT}, which clients of devices insist on, is taken at every loopback"
        " address that this system has. Delete another hub, or stop what else listens there."
    )


def remembered(store: Store, hub: str) -> str | None:
    """The address that a hub had last."""
    row = store.row("SELECT address FROM iot_addresses WHERE hub = ?", (hub,))
    return None if row is None else str(row[0])


def give_back(store: Store, hub: str) -> None:
    """Forget an address; safe to repeat."""
    store.execute("DELETE FROM iot_addresses WHERE hub = ?", (hub,))


def _candidates(former: str | None, first_block: int) -> Iterator[str]:
    if former is not None:
        yield former
    for block in range(first_block, first_block + _BLOCKS):
        for last in range(2, 255):
            address = f"127.0.{block}.{last}"
            if address not in _RESERVED:
                yield address
    yield ADDRESS
