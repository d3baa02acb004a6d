"""Which nodes a cluster has, kept in one small file: a node keeps its number, its addresses and its pods' range."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.files import private_folder, write_atomically

if TYPE_CHECKING:
    from pathlib import Path


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One node."""

    name: str
    pool: str
    index: int
    """Within its pool; part of its name."""
    block: int
    """Which part of the cluster's pod addresses it hands out."""
    address: str
    version: str
    image: str = ""


class Roster:
    """All nodes of one cluster."""

    def __init__(self, file: Path, pod_cidr: str) -> None:
        self._file = file
        self._blocks = ipaddress.ip_network(pod_cidr)
        self._nodes: dict[str, Entry] = {}
        try:
            found = msgspec.json.decode(file.read_bytes(), type=list[Entry])
        except FileNotFoundError:
            found = []
        self._nodes = {entry.name: entry for entry in found}

    def of(self, pool: str) -> list[Entry]:
        """The nodes of a pool, oldest first."""
        return sorted((entry for entry in self._nodes.values() if entry.pool == pool), key=lambda entry: entry.index)

    def all(self) -> list[Entry]:
        return list(self._nodes.values())

    def pools(self) -> set[str]:
        return {entry.pool for entry in self._nodes.values()}

    def next_index(self, pool: str) -> int:
        """The lowest number that no node of the pool has."""
        used = {entry.index for entry in self.of(pool)}
        return next(number for number in range(len(used) + 1) if number not in used)

    def next_block(self) -> int:
        """The lowest part that no node has. Raises ``ValueError`` with a sentence when there is none."""
        used = {entry.block for entry in self._nodes.values()}
        block = next(number for number in range(len(used) + 1) if number not in used)
        if block >= 2 ** (24 - self._blocks.prefixlen):
            raise ValueError(f"the pod addresses {self._blocks} are used up: each node takes 256 of them")
        return block

    def range_of(self, entry: Entry) -> str:
        """Of a node's pods."""
        return f"{self._blocks.network_address + entry.block * 256}/24"

    def put(self, entry: Entry) -> None:
        self._nodes[entry.name] = entry
        self._save()

    def remove(self, name: str) -> None:
        if self._nodes.pop(name, None) is not None:
            self._save()

    def _save(self) -> None:
        private_folder(self._file.parent)
        write_atomically(self._file, msgspec.json.encode(list(self._nodes.values())), mode=0o600)
