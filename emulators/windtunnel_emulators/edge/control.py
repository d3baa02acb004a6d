"""The control API of one edge device: how it is, and its link to the cloud. HTTP on loopback, with the token of
``ready.json``, which only the device's owner can read.

    GET  /status     the link, who is connected, the queues, the modules
    POST /cut        the cloud is taken away
    POST /restore    ... and given back
    PUT  /faults     another profile of faults (``upstream.faults``); ``{}`` for none

Problems are answered as ``{"message": SENTENCE}``.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.asgi import ClientGone, chunks, respond_json
from windtunnel_emulators.edge.hub.status import status as hub_status
from windtunnel_emulators.edge.upstream.faults import BadFaults, parse
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.edge.agent.agent import Agent
    from windtunnel_emulators.edge.hub.hub import EdgeHub
    from windtunnel_emulators.edge.interface import Cloud
    from windtunnel_emulators.edge.queues import DurableQueues
    from windtunnel_emulators.edge.upstream.link import Link
    from windtunnel_emulators.jsontypes import Json, JsonObject

NAME = "control"
"""Of its port."""
_LARGEST_BODY = 16 * 1024
_METHODS = {"/status": "GET", "/cut": "POST", "/restore": "POST", "/faults": "PUT"}
_log = logging.getLogger(__name__)


class EdgeControl:
    """Answers for one device."""

    def __init__(self, *, link: Link, cloud: Cloud, hub: EdgeHub, queues: DurableQueues, agent: Agent) -> None:
        self.token = secrets.token_urlsafe(32)
        self._link = link
        self._cloud = cloud
        self._hub = hub
        self._queues = queues
        self._agent = agent

    def status(self) -> JsonObject:
        """The whole device, for people and programs."""
        tallies: JsonObject = {
            endpoint: {
                "waiting": tally.waiting,
                "delivered": tally.delivered,
                "dropped": tally.dropped,
                "expired": tally.expired,
            }
            for endpoint, tally in self._queues.tallies().items()
        }
        reported = self._agent.reported
        groups = {**as_object(reported.get("systemModules")), **as_object(reported.get("modules"))}
        return {
            "link": {**self._link.state(), "reachable": self._cloud.is_reachable},
            **hub_status(self._hub),
            "messages": tallies,
            "modules": {name: as_object(one).get("runtimeStatus") for name, one in groups.items()},
            "deployment": {
                "version": reported.get("lastDesiredVersion"),
                "status": reported.get("lastDesiredStatus"),
            },
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            return
        try:
            status, answer = await self._answer(scope, receive)
        except ClientGone:
            return
        await respond_json(send, status, answer)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Json]:
        path, method = scope["path"].rstrip("/"), scope["method"]
        if not self._may(scope):
            return 401, _problem("The token of ready.json is wanted: Authorization: Bearer TOKEN.")
        if path not in _METHODS:
            return 404, _problem(f"There is nothing at {path[:200]}; there is {', '.join(_METHODS)}.")
        if method != _METHODS[path]:
            return 405, _problem(f"{path} takes {_METHODS[path]}, and not {method}.")
        body = bytearray()
        async for chunk in chunks(receive):
            body += chunk
            if len(body) > _LARGEST_BODY:
                return 413, _problem(f"The body is larger than {_LARGEST_BODY} bytes.")
        if path == "/cut":
            self._link.cut()
        elif path == "/restore":
            self._link.restore()
        elif path == "/faults":
            try:
                self._link.set_faults(parse(msgspec.json.decode(bytes(body))))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
                return 400, _problem(f"The body is no JSON: {problem}.")
            except BadFaults as problem:
                return 400, _problem(str(problem))
        if path != "/status":
            _log.info("by order: %s", path.strip("/"))
        return 200, self.status()

    def _may(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, f"Bearer {self.token}".encode())


def _problem(message: str) -> JsonObject:
    return {"message": message}
