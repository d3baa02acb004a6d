"""The one link of a device to its cloud: it can be cut, restored, and made as bad as networks are.

Every connection that the device opens goes through it, MQTT and REST alike. What was ordered is kept on disk, so that a
device that starts again is still cut; the chances of a fault profile begin anew at a start.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from windtunnel_emulators.edge.interface import Unreachable
from windtunnel_emulators.edge.upstream.faults import NO_FAULTS, BadFaults, Faults, parse
from windtunnel_emulators.edge.upstream.lanes import Lane, Passage
from windtunnel_emulators.files import read_secret, write_secret

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject

_T = TypeVar("_T")
_P = TypeVar("_P", bound=asyncio.Protocol)
_OPENING_S = 20.0
_TICK_S = 1.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Traffic:
    """What has happened to the link since the process started."""

    opened: int = 0
    lost: int = 0
    """Connections that were ended by a cut, a flap or a loss."""
    refused: int = 0
    """Attempts to connect while it was not there."""


class Link:
    """Use ``open`` or ``carry`` for whatever goes to the cloud. ``run`` has to run for losses and flapping."""

    def __init__(self, file: Path, clock: Clock) -> None:
        """``file`` keeps what was ordered; it is read now. Raises ``BadFaults`` when it cannot be understood."""
        self.traffic = Traffic()
        self._file = file
        self._clock = clock
        self._cut, self._faults = _load(file)
        self._flapped = False
        self._listeners: list[Callable[[bool], None]] = []
        self._passages: set[Passage] = set()
        self._calls: set[asyncio.Task[object]] = set()
        self._numbers = itertools.count()
        self._up = asyncio.Event()
        self._changed = asyncio.Event()
        self._rise = asyncio.Event()
        """Set, and replaced, whenever the link comes back."""
        if not self._cut:
            self._up.set()

    @property
    def is_up(self) -> bool:
        """Connections can be opened, as far as the link is concerned."""
        return self._up.is_set()

    @property
    def is_cut(self) -> bool:
        """It was cut by order; a link that flaps is not."""
        return self._cut

    @property
    def faults(self) -> Faults:
        return self._faults

    def listen(self, changed: Callable[[bool], None]) -> None:
        """Have ``changed`` called with ``is_up``, whenever that is another."""
        self._listeners.append(changed)

    async def up(self) -> None:
        """Returns once the link is there."""
        await self._up.wait()

    def rise(self) -> asyncio.Event:
        """Set once the link has come back from now on; another event than before once it has."""
        return self._rise

    def check(self) -> None:
        """Raises ``Unreachable`` while the link is not there."""
        if not self.is_up:
            self.traffic.refused += 1
            raise Unreachable("The device's link to the cloud is cut." if self._cut else "The link is down: it flaps.")

    # Orders.

    def cut(self) -> None:
        """Take the cloud away: what is open is closed, and nothing can be opened."""
        self._cut = True
        self._keep()
        self._settle()

    def restore(self) -> None:
        """Give the cloud back."""
        self._cut = False
        self._keep()
        self._settle()

    def set_faults(self, faults: Faults) -> None:
        """Another profile, from now on; its chances and its flapping begin anew."""
        self._faults = faults
        self._keep()
        self._flapped = False
        self._settle()
        self._changed.set()

    def state(self) -> JsonObject:
        """For people who ask what the link is doing."""
        return {
            "up": self.is_up,
            "cut": self._cut,
            "faults": self._faults.to_json(),
            "connections": len(self._passages),
            "opened": self.traffic.opened,
            "lost": self.traffic.lost,
            "refused": self.traffic.refused,
        }

    # Connections.

    async def open(
        self,
        host: str,
        port: int,
        protocol_factory: Callable[[], _P],
        *,
        ssl: tls.SSLContext | None,
        server_hostname: str | None = None,
    ) -> _P:
        """A connection whose protocol is one that the factory makes. Raises ``Unreachable``."""
        self.check()
        number = next(self._numbers)
        inner = protocol_factory()
        passage = Passage(
            inner,
            Lane(self._clock, self._current, f"{number}/up"),
            Lane(self._clock, self._current, f"{number}/down"),
            begun=self._passages.add,
            over=self._passages.discard,
        )
        loop = asyncio.get_running_loop()

        async def connect() -> None:
            await loop.create_connection(
                lambda: passage,
                host,
                port,
                ssl=ssl,
                server_hostname=(server_hostname or host) if ssl else None,
            )

        await self.carry(connect)
        self.traffic.opened += 1
        return inner

    async def carry(self, call: Callable[[], Awaitable[_T]], *, within: float = _OPENING_S) -> _T:
        """Make a call to the cloud; the latency is added. Raises ``Unreachable``: no link, cut meanwhile, no answer."""
        self.check()

        async def delayed() -> _T:
            await self._pass("call")
            async with asyncio.timeout(within):
                found = await call()
            await self._pass("answer")
            return found

        task: asyncio.Task[_T] = asyncio.get_running_loop().create_task(delayed(), name="a call to the cloud")
        self._calls.add(task)
        try:
            await asyncio.wait((task,))
            if task.cancelled():
                raise Unreachable("The device's link to the cloud was cut meanwhile.")
            return task.result()
        except TimeoutError as problem:
            raise Unreachable(f"The cloud did not answer within {within:g} s.") from problem
        except OSError as problem:
            raise Unreachable(f"The cloud cannot be reached: {problem}.") from problem
        finally:
            self._calls.discard(task)
            task.cancel()

    async def run(self) -> None:
        """Lose connections and flap as the profile says, until cancelled."""
        while True:
            self._changed.clear()
            faults = self._faults
            acts: list[Coroutine[object, object, None]] = []
            if faults.loss_per_second:
                acts.append(self._lose(faults))
            if faults.flaps:
                acts.append(self._flap(faults))
            tasks = [asyncio.get_running_loop().create_task(act, name="faults of a link") for act in acts]
            try:
                await self._changed.wait()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _lose(self, faults: Faults) -> None:
        chance = random.Random(faults.seed)  # noqa: S311  # chances that can be repeated, not secrets
        while True:
            await self._clock.sleep(_TICK_S)
            if chance.random() < faults.loss_per_second:
                self._end("lost, as the fault profile says")

    async def _flap(self, faults: Faults) -> None:
        while True:
            await self._clock.sleep(faults.up_s)
            self._flapped = True
            self._settle()
            await self._clock.sleep(faults.down_s)
            self._flapped = False
            self._settle()

    async def _pass(self, what: str) -> None:
        """The time that a call, or its answer, takes on its way."""
        faults = self._faults
        if faults.delays:
            passed = asyncio.Event()
            lane = Lane(self._clock, self._current, f"{next(self._numbers)}/{what}")
            lane.put(passed.set)
            try:
                await passed.wait()
            finally:
                lane.clear()

    def _current(self) -> Faults:
        return self._faults

    def _settle(self) -> None:
        """Make what was decided so."""
        up = not self._cut and not self._flapped
        if up == self.is_up:
            return
        if up:
            self._up.set()
            self._rise.set()
            self._rise = asyncio.Event()
            _log.info("the link to the cloud is there")
        else:
            self._up.clear()
            self._end("cut" if self._cut else "down for a while")
        for listener in self._listeners:
            listener(up)

    def _end(self, why: str) -> None:
        ended = len(self._passages) + len(self._calls)
        self.traffic.lost += ended
        _log.info("the link to the cloud is %s; %d connections end", why, ended)
        for passage in list(self._passages):
            passage.cut()
        for call in list(self._calls):
            call.cancel()

    def _keep(self) -> None:
        write_secret(self._file, msgspec.json.encode({"cut": self._cut, "faults": self._faults.to_json()}))


def _load(file: Path) -> tuple[bool, Faults]:
    content = read_secret(file)
    if content is None:
        return False, NO_FAULTS
    try:
        kept: Json = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise BadFaults(f"{file.name} of the device is no JSON: {problem}; remove it.") from problem
    if not isinstance(kept, dict):
        raise BadFaults(f"{file.name} of the device holds no JSON object; remove it.")
    return bool(kept.get("cut")), parse(kept.get("faults", {}))
