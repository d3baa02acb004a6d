"""APIs that others serve behind this server's address: requests are passed on with who asks, in headers.

An application in this process registers itself. An APIService that names a service nobody registered for is listed as
unavailable, and its requests get 503.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.api.failures import unavailable

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import ASGI, Message, Receive, Scope, Send
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import User
    from windtunnel_emulators.kubernetes.api.registry import Registry

_USER_HEADERS = (b"authorization", b"x-remote-user", b"x-remote-group", b"x-remote-uid")


class Aggregation:
    """Who serves which groups."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._apps: dict[tuple[str, str], ASGI] = {}

    async def register(self, group: str, version: str, app: ASGI) -> None:
        """Pass requests on to ``app``, which answers ``GET /apis/GROUP/VERSION`` with its resources."""
        self._apps[(group, version)] = app
        found = await fetch(app, f"/apis/{group}/{version}")
        self._registry.set_elsewhere(group, version, described(version, found))

    def forget(self, group: str, version: str) -> None:
        """Nobody serves a group's version any more."""
        self._apps.pop((group, version), None)
        self._registry.set_elsewhere(group, version, None)

    def serves(self, group: str, version: str) -> bool:
        """Whether requests are passed on."""
        return (group, version) in self._apps or (self._registry.described_elsewhere(group, version) is not None)

    def app(self, group: str, version: str, user: User) -> ASGI:
        """The application for a request of ``user``. Raises ``Failure`` 503."""
        found = self._apps.get((group, version))
        if found is None:
            raise unavailable("service unavailable")

        async def passed_on(scope: Scope, receive: Receive, send: Send) -> None:
            kept = [
                (name, value)
                for name, value in scope["headers"]
                if name not in _USER_HEADERS and not name.startswith(b"x-remote-extra-")
            ]
            kept.append((b"x-remote-user", user.name.encode()))
            kept.extend((b"x-remote-group", group_name.encode()) for group_name in user.groups)
            await found({**scope, "headers": kept}, receive, send)

        return passed_on


async def fetch(app: ASGI, path: str) -> JsonObject:
    """The JSON that an application answers ``GET`` with; empty if it answers anything but 200."""
    status = 0
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"accept", b"application/json"), (b"x-remote-user", b"system:aggregator")],
        "client": None,
        "server": None,
        "state": {},
    }
    await app(scope, receive, send)
    if int(status) != 200:
        return {}
    found: Json = msgspec.json.decode(b"".join(parts))
    return as_object(found)


def described(version: str, listed: JsonObject) -> JsonObject:
    """An ``APIResourceList`` as a version of aggregated discovery."""
    resources: dict[str, JsonObject] = {}
    for item in as_list(listed.get("resources")):
        entry = as_object(item)
        name, _, subresource = as_str(entry.get("name")).partition("/")
        kind: JsonObject = {
            "group": as_str(entry.get("group")),
            "version": as_str(entry.get("version")),
            "kind": entry.get("kind"),
        }
        if subresource:
            holder = resources.get(name)
            if holder is not None:
                shown: JsonObject = {
                    "subresource": subresource,
                    "responseKind": kind,
                    "verbs": as_list(entry.get("verbs")),
                }
                holder["subresources"] = [*as_list(holder.get("subresources")), shown]
            continue
        resources[name] = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if entry.get("namespaced") else "Cluster",
            "singularResource": as_str(entry.get("singularName")),
            "verbs": as_list(entry.get("verbs")),
        }
        for ours, theirs in (("shortNames", "shortNames"), ("categories", "categories")):
            if entry.get(theirs):
                resources[name][ours] = entry[theirs]
    return {"version": version, "resources": [*resources.values()], "freshness": "Current"}
