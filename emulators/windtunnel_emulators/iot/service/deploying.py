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
    from collections.abc import Iterator, Mapping, Sequence

    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.twins import Twin

_REST = 10
"""So many times as long as one look took, nothing is done before the next: a tenth of the time at most."""
_SLICE_S = 0.01
_END = object()
_log = logging.getLogger(__name__)


class Deployer:
    """Listens to a hub's changes."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._next: asyncio.Handle | None = None
        self._work: asyncio.Task[None] | None = None
        self._again: float | None = None
        """Something has changed while it is at work: how long to wait before it begins once more."""
        self._not_before = 0.0
        self._is_looking = False
        self._is_stopped = False
        hub.changes.listen(self._changed)

    def _changed(self, change: Change) -> None:
        """Changes that are its own are of no interest; many at a time are one."""
        if change is Change.STOPPED:
            self._is_stopped = True
            for one in (self._next, self._work):
                if one is not None:
                    one.cancel()
        elif change is not Change.JOBS and not self._is_looking and not self._is_stopped:
            self._plan(self._not_before - time.monotonic() if change is Change.TWINS else 0)

    def _plan(self, wait: float) -> None:
        """Look after so many seconds, or earlier when it is planned already."""
        if self._work is not None:
            self._again = wait if self._again is None else min(wait, self._again)
            return
        if self._next is not None:
            if wait > 0:
                return
            self._next.cancel()
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(wait, self._look) if wait > 0 else loop.call_soon(self._look)

    def _look(self) -> None:
        self._next = None
        self._work = asyncio.get_running_loop().create_task(
            self._look_in_slices(), name=f"deployments of {self._hub.definition.name}"
        )
        self._work.add_done_callback(self._looked)

    def _looked(self, work: asyncio.Task[None]) -> None:
        self._work = None
        if not work.cancelled() and (failure := work.exception()) is not None:
            _log.error("the configurations of hub %s are not applied", self._hub.definition.name, exc_info=failure)
        again, self._again = self._again, None
        if again is not None and not self._is_stopped:
            self._plan(again and max(again, self._not_before - time.monotonic()))

    async def _look_in_slices(self) -> None:
        """Device by device; from time to time others have their turn."""
        began = since = time.monotonic()
        steps = self._steps()
        while self._step(steps):
            if time.monotonic() - since > _SLICE_S:
                await asyncio.sleep(0)
                since = time.monotonic()
        ended = time.monotonic()
        self._not_before = ended + _REST * (ended - began)

    def _step(self, steps: Iterator[None]) -> bool:
        """Do the next one; False when there is none."""
        self._is_looking = True
        try:
            return next(steps, _END) is not _END
        finally:
            self._is_looking = False

    def _steps(self) -> Iterator[None]:
        """Bring every device to what applies to it, one at a time, and each all at once."""
        candidates = [Candidate(one) for one in self._hub.configurations.all()]
        deployed = self._hub.configurations.deployed()
        if not candidates and not deployed:
            return
        for who, twin in self._hub.twins.each(modules=False):
            with self._hub.store.transaction():
                self._device(who, twin, candidates, deployed)
            yield
        of_modules = [one for one in candidates if one.query.source is Collection.MODULES]
        if not of_modules and not any(module for _, module in deployed):
            return
        for who, twin in self._hub.twins.each(modules=True):
            with self._hub.store.transaction():
                self._module(who, twin, of_modules, deployed)
            yield

    def _device(
        self, who: Who, twin: Twin, candidates: Sequence[Candidate], deployed: Mapping[tuple[str, str], str]
    ) -> None:
        hub = self._hub
        identity = hub.identities.get(who)
        if identity is None:
            return
        document = twins.shown(hub, who, twin)
        found = [
            one for one in candidates if one.targets(document, is_edge=identity.edge, collection=Collection.DEVICES)
        ]
        if not found and who not in deployed:
            return
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

    def _module(
        self, who: Who, twin: Twin, candidates: Sequence[Candidate], deployed: Mapping[tuple[str, str], str]
    ) -> None:
        hub = self._hub
        identity = hub.identities.get(who)
        if identity is None:
            return
        document = twins.shown(hub, who, twin)
        found = [one for one in candidates if one.query.takes(document)]
        if not found and who not in deployed:
            return
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
