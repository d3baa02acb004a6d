"""Who connects, as the user name of a CONNECT says it.

``{hub}/{device}/?api-version=V&...`` and ``{hub}/{device}/{module}/?...``; without the question mark; and the form of
old clients, ``{hub}/{device}/api-version=V/DeviceClientType=product/1.0``. The first of a repeated key counts, and the
key api-version has to be there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote

from windtunnel_emulators.iot.hub.identity import Who

_VERSION = "api-version="


class BadUsername(Exception):
    """The user name says not who connects; the message is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Username:
    """A user name that was taken apart."""

    host: str
    """The hub's name in lower case."""
    who: Who
    options: dict[str, str] = field(default_factory=dict[str, str])
    """The query, plainly: ``api-version``, ``DeviceClientType``, ``model-id``, ``auth-chain``."""

    @property
    def client_id(self) -> str:
        """What the client has to be called."""
        return str(self.who)

    @property
    def chain(self) -> tuple[Who, ...]:
        """The identities between this one and the hub, nearest first: what a nested edge hub says on its behalf."""
        found: list[Who] = []
        for part in self.options.get("auth-chain", "").split(";"):
            device, _, module = part.partition("/")
            if device:
                found.append(Who(device, module))
        return tuple(found)


def parse(text: str) -> Username:
    """Raises ``BadUsername``."""
    before, mark, query = text.partition("?")
    segments = before.split("/")
    if not mark:
        start = next((at for at, part in enumerate(segments) if at >= 2 and _VERSION in part), len(segments))
        query = _joined(segments[start:])
        segments = segments[:start]
    elif segments[-1] == "":
        segments.pop()
    if len(segments) not in (2, 3) or not all(segments):
        raise BadUsername(f"the user name {text[:200]!r} is not HUB/DEVICE[/MODULE]/?api-version=VERSION")
    options: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if equals:
            options.setdefault(unquote(name), unquote(value))
    if not options.get("api-version", "").strip():
        raise BadUsername(f"the user name {text[:200]!r} has no api-version")
    host, device, *module = segments
    return Username(host=host.lower(), who=Who(device, module[0] if module else ""), options=options)


def _joined(segments: list[str]) -> str:
    """The query of a user name that has slashes in place of ampersands; one inside a value is part of it."""
    found = ""
    for segment in segments:
        found += ("&" if found and "=" in segment else "/" if found else "") + segment
    return found
