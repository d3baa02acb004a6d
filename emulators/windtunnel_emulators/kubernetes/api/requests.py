"""A request, and what of the API it is about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from windtunnel_emulators.asgi import chunks
from windtunnel_emulators.kubernetes.api.failures import bad_request, too_large

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.asgi import Receive, Scope

MOST_BYTES = 3 * 1024 * 1024
"""The real server's limit on bodies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A path below ``/api`` or ``/apis``, taken apart."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource, as in ``pods/x/proxy/REST``, with its slash."""
    watched: bool = False
    """The path is one of the old ``/watch/`` paths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request: from a socket, or from a client in this process."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes = field(default=b"", repr=False)
    raw_path: str = ""
    """Percent-encoded, as it came."""
    raw_query: str = ""

    def with_body(self, body: bytes) -> Call:
        """The same request with its body."""
        return replace(self, body=body)

    def one(self, name: str) -> str:
        """The first value of a query parameter; empty when there is none."""
        values = self.query.get(name)
        return values[0] if values else ""

    def flag(self, name: str) -> bool:
        """A query parameter that is true or false. Raises ``Failure`` 400."""
        values = self.query.get(name)
        if not values:
            return False
        # apimachinery's conversion: anything but these is true.
        return values[0].lower() not in ("false", "0")

    def number(self, name: str) -> int | None:
        """A query parameter that is a whole number. Raises ``Failure`` 400."""
        text = self.one(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def read_head(scope: Scope) -> Call:
    """The request of an ASGI scope, without its body."""
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        headers[name] = f"{headers[name]},{text}" if name in headers else text
    return Call(
        method=scope.get("method", "GET"),
        path=scope["path"],
        query=parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True),
        headers=headers,
        raw_path=scope.get("raw_path", b"").partition(b"?")[0].decode("latin-1"),
        raw_query=scope.get("query_string", b"").decode("latin-1"),
    )


async def read_body(receive: Receive) -> bytes:
    """The body of a request. Raises ``Failure`` 413, and ``ClientGone``."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks(receive):
        size += len(chunk)
        if size > MOST_BYTES:
            raise too_large(MOST_BYTES)
        parts.append(chunk)
    return b"".join(parts)


def parse_target(path: str) -> Target | None:
    """What a path is about; None when it is no resource's."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, parts = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return None
    watched = parts[0] == "watch" and len(parts) > 1
    if watched:
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) == 2 or (len(parts) == 3 and parts[2] in ("status", "finalize")):
            sub = parts[2] if len(parts) == 3 else ""
            return Target(
                group=group,
                version=version,
                plural="namespaces",
                name=namespace,
                subresource=sub,
                watched=watched,
            )
        parts = parts[2:]
    name, subresource = [*parts[1:3], "", ""][:2]
    rest = ""
    if len(parts) > 3:
        # The path as it was: a proxied path may have empty parts, and a slash at its end.
        rest = "/" + path.split(f"/{name}/{subresource}/", 1)[-1]
    elif subresource and path.endswith("/"):
        rest = "/"
    return Target(
        group=group,
        version=version,
        plural=parts[0],
        namespace=namespace,
        name=name,
        subresource=subresource,
        rest=rest,
        watched=watched,
    )
