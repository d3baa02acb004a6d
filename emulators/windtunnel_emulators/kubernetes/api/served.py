"""A resource as it is served in one version, and how it is kept: several versions share one storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.kubernetes.api.failures import qualified

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.storage import Stored
    from windtunnel_emulators.kubernetes.client.interface import Kind
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

    Convert = Callable[[JsonObject], JsonObject]

_encode = msgspec.json.encode


class Served:
    """One group, version and plural."""

    def __init__(
        self,
        info: KindInfo,
        *,
        storage: str = "",
        storage_version: str = "",
        present: Convert | None = None,
        keep: Convert | None = None,
        custom: bool = False,
    ) -> None:
        self.info = info
        self.kind: Kind = info.kind
        self.custom = custom
        """Defined by a CustomResourceDefinition; ``definition`` of the registry has it."""
        self.storage = storage or qualified(info.kind.group, info.kind.plural)
        self.storage_version = storage_version or info.kind.api_version
        self._present = present
        self._keep = keep
        self._prefix = b'{"kind":%b,"apiVersion":%b,' % (_encode(self.kind.name), _encode(self.kind.api_version))

    def present(self, whole: JsonObject) -> JsonObject:
        """A stored object in this version."""
        if whole.get("apiVersion") == self.kind.api_version:
            return whole
        if self._present is not None:
            return self._present(whole)
        return {**whole, "apiVersion": self.kind.api_version}

    def keep(self, whole: JsonObject) -> JsonObject:
        """An object of this version as it is stored."""
        if self.storage_version == self.kind.api_version:
            return whole
        if self._keep is not None:
            return self._keep(whole)
        return {**whole, "apiVersion": self.storage_version}

    def whole_bytes(self, stored: Stored) -> bytes:
        """An object as JSON in this version."""
        if self._present is not None and stored.object.get("apiVersion") != self.kind.api_version:
            return _encode(self._present(stored.object))
        return self._prefix + stored.raw[1:]

    def item_bytes(self, stored: Stored) -> bytes:
        """The same inside a list: built-in kinds then leave ``apiVersion`` and ``kind`` out."""
        if self.custom:
            return self.whole_bytes(stored)
        if self._present is not None and stored.object.get("apiVersion") != self.kind.api_version:
            shown = self._present(stored.object)
            return _encode({name: value for name, value in shown.items() if name not in ("apiVersion", "kind")})
        return stored.raw
