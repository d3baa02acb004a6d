"""Asking a container whether it is well, as a kubelet does: by a command, an HTTP request or a connection.

Every wait goes by the clock that is passed in; what is asked answers in its own time, up to the probe's timeout.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.interface import StartError
from windtunnel_emulators.runtime.plan import ExecAction, GrpcAction, HttpAction, SleepAction, TcpAction

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.runtime.interface import Container
    from windtunnel_emulators.runtime.plan import Probe, ProbeAction

KEPT_OUTPUT = 1024
_FIRST_EAGER_S, _LAST_EAGER_S = 0.05, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One answer."""

    healthy: bool
    message: str = ""
    """Why not; empty when healthy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One answer, and whether the answers so far reach a threshold."""

    outcome: Outcome
    passed: bool
    """The last ``success_threshold`` answers were all healthy."""
    failed: bool
    """The last ``failure_threshold`` answers were all unhealthy."""


async def watch(probe: Probe, container: Container, clock: Clock) -> AsyncGenerator[Verdict]:
    """Ask for ever, at the probe's period, and judge."""
    good = bad = 0
    await clock.sleep(probe.initial_delay_s)
    if probe.eager:
        async for early in _eagerly(probe, container, clock):
            good = 1
            yield Verdict(outcome=early, passed=probe.success_threshold <= 1, failed=False)
            await clock.sleep(probe.period_s)
    while True:
        outcome = await ask(probe, container, clock)
        good, bad = (good + 1, 0) if outcome.healthy else (0, bad + 1)
        yield Verdict(outcome=outcome, passed=good >= probe.success_threshold, failed=bad >= probe.failure_threshold)
        await clock.sleep(probe.period_s)


async def _eagerly(probe: Probe, container: Container, clock: Clock) -> AsyncGenerator[Outcome]:
    """The first healthy answer of the first period, if there is one."""
    wait_s, end = _FIRST_EAGER_S, clock.monotonic() + probe.period_s
    while clock.monotonic() + wait_s < end:
        outcome = await ask(probe, container, clock)
        if outcome.healthy:
            yield outcome
            return
        await clock.sleep(wait_s)
        wait_s = min(_LAST_EAGER_S, wait_s * 1.5)


async def ask(probe: Probe, container: Container, clock: Clock) -> Outcome:
    """Ask once; no answer within the timeout is an unhealthy one."""
    answer = asyncio.ensure_future(perform(probe.action, container, clock))
    limit = asyncio.ensure_future(clock.sleep(probe.timeout_s))
    try:
        await asyncio.wait({answer, limit}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        return Outcome(healthy=False, message=_timed_out(probe))
    finally:
        limit.cancel()
        answer.cancel()
        await asyncio.gather(answer, limit, return_exceptions=True)


def _timed_out(probe: Probe) -> str:
    match probe.action:
        case ExecAction(command=command):
            return f"command {' '.join(command)!r} timed out after {probe.timeout_s:g}s"
        case _:
            return f"no answer within {probe.timeout_s:g}s"


async def perform(action: ProbeAction, container: Container, clock: Clock) -> Outcome:
    """Carry an action out, however long that takes."""
    match action:
        case ExecAction(command=command):
            return await _run(command, container)
        case HttpAction():
            return await _get(action, action.host or container.spec.address)
        case TcpAction(port=port, host=host):
            return await _connect(host or container.spec.address, port)
        case GrpcAction(port=port, service=service):
            return await _check(container.spec.address, port, service)
        case SleepAction(seconds=seconds):
            await clock.sleep(seconds)
            return Outcome(healthy=True)


async def _check(address: str, port: int, service: str) -> Outcome:
    from windtunnel_emulators.runtime.grpc_health import Unserved, check

    try:
        await check(address, port, service)
    except Unserved as problem:
        return Outcome(healthy=False, message=str(problem))
    return Outcome(healthy=True)


async def _run(command: tuple[str, ...], container: Container) -> Outcome:
    try:
        session = await container.execute(command)
    except StartError as problem:
        return Outcome(healthy=False, message=str(problem))
    output = bytearray()
    try:
        async for chunk in session.output():
            output += chunk[: KEPT_OUTPUT - len(output)]
        code = await session.wait()
    finally:
        await session.close()
    if code == 0:
        return Outcome(healthy=True)
    return Outcome(healthy=False, message=output.decode("utf-8", "replace").strip() or f"command ended with {code}")


async def _connect(address: str, port: int) -> Outcome:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError as problem:
        return Outcome(healthy=False, message=f"no connection to {address}:{port}: {_reason(problem)}")
    writer.transport.abort()
    return Outcome(healthy=True)


async def _get(action: HttpAction, address: str) -> Outcome:
    where = f"{address}:{action.port}"
    headers = {"host": where, "user-agent": "windtunnel-probe", "accept": "*/*", "connection": "close"}
    headers |= {name.lower(): value for name, value in action.headers}
    path = action.path if action.path.startswith("/") else f"/{action.path}"
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    context = _unchecked_tls() if action.scheme.lower() == "https" else None
    try:
        reader, writer = await asyncio.open_connection(address, action.port, ssl=context)
    except OSError as problem:
        return Outcome(healthy=False, message=f"GET {path} at {where}: no connection: {_reason(problem)}")
    try:
        writer.write("\r\n".join(lines).encode("latin-1", "replace"))
        await writer.drain()
        first = await reader.readline()
    except (OSError, ValueError) as problem:
        return Outcome(healthy=False, message=f"GET {path} at {where}: {problem}")
    finally:
        writer.transport.abort()
    status = _status_of(first)
    if status is None:
        return Outcome(healthy=False, message=f"GET {path} at {where}: no HTTP answer")
    if 200 <= status < 400:
        return Outcome(healthy=True)
    return Outcome(healthy=False, message=f"HTTP probe failed with statuscode: {status}")


def _status_of(first_line: bytes) -> int | None:
    words = first_line.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return None
    return int(words[1])


def _reason(problem: OSError) -> str:
    return problem.strerror or str(problem)


def _unchecked_tls() -> ssl.SSLContext:
    """A kubelet does not check the certificate of what it probes."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
