"""Gives devices what the configurations of their hub want of them, at once after anything that matters has changed.

Azure looks about every five minutes; here nobody waits. The agent's and the local hub's part are kept as they shall be,
whoever changes them; what was given to other twins is given again only when other configurations apply.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.changes import Change
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.hub.identity import AGENT, EDGE_HUB, Who
from windtunnel_emulators.iot.query.query import Collection
from windtunnel_emulators.iot.service import edge_content, twins
from windtunnel_emulators.iot.service.targeting import DEVICE, EDGE, TARGETED, Candidate, Plan, plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.iot.hub.hub import Hub

_REST = 10
"""So many times as long as one look took, nothing is done before the next: a tenth of the time at most."""
_log = logging.getLogger(__name__)


class Deployer:
    """Listens to a hub's changes."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._next: asyncio.Handle | None = None
        self._not_before = 0.0
        self._is_looking = False
        self._is_stopped = False
        hub.changes.listen(self._changed)

    def _changed(self, change: Change) -> None:
        """Changes that are its own are of no interest; many at a time are one."""
        if change is Change.STOPPED:
            self._is_stopped = True
            if self._next is not None:
                self._next.cancel()
        elif change is not Change.JOBS and not self._is_looking and not self._is_stopped:
            self._plan(self._not_before - time.monotonic() if change is Change.TWINS else 0)

    def _plan(self, wait: float) -> None:
        """Look after so many seconds, or earlier when it is planned already."""
        if self._next is not None:
            if wait > 0:
                return
            self._next.cancel()
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(wait, self._look) if wait > 0 else loop.call_soon(self._look)

    def _look(self) -> None:
        self._next = None
        self._is_looking = True
        began = time.monotonic()
        try:
            self.look()
        finally:
            self._is_looking = False
            ended = time.monotonic()
            self._not_before = ended + _REST * (ended - began)

    def look(self) -> None:
        """Bring every device to what applies to it now."""
        candidates = [Candidate(one) for one in self._hub.configurations.all()]
        deployed = self._hub.configurations.deployed()
        if not candidates and not deployed:
            return
        self._devices(candidates, deployed)
        self._modules(candidates, deployed)

    def _devices(self, candidates: Sequence[Candidate], deployed: Mapping[tuple[str, str], str]) -> None:
        hub = self._hub
        for who, twin in hub.twins.each(modules=False):
            identity = hub.identities.get(who)
            if identity is None:
                continue
            document = twins.shown(hub, who, twin)
            found = [
                one for one in candidates if one.targets(document, is_edge=identity.edge, collection=Collection.DEVICES)
            ]
            if not found and who not in deployed:
                continue
            on_edge = plan([one for one in found if one.configuration.kind == EDGE])
            on_twin = plan([one for one in found if one.configuration.kind == DEVICE])
            before = deployed.get(who, "")
            of_edge, _, of_twin = before.partition("/")
            signature = f"{identity.generation} {on_edge.signature}", f"{identity.generation} {on_twin.signature}"
            if identity.edge:
                on_edge = self._bring(who, on_edge, is_new=of_edge != signature[0])
                self._show(Who(who.device, AGENT), on_edge)
            self._show(who, self._bring_twin(who, on_twin) if of_twin != signature[1] else on_twin)
            if not found:
                hub.configurations.set_deployed(who, None)
            elif before != "/".join(signature):
                hub.configurations.set_deployed(who, "/".join(signature))

    def _modules(self, candidates: Sequence[Candidate], deployed: Mapping[tuple[str, str], str]) -> None:
        hub = self._hub
        of_modules = [one for one in candidates if one.query.source is Collection.MODULES]
        if not of_modules and not any(module for _, module in deployed):
            return
        for who, twin in hub.twins.each(modules=True):
            identity = hub.identities.get(who)
            document = twins.shown(hub, who, twin)
            found = [one for one in of_modules if one.query.takes(document)]
            if identity is None or (not found and who not in deployed):
                continue
            wanted = plan(found)
            signature = f"{identity.generation} {wanted.signature}"
            if deployed.get(who) != signature:
                wanted = self._bring_twin(who, wanted)
                hub.configurations.set_deployed(who, signature if found else None)
            self._show(who, wanted)

    def _bring(self, who: Who, wanted: Plan, *, is_new: bool) -> Plan:
        """Give an edge device's modules what the plan says. One that cannot be given shows as targeted only."""
        hub = self._hub
        modules = {module for one in wanted.applied for module in one.portions}
        before = {
            module: twin.desired.properties
            for module in modules
            if (twin := hub.twins.get(Who(who.device, module))) is not None
        }
        desired = {
            module: properties
            for module, properties in wanted.desired(before).items()
            if is_new or module in (AGENT, EDGE_HUB) or module not in before
        }
        try:
            edge_content.deploy(hub, who.device, desired)
        except HubError as problem:
            _log.warning("the configurations of '%s' cannot be applied: %s", who, problem.message)
            return _only_targeted(wanted)
        return wanted

    def _bring_twin(self, who: Who, wanted: Plan) -> Plan:
        if not wanted.applied:
            return wanted
        properties = wanted.desired({"": self._hub.twin(who).desired.properties})[""]
        try:
            edge_content.check(properties, "properties.desired")
            edge_content.set_desired(self._hub, who, properties)
        except HubError as problem:
            _log.warning("the configuration of '%s' cannot be applied: %s", who, problem.message)
            return _only_targeted(wanted)
        return wanted

    def _show(self, who: Who, wanted: Plan) -> None:
        """Keep the statuses with the twin; its version and etag stay."""
        twin = self._hub.twins.get(who)
        statuses = dict(wanted.statuses)
        if twin is not None and twin.configurations != statuses:
            self._hub.twins.save(who, msgspec.structs.replace(twin, configurations=statuses))


def _only_targeted(wanted: Plan) -> Plan:
    return Plan(statuses={id: {"status": TARGETED} for id in wanted.statuses})
