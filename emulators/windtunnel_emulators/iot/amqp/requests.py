"""Requests and answers over a pair of links: ``$cbs`` takes tokens, ``$management`` tells of the built-in endpoint.

The answer goes to the client's receiver of the same session that is attached to the same name, with the request's
``message-id`` as its ``correlation-id``, of the same type (wire-iot, trap 30).
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from proton import UNDESCRIBED, Array, Data, int32, symbol, timestamp

from windtunnel_emulators.iot.amqp.addresses import path_of
from windtunnel_emulators.iot.amqp.errors import LIMIT_EXCEEDED, NOT_ALLOWED, AmqpRefusal
from windtunnel_emulators.iot.amqp.links import Incoming, Outgoing
from windtunnel_emulators.iot.amqp.messages import decoded, encoded
from windtunnel_emulators.iot.hub.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Callable

    from proton import Delivery, Link, Receiver, Sender

    from windtunnel_emulators.iot.amqp.connection import AmqpConnection
    from windtunnel_emulators.iot.amqp.messages import Received
    from windtunnel_emulators.iot.hub.hub import Hub

Answered: TypeAlias = "dict[str, object] | None"
_ARRAY: Any = Array
_STRING: Any = Data.STRING  # type: ignore[attr-defined,unused-ignore]  # pyright: ignore[reportUnknownMemberType]  # from C
_MOST_WAITING = 100
_OK = 200
_CONDITIONS = {401: "amqp:unauthorized-access", 404: "amqp:not-found"}
_log = logging.getLogger(__name__)


class Answers(Outgoing):
    """The client's receiver of answers."""

    def __init__(self, connection: AmqpConnection, link: Sender) -> None:
        super().__init__(connection, link)
        self._waiting: deque[bytes] = deque()

    def answer(self, data: bytes) -> None:
        """Send, now or when there is credit."""
        if len(self._waiting) >= _MOST_WAITING:
            raise AmqpRefusal(LIMIT_EXCEEDED, "Too many answers wait for credit.")
        self._waiting.append(data)
        self.pump()

    def pump(self) -> bool:
        while self._waiting and self.link.credit > 0:
            self.send(self._waiting.popleft())
        return False


class Requests(Incoming):
    """The client's sender of requests. ``act`` answers one; it raises ``HubError``."""

    def __init__(
        self, connection: AmqpConnection, link: Receiver, act: Callable[[AmqpConnection, Received], Answered]
    ) -> None:
        super().__init__(connection, link)
        self._act = act

    def delivered(self, delivery: Delivery, data: bytes) -> None:
        request = decoded(data)
        answers = self._answers(request.reply_to)
        status, description, body = _OK, "OK", None
        try:
            body = self._act(self.connection, request)
        except HubError as problem:
            status, description = problem.status, problem.message
            _log.warning("a request to %s over AMQP is refused: %s", self.link.target.address, problem)
        properties: dict[str, object] = {"status-code": int32(status), "status-description": description}
        if status != _OK:
            # azure-eventhub looks for the description under the name that a later draft of the standard has.
            properties["statusDescription"] = description
            properties["error-condition"] = symbol(_CONDITIONS.get(status, "amqp:not-allowed"))
        answers.answer(encoded(body=body, properties=properties, correlation_id=request.id))

    def _answers(self, reply_to: str) -> Answers:
        found = [
            node
            for node in self.connection.nodes.values()
            if isinstance(node, Answers) and node.link.session == self.link.session
        ]
        for node in found:
            if reply_to and reply_to in (node.link.remote_target.address, node.link.remote_source.address):
                return node
        same = [node for node in found if _name(node.link) == path_of(self.link.target.address or "").lower()]
        if not same:
            raise AmqpRefusal(NOT_ALLOWED, f"There is no receiver for the answer: {reply_to[:100]!r}.")
        return same[0]


def put_token(connection: AmqpConnection, request: Received) -> Answered:
    """``$cbs``. Raises ``HubError``."""
    operation = request.text("operation")
    if operation != "put-token":
        raise HubError(400, "ArgumentInvalid", f"$cbs knows the operation 'put-token', and not '{operation[:80]}'.")
    token = request.octets
    if not token:
        raise HubError(400, "ArgumentInvalid", "The body of a put-token request is the token, a text.")
    connection.grants.put(request.text("name"), request.text("type"), token.decode("utf-8", "replace"))
    return None


class Management:
    """``$management`` of the built-in endpoint: the operation READ on it, and on its partitions."""

    def __init__(self, hub: Hub, events: str) -> None:
        """``events`` is the endpoint's name."""
        self._hub = hub
        self._events = events

    def __call__(self, connection: AmqpConnection, request: Received) -> Answered:
        """Raises ``HubError``."""
        operation, kind, name = request.text("operation"), request.text("type"), request.text("name")
        try:
            connection.grants.check(name)
        except AmqpRefusal as refusal:
            raise HubError(401, "Unauthorized", refusal.message) from refusal
        if operation != "READ":
            raise HubError(400, "ArgumentInvalid", f"$management knows the operation READ, and not '{operation[:80]}'.")
        if name.lower() != self._events.lower():
            raise HubError(
                404,
                "NotFound",
                f"The messaging entity '{name[:200]}' could not be found; this hub's is '{self._events}'.",
            )
        if kind == "com.microsoft:eventhub":
            return self._endpoint()
        if kind == "com.microsoft:partition":
            return self._partition(request.text("partition"))
        raise HubError(
            400,
            "ArgumentInvalid",
            f"com.microsoft:eventhub and com.microsoft:partition can be read, not '{kind[:80]}'.",
        )

    def _endpoint(self) -> Answered:
        definition = self._hub.definition
        created = definition.created()
        return {
            "name": self._events,
            "type": "com.microsoft:eventhub",
            "created_at": timestamp(int(created.timestamp() * 1000) if created else 0),
            "partition_count": int32(definition.partitions),
            "partition_ids": _ARRAY(UNDESCRIBED, _STRING, *(str(number) for number in range(definition.partitions))),
        }

    def _partition(self, text: str) -> Answered:
        partition = partition_number(text, self._hub.definition.partitions)
        if partition is None:
            raise HubError(400, "ArgumentOutOfRange", no_partition(text, self._hub.definition.partitions))
        state = self._hub.messages.state(partition)
        return {
            "name": self._events,
            "type": "com.microsoft:partition",
            "partition": text,
            "begin_sequence_number": state.first_sequence,
            "last_enqueued_sequence_number": state.last_sequence,
            "last_enqueued_offset": str(state.last_offset),
            "last_enqueued_time_utc": timestamp(state.last_enqueued),
            "is_partition_empty": state.is_empty,
        }


def partition_number(text: str, partitions: int) -> int | None:
    """None for what is no partition."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 4 and int(text) < partitions else None


def no_partition(text: str, partitions: int) -> str:
    return (
        f"The specified partition is invalid for an EventHub partition sender or receiver: '{text[:40]}'. It should be"
        f" between 0 and {partitions - 1}."
    )


def _name(link: Link) -> str:
    address: Any = link.remote_source.address
    return path_of(address or "").lower()
