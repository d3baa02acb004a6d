"""Which loopback address stands behind a pod's address.

A pod has an address of its node's range (``10.244.1.7``) in its status, as an API server takes no loopback address in
an EndpointSlice. Its processes listen at a loopback address of the runtime; whatever connects to a pod in this process
asks this mapping. A Service's address (``10.0.3.4``) leads to the loopback address of the same last two numbers in the
block that this cluster has to itself (``127.200.3.4``).
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import socket

_log = logging.getLogger(__name__)
_FIRST_BLOCK, _BLOCKS = 128, 96
"""127.128 to 127.223: apart from where the runtime gives its groups their addresses."""
ANNOTATION = "windtunnel.dev/address"


class NoAddress(Exception):
    """Every address of a range is taken; the message is a sentence."""


class PodRange:
    """The addresses of one node's pods."""

    def __init__(self, cidr: str) -> None:
        self._network = ipaddress.ip_network(cidr)
        self._of: dict[str, str] = {}
        self._used: set[str] = set()
        self._next = 2

    def take(self, uid: str, preferred: str | None = None) -> str:
        """The pod's address, the same as long as it is not released. Raises ``NoAddress``."""
        known = self._of.get(uid)
        if known is None:
            known = preferred if preferred is not None and self._is_free(preferred) else self._free()
            self._of[uid] = known
            self._used.add(known)
        return known

    def release(self, uid: str) -> None:
        address = self._of.pop(uid, None)
        if address is not None:
            self._used.discard(address)

    def _is_free(self, address: str) -> bool:
        try:
            return ipaddress.ip_address(address) in self._network and address not in self._used
        except ValueError:
            return False

    def _free(self) -> str:
        size = self._network.num_addresses
        for _ in range(size):
            address = str(self._network[self._next % size])
            following = self._next + 1
            self._next = following if following < size - 1 else 2
            if address not in self._used:
                return address
        raise NoAddress(f"every address of {self._network} is taken by a pod")


class PodAddresses:
    """The pods of all nodes in this process: their address in the cluster and the one that their processes have."""

    def __init__(self) -> None:
        self._loopback: dict[str, str] = {}
        self._leaving: set[str] = set()
        self._known_leaving: frozenset[str] = frozenset()

    def set(self, address: str, loopback: str) -> None:
        """A pod has that address from now on."""
        self._loopback[address] = loopback
        self._stay(address)

    def leave(self, address: str) -> None:
        """The pod is about to end: it gets no new connections, and keeps those that it has."""
        if address in self._loopback and address not in self._leaving:
            self._leaving.add(address)
            self._known_leaving = frozenset(self._leaving)

    def forget(self, address: str) -> None:
        self._loopback.pop(address, None)
        self._stay(address)

    def _stay(self, address: str) -> None:
        if address in self._leaving:
            self._leaving.discard(address)
            self._known_leaving = frozenset(self._leaving)

    def loopback(self, address: str) -> str | None:
        """None for an address of no pod here."""
        return self._loopback.get(address)

    def all_leaving(self) -> frozenset[str]:
        """The addresses of pods that are about to end."""
        return self._known_leaving


class ServiceBlock:
    """The block of loopback addresses of one cluster's Services; held as long as it is open."""

    def __init__(self, cluster: str) -> None:
        """``cluster`` decides which block is tried first, so that a cluster mostly has the same one."""
        first = int.from_bytes(hashlib.sha256(cluster.encode()).digest()[:4], "big") % _BLOCKS
        self._claim: socket.socket | None = None
        self.prefix: str | None = None
        """``127.200``; None where only 127.0.0.1 can be bound: then Services have no address of their own."""
        for step in range(_BLOCKS):
            prefix = f"127.{_FIRST_BLOCK + (first + step) % _BLOCKS}"
            claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                # Whoever has this socket has the block; no port that needs rights, as 49151 is reserved by IANA.
                claim.bind((f"{prefix}.255.254", 49151))
            except OSError as problem:
                claim.close()
                _log.debug("block %s of service addresses cannot be had: %s", prefix, problem)
                continue
            self._claim, self.prefix = claim, prefix
            return

    def loopback(self, address: str) -> str | None:
        """Where the proxy listens for the Service of that address."""
        parts = address.split(".")
        if self.prefix is None or len(parts) != 4:
            return None
        return f"{self.prefix}.{parts[2]}.{parts[3]}"

    def close(self) -> None:
        if self._claim is not None:
            self._claim.close()
            self._claim = None
