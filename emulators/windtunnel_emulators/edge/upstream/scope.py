"""Who is behind an edge device: itself, its modules, its child devices and theirs, with what they authenticate by.

The cloud knows. What it said last is kept in a file for its owner alone, so that a device that starts without a cloud
knows its own. It is asked at the start, whenever the cloud is there again, every hour, and when somebody connects who
does not fit what is known. The request is that of the real edge hub (``NestedDeviceScopeApiClient`` of Azure/iotedge).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.interface import EdgeProblem, Refused, Unreachable
from windtunnel_emulators.edge.upstream import members
from windtunnel_emulators.edge.upstream.members import NO_KEYS, Member
from windtunnel_emulators.edge.upstream.place import Signer
from windtunnel_emulators.iot.hub.identity import AGENT, EDGE_HUB, Who
from windtunnel_emulators.iot.hub.waiting import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.upstream.rest import Rest
    from windtunnel_emulators.iot.hub.identity import Identity, Keys

_VERSION = "2020-06-30-preview"
_PAGE = 100
_MOST_PAGES = 1000
_RENEW_S = 3600.0
_FAILED_S = 30.0
"""Between two attempts of which the first failed while the link was there."""
_AGAIN_S = 10.0
"""An identity that does not fit is asked about at most so often."""
_UNAUTHORIZED = 401
_log = logging.getLogger(__name__)


class Scope:
    """The identities of one edge device; implements ``edge.hub.identities.Identities``."""

    def __init__(self, file: Path, own: Signer, rest: Rest, clock: Clock) -> None:
        """``own`` is the device with its key; ``file`` keeps what is known."""
        self.device = own.who.device
        self._own = own
        self._file = file
        self._rest = rest
        self._clock = clock
        self._members = members.load(file)
        self._listeners: list[Callable[[], None]] = []
        self._renewing: asyncio.Task[None] | None = None
        self._asked: dict[Who, float] = {}
        self._awake = asyncio.Event()
        self.is_current = False
        """The cloud was asked, and has answered, since the last time that this failed."""

    # What is known.

    def get(self, who: Who) -> Identity | None:
        """None for who is not in the scope, as far as is known."""
        member = self._members.get(who)
        return None if member is None else member.identity

    def keys(self, who: Who) -> Keys:
        """The symmetric keys; empty ones for an identity that has none, or is not known."""
        member = self._members.get(who)
        return NO_KEYS if member is None else member.keys

    def all(self) -> Iterable[Identity]:
        """Everybody in the scope."""
        return [member.identity for member in self._members.values()]

    def signer(self, who: Who) -> Signer | None:
        """Who signs for an identity in the cloud; None for who is not in the scope, or may not connect."""
        if who == self._own.who:
            return self._own
        member = self._members.get(who)
        if member is None or not member.identity.enabled:
            return None
        if member.keys.primary:
            return Signer(who=who, key=member.keys.primary)
        hub = self._members.get(Who(self.device, EDGE_HUB))
        return Signer(who=hub.identity.who, key=hub.keys.primary) if hub is not None and hub.keys.primary else None

    def listen(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called when an identity was added, changed or removed."""
        self._listeners.append(changed)

    # The cloud is asked.

    async def renew(self) -> None:
        """Ask for everybody; calls that come meanwhile share the answer. Raises ``Unreachable``, ``Refused``."""
        task = self._renewing
        if task is None or task.done():
            task = self._renewing = asyncio.get_running_loop().create_task(self._renew(), name="scope of the edge")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise Unreachable("The device is stopping.") from None
            raise

    async def refresh(self, who: Who) -> None:
        """Ask because of one identity, unless that was just done. Returns in any case; never raises for the cloud."""
        now = self._clock.monotonic()
        self._asked = {one: when for one, when in self._asked.items() if now - when < _AGAIN_S}
        if who in self._asked:
            return
        self._asked[who] = now
        with contextlib.suppress(Unreachable):
            try:
                await self.renew()
            except Refused as problem:
                _log.warning("the cloud does not tell who is behind '%s': %s", self.device, problem)

    def wake(self) -> None:
        """Ask soon: the cloud is there again."""
        self._awake.set()

    async def run(self) -> None:
        """Ask when it is time, until cancelled."""
        try:
            while True:
                self._awake.clear()
                wait = _RENEW_S
                try:
                    await self.renew()
                except EdgeProblem as problem:
                    _log.info("who is behind '%s' was not learned: %s", self.device, problem)
                    wait = _FAILED_S
                with contextlib.suppress(TimeoutError):
                    await within(self._clock, wait, asyncio.ensure_future(self._awake.wait()))
        finally:
            if self._renewing is not None:
                self._renewing.cancel()

    async def _renew(self) -> None:
        self.is_current = False
        hub = Who(self.device, EDGE_HUB)
        known = self._members.get(hub)
        if known is None or not known.keys.primary:
            known = await self._module(EDGE_HUB)
        try:
            found = await self._everybody(Signer(who=hub, key=known.keys.primary))
        except Refused as problem:
            if problem.status != _UNAUTHORIZED:
                raise
            known = await self._module(EDGE_HUB)  # its key may be another now
            found = await self._everybody(Signer(who=hub, key=known.keys.primary))
        self.is_current = True
        if found != self._members:
            self._members = found
            await asyncio.to_thread(members.save, self._file, found)
            for listener in self._listeners:
                listener()

    async def _module(self, module: str) -> Member:
        """One of the device's own modules, as the device itself may ask."""
        answer = await self._rest.call("GET", ("devices", self.device, "modules", module), self._own)
        return members.read_member(answer)

    async def _everybody(self, signer: Signer) -> dict[Who, Member]:
        found: dict[Who, Member] = {}
        link: str | None = None
        path = ("devices", self.device, "modules", EDGE_HUB, "devicesAndModulesInTargetDeviceScope")
        for _ in range(_MOST_PAGES):
            answer = await self._rest.call(
                "POST",
                path,
                signer,
                {"pageSize": _PAGE, "authChain": self.device, **({"continuationLink": link} if link else {})},
                version=_VERSION,
            )
            page = members.read_page(answer)
            found.update((member.identity.who, member) for member in page.members)
            link = page.next
            if link is None:
                break
        for needed in (Who(self.device), Who(self.device, AGENT), Who(self.device, EDGE_HUB)):
            if needed not in found:
                raise Refused(502, f"The hub's answer about the scope of '{self.device}' is without '{needed}'.")
        return found
