"""The agent: reads the deployment, takes the steps that lead to it, reports what is so (wire-iot, section 8).

It wakes when the hub, a module or time gives it a reason to. A deployment that cannot be read changes nothing and is
reported with its code; the last good one is kept, for starts at which the hub is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.edge.agent import planner, reported, specs
from windtunnel_emulators.edge.agent.machine import StepFailed
from windtunnel_emulators.edge.agent.planner import Action
from windtunnel_emulators.edge.agent.restarts import cool_off
from windtunnel_emulators.edge.interface import EdgeProblem, Refused, Unreachable
from windtunnel_emulators.iot.hub import twins
from windtunnel_emulators.iot.manifests.deployment import AgentDeployment
from windtunnel_emulators.iot.manifests.errors import EmptyDeployment, ManifestProblem
from windtunnel_emulators.iot.manifests.reading import parse_agent
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.edge.agent.backup import Backup
    from windtunnel_emulators.edge.agent.machine import Machine
    from windtunnel_emulators.jsontypes import JsonObject

_BOOT_S = 5.0
"""How long a start waits for the hub before the deployment that was kept is taken."""
_REFRESH_S = 3600.0
_AGAIN_S = 5.0
_STOP_REPORT_S = 1.0
_log = logging.getLogger(__name__)


class AgentCloud(Protocol):
    """The agent's own connection to the hub, as ``$edgeAgent``."""

    async def wait(self) -> None:
        """Returns once there is a connection, or it is clear that there will not be one soon."""
        ...

    async def twin(self) -> JsonObject:
        """``{"desired", "reported"}``. Raises ``Unreachable``, ``Refused``."""
        ...

    async def report(self, patch: JsonObject) -> None:
        """Raises ``Unreachable``, ``Refused``."""
        ...

    def listen(self, *, connected: Callable[[], None], desired: Callable[[JsonObject], None]) -> None:
        """Called at each connection, and with each patch of desired properties."""
        ...


class ModuleIdentities(Protocol):
    """The identities of the device's modules at the hub."""

    async def agree(self, modules: Collection[str]) -> None:
        """Make those that are missing, remove those of the agent's own that are not wanted any more.

        Raises ``Unreachable``, ``Refused``.
        """
        ...


class Agent:
    """Of one device."""

    def __init__(
        self,
        *,
        cloud: AgentCloud,
        machine: Machine,
        identities: ModuleIdentities,
        backup: Backup,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self.machine = machine
        self._cloud = cloud
        self._identities = identities
        self._backup = backup
        self._clock = clock
        self._scale = pace.backoff(1.0)
        self._since = clock.now().timestamp()
        self._wake = asyncio.Event()
        self._desired: JsonObject | None = None
        self._deployment: AgentDeployment | ManifestProblem | None = None
        self._pull = True
        self._asked = 0.0
        self._reported: JsonObject | None = None
        """What the hub has; None while that is not known."""
        self._agreed: frozenset[str] | None = None
        self._failures: dict[str, _Failure] = {}
        self._recalled = False
        self._applied: Callable[[AgentDeployment], None] = _nobody
        machine.on_change(self._wake.set)
        cloud.listen(connected=self._connected, desired=self._patched)

    @property
    def deployment(self) -> AgentDeployment | None:
        """The one that holds; None before there is one, or while it is invalid."""
        return self._deployment if isinstance(self._deployment, AgentDeployment) else None

    @property
    def reported(self) -> JsonObject:
        """What would be reported now."""
        return self._document()

    def on_deployment(self, applied: Callable[[AgentDeployment], None]) -> None:
        """Have ``applied`` called with each deployment that holds."""
        self._applied = applied

    def wake(self) -> None:
        """Look again."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        await self._boot()
        while True:
            self._wake.clear()
            try:
                await self._pass()
            except EdgeProblem as problem:
                _log.warning("the agent tries again: %s", problem)
            await self._wait()

    async def stop(self, grace_s: float) -> None:
        """After ``run`` was cancelled: say that nothing is known any more, and end the modules."""
        with contextlib.suppress(EdgeProblem, TimeoutError):
            last = self._reported
            if last is not None:
                patch = reported.difference(last, reported.at_shutdown(self._document()))
                await asyncio.wait_for(self._cloud.report(patch), _STOP_REPORT_S)
        await self.machine.close(grace_s)

    # What comes from the hub.

    def _connected(self) -> None:
        self._pull = True
        self._wake.set()

    def _patched(self, patch: JsonObject) -> None:
        version = version_of(patch)
        if self._desired is None or version != version_of(self._desired) + 1:
            self._pull = True
        else:
            self._set_desired({**twins.merged(self._desired, patch), "$version": version})
        self._wake.set()

    async def _boot(self) -> None:
        waiting = asyncio.ensure_future(self._cloud.wait())
        limit = asyncio.ensure_future(self._clock.sleep(_BOOT_S))
        try:
            await asyncio.wait({waiting, limit}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            limit.cancel()

    async def _fetch(self) -> None:
        """The whole twin, if it is needed and can be had; else, at a start, the deployment that was kept."""
        if not self._pull:
            return
        try:
            twin = await self._cloud.twin()
        except Unreachable as problem:
            if self._deployment is None:
                self._restore(str(problem))
            return
        except Refused as problem:
            _log.error("the hub does not give the agent its twin: %s", problem)
            return
        self._pull = False
        self._asked = self._clock.monotonic()
        self._reported = as_object(twin.get("reported"))
        self._set_desired(as_object(twin.get("desired")))

    def _restore(self, why: str) -> None:
        desired = self._backup.load()
        if desired is None:
            _log.warning("there is no deployment: none was kept, and the hub is away: %s", why)
            return
        _log.info("the deployment that was kept, version %d, is taken: %s", version_of(desired), why)
        self._set_desired(desired)

    def _set_desired(self, desired: JsonObject) -> None:
        if desired == self._desired:
            return
        self._desired = desired
        self._agreed = None
        try:
            deployment = self._deployment = parse_agent(desired)
        except ManifestProblem as problem:
            self._deployment = problem
            # Of a device that is new, too: nothing is wrong with it.
            level = logging.INFO if isinstance(problem, EmptyDeployment) else logging.ERROR
            _log.log(level, "deployment %d changes nothing: %s", version_of(desired), problem)
            return
        self._forget_failures(deployment)
        self._backup.save(desired)
        self._applied(deployment)

    # One pass.

    async def _pass(self) -> None:
        await self._fetch()
        deployment = self.deployment
        if deployment is not None:
            await self._agree(deployment)
            if not self._recalled:
                await self.machine.recall(deployment.modules)
                self._recalled = True
            await self._take_steps(deployment)
            if self.deployment is not deployment:
                return  # another one came meanwhile: nothing of it was done yet, and the next pass follows at once
        await self._report()

    async def _agree(self, deployment: AgentDeployment) -> None:
        wanted = frozenset(deployment.modules)
        if wanted == self._agreed:
            return
        try:
            await self._identities.agree(wanted)
        except Unreachable:
            return  # again when the hub is there
        except Refused as problem:
            _log.error("the hub does not give the modules their identities: %s", problem)
            return
        self._agreed = wanted

    async def _take_steps(self, deployment: AgentDeployment) -> None:
        now = self._clock.now().timestamp()
        self._forget_failures(deployment)
        steps = planner.plan(
            self.machine.present(),
            deployment.modules,
            now,
            scale=self._scale,
            pulls_first=specs.pulls_first(deployment),
        )
        waiting = {name for name, failure in self._failures.items() if failure.again > now}
        failed: set[str] = set()
        for step in steps:
            name = step.module
            if name in waiting or name in failed:
                continue
            try:
                await self.machine.take(step, specs.credentials_of(deployment))
            except StepFailed as problem:
                failed.add(name)
                _log.error("%s", problem)
                self._note_failure(step, deployment, str(problem))
        for name in {step.module for step in steps} - failed - waiting:
            self._failures.pop(name, None)

    def _forget_failures(self, deployment: AgentDeployment) -> None:
        """Those of modules that are others now, also where a step of the former was still on its way."""
        self._failures = {
            name: failure for name, failure in self._failures.items() if failure.of == _of(name, deployment)
        }

    def _note_failure(self, step: planner.Step, deployment: AgentDeployment, why: str) -> None:
        former = self._failures.get(step.module)
        times = 0 if former is None else former.times
        self._failures[step.module] = _Failure(
            of=_of(step.module, deployment),
            why=why,
            times=times + 1,
            # A start that failed counts as an end: the restart policy has the word.
            again=self._clock.now().timestamp()
            + (0.0 if step.action in (Action.START, Action.RESTART) else cool_off(times) * self._scale),
        )

    async def _wait(self) -> None:
        """Until there is a reason to look again."""
        now = self._clock.now().timestamp()
        moments = [now + _REFRESH_S, *(one.again for one in self._failures.values() if one.again > now)]
        if self._pull or self._agreed is None:
            moments.append(now + _AGAIN_S)
        deployment = self.deployment
        if deployment is not None:
            change = planner.next_change(self.machine.present(), deployment.modules, scale=self._scale)
            if change is not None:
                moments.append(change)
        waiting = asyncio.ensure_future(self._wake.wait())
        limit = asyncio.ensure_future(self._clock.sleep(max(0.0, min(moments) - now)))
        try:
            await asyncio.wait({waiting, limit}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            limit.cancel()
        if self._clock.monotonic() - self._asked >= _REFRESH_S:
            self._pull = True

    # Reporting.

    def _document(self) -> JsonObject:
        code, description = self._status()
        deployment = self.deployment
        modules = self.machine.modules
        pending: dict[str, str] = {}
        if deployment is not None:
            pending = {
                name: failure.why
                for name, failure in self._failures.items()
                if name in deployment.modules and name not in modules
            }
        return reported.document(
            version=version_of(self._desired or {}),
            code=code,
            description=description,
            deployment=deployment,
            modules=modules,
            pending=pending,
            since=self._since,
        )

    def _status(self) -> tuple[int, str]:
        match self._deployment:
            case None:
                return 406, "Agent is not running"
            case ManifestProblem() as problem:
                return problem.code, problem.description
            case _ if self._failures:
                return 500, "; ".join(failure.why for failure in self._failures.values())
            case _:
                return 200, ""

    async def _report(self) -> None:
        last = self._reported
        if last is None:
            return
        now = self._document()
        if isinstance(self._deployment, ManifestProblem):
            # What is there stays reported as it was.
            now = {**last, **{key: now[key] for key in ("schemaVersion", "version", *_STATUS)}}
            entries = self.machine.modules
            if entries:
                now["modules"] = {name: reported.module_of(one) for name, one in entries.items()}
        patch = reported.difference(last, now)
        if not patch:
            return
        try:
            await self._cloud.report(patch)
        except Unreachable:
            self._reported = None  # what the hub has is read again when it is there
            self._pull = True
            return
        except Refused as problem:
            _log.error("the hub does not take what the agent reports: %s", problem)
            return
        self._reported = {key: value for key, value in now.items() if not key.startswith("$")}


_STATUS = ("lastDesiredVersion", "lastDesiredStatus")


class _Failure:
    """Of a module whose steps could not be taken."""

    def __init__(self, *, of: str, why: str, times: int, again: float) -> None:
        self.of = of
        self.why = why
        self.times = times
        self.again = again


def version_of(desired: JsonObject) -> int:
    """``$version``; 0 when there is none."""
    version = desired.get("$version")
    return version if isinstance(version, int) else 0


def _of(name: str, deployment: AgentDeployment) -> str:
    """What a module's steps depend on: with other credentials it is another module, as for the real agent."""
    spec = deployment.modules.get(name)
    known = [f"{one.server} {one.username} {one.password}" for one in specs.credentials_of(deployment)]
    digest = hashlib.sha256("\n".join(known).encode("utf-8", "surrogatepass")).hexdigest()
    return digest if spec is None else f"{specs.key_of(spec)} {digest}"


def _nobody(deployment: AgentDeployment) -> None:
    del deployment
