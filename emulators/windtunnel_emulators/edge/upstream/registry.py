"""The identities of a device's modules in the cloud, made and removed by the device itself, as its real agent does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.interface import Refused
from windtunnel_emulators.edge.upstream import members
from windtunnel_emulators.iot.hub.identity import AGENT, EDGE_HUB
from windtunnel_emulators.jsontypes import as_list

if TYPE_CHECKING:
    from collections.abc import Collection

    from windtunnel_emulators.edge.upstream.members import Member
    from windtunnel_emulators.edge.upstream.place import Signer
    from windtunnel_emulators.edge.upstream.rest import Rest
    from windtunnel_emulators.edge.upstream.scope import Scope

MANAGED_BY = "IotEdge"
"""What the agent's own modules say of who cares for them; others are left alone."""
_NOT_FOUND, _CONFLICT = 404, 409
_log = logging.getLogger(__name__)


class Registry:
    """All calls raise ``Unreachable`` and ``Refused``."""

    def __init__(self, rest: Rest, own: Signer, scope: Scope) -> None:
        """``own`` is the device with its key; ``scope`` is told when modules come or go."""
        self._rest = rest
        self._own = own
        self._scope = scope
        self._path = ("devices", own.who.device, "modules")

    async def modules(self) -> dict[str, Member]:
        """The device's modules, by name."""
        answer = await self._rest.call("GET", self._path, self._own)
        found = [members.read_member(one) for one in as_list(answer)]
        return {member.identity.module: member for member in found}

    async def module(self, name: str) -> Member:
        """One module with its keys."""
        return members.read_member(await self._rest.call("GET", (*self._path, name), self._own))

    async def create(self, name: str) -> Member:
        """A new module with keys that the hub makes; one that is there is returned."""
        body = {"deviceId": self._own.who.device, "moduleId": name, "managedBy": MANAGED_BY}
        try:
            answer = await self._rest.call("PUT", (*self._path, name), self._own, dict(body))
        except Refused as problem:
            if problem.status != _CONFLICT:
                raise
            return await self.module(name)
        return members.read_member(answer)

    async def delete(self, name: str) -> None:
        """Nothing happens when it is not there."""
        try:
            await self._rest.call("DELETE", (*self._path, name), self._own, etag="*")
        except Refused as problem:
            if problem.status != _NOT_FOUND:
                raise

    async def agree(self, modules: Collection[str]) -> None:
        """Make the modules that are missing, remove those of the agent's own that are not wanted any more."""
        present = await self.modules()
        missing = [name for name in modules if name not in present]
        extra = [
            name
            for name, member in present.items()
            if name not in modules
            and name not in (AGENT, EDGE_HUB)
            and (member.identity.managed_by or "").casefold() == MANAGED_BY.casefold()
        ]
        for name in missing:
            await self.create(name)
        for name in extra:
            await self.delete(name)
        if missing or extra:
            _log.info("modules of '%s': %s made, %s removed", self._own.who.device, missing, extra)
        if missing or extra or any(self._scope.get(self._own.who._replace(module=name)) is None for name in modules):
            await self._scope.renew()
