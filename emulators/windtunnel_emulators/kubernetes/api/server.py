"""The embedded API server of one cluster: an ASGI application, and clients in this process that need no socket.

Both go through the same authorization, admission and validation; only who asks is known in another way.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.asgi import ClientGone
from windtunnel_emulators.kubernetes.access.interface import Attributes
from windtunnel_emulators.kubernetes.api import health
from windtunnel_emulators.kubernetes.api.aggregation import Aggregation
from windtunnel_emulators.kubernetes.api.answering import answer, refuse
from windtunnel_emulators.kubernetes.api.bootstrap import Bootstrap
from windtunnel_emulators.kubernetes.api.connecting import connection, leads_out
from windtunnel_emulators.kubernetes.api.direct import DirectClient
from windtunnel_emulators.kubernetes.api.discovery import Discovery
from windtunnel_emulators.kubernetes.api.failures import Failure, forbidden_path, internal, unavailable, unknown_path
from windtunnel_emulators.kubernetes.api.fanout import Fanout
from windtunnel_emulators.kubernetes.api.handler import Handler, verb_of
from windtunnel_emulators.kubernetes.api.openapi import OpenApi
from windtunnel_emulators.kubernetes.api.registry import Registry
from windtunnel_emulators.kubernetes.api.replies import BytesReply, PassedOn
from windtunnel_emulators.kubernetes.api.requests import parse_target, read_body, read_head
from windtunnel_emulators.kubernetes.api.rules import DEFINITIONS
from windtunnel_emulators.kubernetes.api.storage import Storage
from windtunnel_emulators.kubernetes.client.interface import StatusError

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import ASGI, Receive, Scope, Send
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.kubernetes.access.interface import Access, User
    from windtunnel_emulators.kubernetes.api.connecting import Connects
    from windtunnel_emulators.kubernetes.api.replies import Reply
    from windtunnel_emulators.kubernetes.api.requests import Call, Target
    from windtunnel_emulators.kubernetes.api.watching import Watch
    from windtunnel_emulators.kubernetes.client.interface import Client
    from windtunnel_emulators.store import Store

_BOOKMARK_S = 60.0
_log = logging.getLogger(__name__)


class ApiServer:
    """One cluster's API. ``start`` before the first request; ``stop`` ends every watch."""

    def __init__(
        self,
        *,
        store: Store,
        cluster: str,
        clock: Clock,
        access: Access,
        version: str = "1.34.4",
        address: str = "127.0.0.1:443",
        service_cidr: str = "10.0.0.0/16",
    ) -> None:
        from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue

        self.version = version
        self.address = address
        """Host and port at which clients reach it, for those that ask."""
        self.storage = Storage(store, cluster)
        self.registry = Registry(Catalogue())
        self._clock = clock
        self._access = access
        self._handler = Handler(self.registry, self.storage, access, clock)
        self._discovery = Discovery(self.registry, lambda: self.address)
        self._openapi = OpenApi(self.registry)
        self._aggregation = Aggregation(self.registry)
        self._service_cidr = service_cidr
        self.connector: Connects | None = None
        """Carries requests to containers, pods, services and nodes; without one they get 503."""
        self._bootstrap: Bootstrap | None = None
        self._fanout = Fanout(self.storage)
        self._watches: set[Watch] = set()
        self._requests: dict[tuple[str, str, int], int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = False

    @property
    def app(self) -> ASGI:
        """The application to serve."""
        return self._serve

    def client(self, user: User) -> Client:
        """A client in this process, as ``user``."""
        return DirectClient(self, user)

    async def start(self) -> None:
        """Make what every cluster has; after it the server is ready."""
        self._handler.start()
        port = int(self.address.rpartition(":")[2] or 443)
        self._bootstrap = Bootstrap(self.storage, self.registry, service_cidr=self._service_cidr, port=port)
        await self._bootstrap.run(self._clock.now())
        self._tasks.append(asyncio.create_task(self._follow_definitions(), name="APIServices"))
        await self._access.start(self.storage, self.registry)
        self._tasks.append(asyncio.create_task(self._bookmarks(), name="bookmarks"))
        self._ready = True

    async def stop(self) -> None:
        """End watches and what runs for the server; objects stay."""
        self._ready = False
        self._fanout.stop()
        for watch in list(self._watches):
            watch.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._access.stop()
        await self._handler.stop()
        await self.storage.settled()

    async def aggregate(self, group: str, version: str, app: ASGI) -> None:
        """Pass requests about a group's version on to ``app``, as one for which there is an APIService."""
        await self._aggregation.register(group, version, app)
        if self._bootstrap is not None:
            await self._bootstrap.serve_group(self._clock.now(), group, version, elsewhere=True)

    def withdraw(self, group: str, version: str) -> None:
        """Nobody serves a group's version any more."""
        self._aggregation.forget(group, version)

    async def reply(self, call: Call, user: User) -> Reply:
        """Carry out a request of a user who is known. Raises ``Failure``."""
        target = parse_target(call.path)
        if target is not None:
            if self._aggregation.serves(target.group, target.version):
                await self._handler.authorize(user, verb_of(call, target), target, call.one("fieldSelector"))
                return PassedOn(app=self._aggregation.app(target.group, target.version, user))
            if leads_out(target):
                return await self._connect(call, target, user)
            return await self._handler.handle(call, target, user)
        self._authorize_path(call, user)
        if call.method not in ("GET", "HEAD"):
            raise unknown_path()
        if self._discovery.owns(call.path):
            parts = call.path.strip("/").split("/")
            if len(parts) == 3 and self._aggregation.serves(parts[1], parts[2]):
                return PassedOn(app=self._aggregation.app(parts[1], parts[2], user))
            await self.storage.settled()
            return self._discovery.answer(call)
        if self._openapi.owns(call.path):
            return self._openapi.answer(call)
        found = self._plain(call)
        if found is None:
            raise unknown_path()
        return found

    async def _connect(self, call: Call, target: Target, user: User) -> Reply:
        await self._handler.authorize(user, verb_of(call, target), target)
        if self.connector is None:
            raise unavailable(f"nothing here leads to {target.plural}/{target.subresource}: the cluster has no nodes")
        await self.storage.settled()
        return PassedOn(app=await self.connector.connect(connection(call, target)))

    def _passes_on(self, call: Call) -> bool:
        """Whether somebody else reads the body."""
        target = parse_target(call.path)
        return target is not None and (leads_out(target) or self._aggregation.serves(target.group, target.version))

    def _plain(self, call: Call) -> BytesReply | None:
        document = self._access.document(call.path)
        if document is not None:
            return BytesReply(body=msgspec.json.encode(document))
        if call.path.rstrip("/") == "/version":
            return health.version_reply(self.version)
        if call.path == "/metrics":
            return health.metrics_reply(self.storage, self._requests)
        return health.health_reply(call, ready=self._ready)

    def _authorize_path(self, call: Call, user: User) -> None:
        verb = {"GET": "get", "HEAD": "get"}.get(call.method, call.method.lower())
        if not self._access.authorize(user, Attributes(verb=verb, path=call.path)).allowed:
            raise forbidden_path(user.name, verb, call.path)

    def watching(self, watch: Watch) -> None:
        """A watch in this process has begun; ``watched`` when it is over."""
        self._watches.add(watch)

    def watched(self, watch: Watch) -> None:
        self._watches.discard(watch)

    async def end_after(self, watch: Watch, seconds: float) -> None:
        """End a watch of this process when its time is over."""
        await self._clock.sleep(seconds)
        watch.stop()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = read_head(scope)
        status = 0
        try:
            status = await self._answer(call, scope, receive, send)
        except ClientGone:
            return
        finally:
            if status:
                self._count(call, status)

    async def _answer(self, call: Call, scope: Scope, receive: Receive, send: Send) -> int:
        try:
            user = await self._access.authenticate(call.headers, scope.get("state", {}).get("peer_certificate"))
            if call.method in ("GET", "HEAD") or self._passes_on(call):
                whole = call
            else:
                whole = call.with_body(await read_body(receive))
            found = await self.reply(whole, user)
        except Failure as problem:
            return await refuse(problem, call, send)
        except StatusError as problem:
            return await refuse(Failure(problem.status), call, send)
        except ClientGone:
            raise
        except Exception as problem:
            _log.exception("%s %s failed", call.method, call.path)
            return await refuse(internal(f"{type(problem).__name__}: {problem}"), call, send)
        if isinstance(found, PassedOn):
            await found.app(scope, receive, send)
            return 0
        return await answer(found, call, receive, send, self._clock, self._fanout)

    def _count(self, call: Call, status: int) -> None:
        target = parse_target(call.path)
        if target is None or self.registry.find(target.group, target.version, target.plural) is None:
            return
        try:
            key = (verb_of(call, target).upper(), target.plural, status)
        except Failure:
            return
        self._requests[key] = self._requests.get(key, 0) + 1

    async def _follow_definitions(self) -> None:
        """Keep the list of APIs to what is defined."""
        changed = asyncio.Event()
        end = self.storage.listen(DEFINITIONS, lambda _: changed.set())
        try:
            while True:
                await changed.wait()
                changed.clear()
                if self._bootstrap is not None:
                    await self._bootstrap.serve_what_is_defined(self._clock.now())
        finally:
            end()

    async def _bookmarks(self) -> None:
        while True:
            await self._clock.sleep(_BOOKMARK_S)
            self._fanout.bookmark()
            for watch in self._watches:
                watch.bookmark()
