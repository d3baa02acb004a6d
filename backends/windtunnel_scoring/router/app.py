"""The router over HTTP: from a path to a service, a version, a place at a replica, and back.

``/`` is the router's own health; ``/api/v1/service/<name>/`` says whether the service has a ready replica, without a
key and without asking one; everything below it goes to a replica: ``score``, ``swagger.json``, and what else its
container serves. Only GET and POST pass. A request goes to a second replica only if the first one refused the
connection, so that nothing is ever scored twice.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from windtunnel_scoring.asgi import HTML, ClientGone, Response
from windtunnel_scoring.frontend.exchange import Exchange, Rules, TooLarge
from windtunnel_scoring.frontend.upstream import ClosedEarly, NotReady
from windtunnel_scoring.router import answers, mirror
from windtunnel_scoring.router.mirror import Copy, Mirror
from windtunnel_scoring.router.slots import NoReplicas, Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.asgi import Receive, Scope, Send
    from windtunnel_scoring.frontend.upstream import Connection
    from windtunnel_scoring.router.directory import Directory
    from windtunnel_scoring.router.peers import Peers
    from windtunnel_scoring.router.service import Service, Version
    from windtunnel_scoring.router.slots import Replica, Slots
    from windtunnel_scoring.telemetry.interface import Telemetry

VERSION_HEADER: Final = "azureml-model-deployment"
_SERVICE = re.compile(rb"/api/v1/service/([^/]+)(/.*)?", re.DOTALL)
_ANSWER_S: Final = 30.0
"""What a client has, beyond the scoring timeout, to take the answer: it holds a place meanwhile."""
_HOP_MS: Final = 5000
"""What another router has beyond a replica's time, so that it is the one which gives up first."""


def router_rules() -> Rules:
    """What holds for every request: a 500 of a replica becomes 502."""
    return Rules(run_failed_status=502, ensures_id=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterOptions:
    """How the router works."""

    rules: Rules = field(default_factory=router_rules)
    monotonic: Callable[[], float] = time.monotonic
    telemetry: Telemetry | None = None
    """Told of the requests of services with ``appInsightsEnabled``."""


class RouterApp:
    """The ASGI application of one router."""

    def __init__(self, directory: Directory, peers: Peers, options: RouterOptions) -> None:
        self._directory = directory
        self._peers = peers
        self._options = options
        self._mirror = Mirror()
        self._lingering: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.handle(scope, receive, send, handed_over=False)

    async def handle(self, scope: Scope, receive: Receive, send: Send, *, handed_over: bool) -> None:
        """``handed_over``: by another router, which takes this one for the service's home; it stays here."""
        exchange = Exchange(scope, receive, send, self._options.rules)
        exchange.behind_proxy = handed_over
        if exchange.path == "/":
            await exchange.refuse(_healthy(), "")
        else:
            raw = cast("bytes", scope.get("raw_path") or exchange.path.encode())
            await self._route(exchange, raw)
        record = exchange.record()
        if exchange.span is not None and record is not None:
            exchange.span.end(record)

    async def close(self) -> None:
        """Give up what nobody waits for any more."""
        await self._mirror.close()
        for task in self._lingering:
            task.cancel()
        if self._lingering:
            await asyncio.wait(set(self._lingering))

    async def _route(self, exchange: Exchange, raw: bytes) -> None:
        found = _SERVICE.fullmatch(raw)
        if found is None:
            await exchange.refuse(answers.unknown_path(), "unknown path")
            return
        name, rest = found[1].decode("latin-1"), found[2] or b"/"
        service = self._directory.services.get(name)
        if service is None:
            await exchange.refuse(answers.unknown_service(name), "unknown service")
            return
        exchange.service, exchange.cors = name, service.cors
        exchange.keeps_authorization = not service.guarded
        refusal = self._refusal(exchange, service, rest)
        if refusal is not None:
            self._begin_span(exchange, service)
            await exchange.refuse(*refusal)
            return
        try:
            if exchange.behind_proxy or not await self._hand_over(exchange, service):
                await self._work(exchange, service, rest)
        except ClientGone:
            exchange.gone()

    async def _hand_over(self, exchange: Exchange, service: Service) -> bool:
        """To the router that is the service's home; False when it is this one, or cannot be reached."""
        home = self._peers.home(service.name)
        if home is None:
            return False
        await exchange.begin()
        try:
            reached = await home.upstream.connect()
        except NotReady:
            return False
        exchange.keeps_authorization = True
        exchange.handed_to = home.name
        limits = [version.definition for version in service.versions.values()]
        limit_ms = max(limit.scoring_timeout_ms + limit.max_queue_wait_ms for limit in limits) + _HOP_MS
        try:
            if await self._ask(exchange, reached, service.name, limit_ms):
                home.upstream.give_back(reached)
            else:
                reached.close()
        except BaseException:
            reached.close()
            raise
        return True

    async def _work(self, exchange: Exchange, service: Service, rest: bytes) -> None:
        self._begin_span(exchange, service)
        name = service.name
        asked = exchange.headers.get(VERSION_HEADER)
        if asked is None and rest == b"/swagger.json":
            asked = service.definition.default.name
        version = service.choose(asked)
        if version is None:
            await exchange.refuse(answers.unknown_version(name, asked or ""), "unknown version")
            return
        exchange.version, exchange.target = version.name, rest
        exchange.added_to_answer = ((VERSION_HEADER, version.name),)
        copied = service.mirror() if exchange.headers.get(VERSION_HEADER) is None else None
        if copied is not None:
            await self._copy(exchange, copied, rest)
        await exchange.begin()
        await self._forward(exchange, name, version)

    def _begin_span(self, exchange: Exchange, service: Service) -> None:
        """At the service's home alone, so that a request is told of once."""
        if self._options.telemetry is not None and service.definition.app_insights_enabled:
            exchange.span = self._options.telemetry.begin(exchange.method, exchange.url, exchange.headers)
            exchange.added_to_request = exchange.span.headers()

    def _refusal(self, exchange: Exchange, service: Service, rest: bytes) -> tuple[Response, str] | None:
        """The answer to a request that goes to no replica, and why."""
        if exchange.method not in ("GET", "POST"):
            if exchange.method == "OPTIONS" and service.cors is not None:
                # Browsers ask without the key.
                return Response(headers=(("content-type", HTML),)), "preflight"
            return answers.not_allowed(), "method"
        if rest == b"/" and exchange.method == "GET":
            return (_healthy(), "") if service.ready else (answers.no_replicas(service.name), "no replicas")
        reason = service.refusal(exchange.authorization)
        if reason is not None:
            return answers.unauthorized(reason), reason
        most = self._options.rules.max_body_bytes
        if exchange.content_length > most:
            return answers.too_large(most), "too large"
        return None

    async def _forward(self, exchange: Exchange, name: str, version: Version) -> None:
        slots, limits = version.slots, version.definition
        ends = self._options.monotonic() + limits.max_queue_wait_ms / 1000
        again = False
        while True:
            try:
                replica = await slots.acquire(max(0.0, ends - self._options.monotonic()), again=again)
            except Overloaded:
                await exchange.refuse(answers.overloaded(name), "overloaded")
                return
            except NoReplicas:
                await exchange.refuse(answers.no_replicas(name), "no replicas")
                return
            try:
                connection = await replica.upstream.connect()
            except NotReady:
                # Nothing was sent, so that another replica may have it.
                slots.refused(replica)
                again = True
                continue
            except BaseException:
                slots.release(replica)
                raise
            break
        exchange.replica = replica.pod.name
        lingers = False
        try:
            await self._ask(exchange, connection, name, limits.scoring_timeout_ms)
            lingers = exchange.replica_works
        finally:
            if lingers:
                self._linger(slots, replica, connection)
            else:
                if exchange.complete:
                    replica.give_back(connection)
                else:
                    connection.close()
                slots.release(replica)

    async def _ask(self, exchange: Exchange, connection: Connection, service: str, limit_ms: int) -> bool:
        """One exchange with a replica, or with another router; says whether all of it went through.

        ``exchange.replica_works`` is set when the client got its 504 while the request is still worked on.
        """
        try:
            async with asyncio.timeout(limit_ms / 1000):
                await exchange.ask(connection)
        except ClosedEarly:
            await exchange.refuse(answers.closed(), "upstream closed")
        except TimeoutError:
            exchange.replica_works = exchange.request_sent
            await exchange.refuse(answers.timed_out(service, limit_ms), "upstream timeout")
        except TooLarge:
            await exchange.refuse(answers.too_large(self._options.rules.max_body_bytes), "too large")
        else:
            try:
                async with asyncio.timeout(limit_ms / 1000 + _ANSWER_S):
                    await exchange.answer(connection)
            except TimeoutError:
                exchange.broke_off("client too slow")
        return exchange.complete

    async def _copy(self, exchange: Exchange, version: Version, target: bytes) -> None:
        body = await exchange.gather(mirror.LARGEST)
        if body is None:
            self._mirror.send(version, None)
            return
        dropped = (b"transfer-encoding", b"content-length")
        headers = [pair for pair in exchange.request_headers() if pair[0] not in dropped]
        if body:
            headers.append((b"content-length", str(len(body)).encode()))
        self._mirror.send(version, Copy(method=exchange.method, target=target, headers=headers, body=body))

    def _linger(self, slots: Slots, replica: Replica, connection: Connection) -> None:
        """The client has its 504; the replica still works, so its place stays taken until it answers."""
        task = asyncio.create_task(_wait_answered(slots, replica, connection), name="linger")
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)


async def _wait_answered(slots: Slots, replica: Replica, connection: Connection) -> None:
    try:
        await connection.read_head()
        async for _ in connection.body():
            pass
        replica.give_back(connection)
    except ClosedEarly:
        connection.close()
    except BaseException:
        connection.close()
        raise
    finally:
        slots.release(replica)


def _healthy() -> Response:
    return Response(body=b"Healthy", headers=(("content-type", HTML),))
