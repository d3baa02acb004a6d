"""What local clients send, on its way into the queues: whose it is, to which output, where it is to go.

A bag goes on as it came, without what only the hub may say: the output (``$.on``) becomes part of the message, and who
sent it (``$.cdid``, ``$.cmid``) is known from the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from windtunnel_emulators.edge.interface import UPSTREAM, Kind, Message
from windtunnel_emulators.iot.hub import bags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.interface import Queues, Router, Target
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.jsontypes import JsonObject

_OUTPUT = "$.on"
_OURS = frozenset((_OUTPUT, "$.cdid", "$.cmid"))
_TWIN_CHANGE = bags.encode(
    {"$.ct": "application/json", "$.ce": "utf-8", "$.schema": "twinChangeNotification"},
)


class Nowhere:
    """The routes of a device that has none."""

    def targets(self, message: Message) -> Sequence[Target]:
        return ()


class Intake:
    """The way into the queues."""

    def __init__(self, queues: Queues, clock: Clock, attach: Callable[[str], None]) -> None:
        """``attach`` is told of each endpoint before the first message for it."""
        self.router: Router = Nowhere()
        self._queues = queues
        self._clock = clock
        self._attach = attach
        self._attached: set[str] = set()

    def telemetry(self, who: Who, bag: str, body: bytes, taken: Callable[[], None]) -> None:
        """``taken`` is called once the message is safe."""
        output, rest = split(bag)
        self._put(
            Message(
                sender=who,
                output=output if who.module else None,
                bag=rest,
                body=body,
                enqueued=self._clock.now().timestamp(),
            ),
            taken,
        )

    def twin_change(self, who: Who, patch: JsonObject) -> None:
        """Reported properties are routed like telemetry."""
        message = Message(
            sender=who,
            kind=Kind.TWIN_CHANGE,
            bag=_TWIN_CHANGE,
            body=msgspec.json.encode(patch),
            enqueued=self._clock.now().timestamp(),
        )
        self._put(message, lambda: None)

    def attach(self, endpoint: str) -> None:
        """Have an endpoint's messages delivered; safe to repeat. The way to the cloud is not the hub's."""
        if endpoint not in self._attached:
            self._attached.add(endpoint)
            if endpoint != UPSTREAM:
                self._attach(endpoint)

    def _put(self, message: Message, taken: Callable[[], None]) -> None:
        targets = self.router.targets(message)
        for target in targets:
            if target.endpoint not in self._attached:
                self.attach(target.endpoint)
        self._queues.append(message, targets, taken)


def split(bag: str) -> tuple[str | None, str]:
    """The output that a bag names, and the bag without what only the hub may say."""
    output: str | None = None
    rest: list[str] = []
    for part in bag.strip("/").split("&"):
        name, _, value = part.partition("=")
        plain = unquote(name)
        if plain == _OUTPUT:
            # Node ends its bag with a slash, which a name that is encoded does not have.
            output = unquote(value) or None
        if part and plain not in _OURS:
            rest.append(part)
    return output, "&".join(rest)
