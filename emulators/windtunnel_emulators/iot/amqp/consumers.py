"""Who reads which partition for which consumer group: Event Hubs' rules for several readers of the same.

Five readers without an owner level at most. One with a level (an epoch) is alone: it ends those without, and those
whose level is not above its own; while it is there nobody else may come but with a level at least as high.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.iot.amqp.errors import LIMIT_EXCEEDED, STOLEN, AmqpRefusal

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 5
"""Readers of one partition for one group ("Azure Event Hubs quotas and limits")."""


class Reader(Protocol):
    """One link that reads."""

    @property
    def name(self) -> str: ...
    @property
    def level(self) -> int | None:
        """Its owner level."""
        ...

    def end(self, why: AmqpRefusal) -> None:
        """Close it."""
        ...


class Consumers:
    """The readers of one hub's events."""

    def __init__(self) -> None:
        self._readers: dict[tuple[str, int], list[Reader]] = {}

    def add(self, group: str, partition: int, reader: Reader) -> None:
        """Let a reader in. Raises ``AmqpRefusal``."""
        key = (group.lower(), partition)
        present = self._readers.get(key, [])
        leader = max((one.level for one in present if one.level is not None), default=None)
        if leader is not None and (reader.level is None or reader.level < leader):
            raise AmqpRefusal(STOLEN, _refused(reader, leader))
        if reader.level is None and len(present) >= MOST:
            raise AmqpRefusal(
                LIMIT_EXCEEDED,
                f"Exceeded the maximum number of allowed receivers per partition in a consumer group which is {MOST}."
                " Close one of them, or use a consumer group of your own.",
            )
        self._readers[key] = [reader] if reader.level is not None else [*present, reader]
        if reader.level is not None:
            for one in present:
                one.end(AmqpRefusal(STOLEN, _replaced(one, reader)))

    def remove(self, group: str, partition: int, reader: Reader) -> None:
        """A reader is gone; safe to repeat."""
        key = (group.lower(), partition)
        left = [one for one in self._readers.get(key, []) if one is not reader]
        if left:
            self._readers[key] = left
        else:
            self._readers.pop(key, None)

    def of(self, group: str, partition: int) -> Sequence[Reader]:
        """Who reads now."""
        return tuple(self._readers.get((group.lower(), partition), ()))


def _refused(reader: Reader, leader: int) -> str:
    if reader.level is None:
        return (
            f"At least one receiver for the endpoint is created with epoch of '{leader}', and so non-epoch receiver is"
            " not allowed. Either reconnect with a higher epoch, or make sure all epoch receivers are closed or"
            " disconnected."
        )
    return (
        f"Receiver '{reader.name}' with a lower epoch '{reader.level}' is not allowed: one with the epoch '{leader}'"
        " exists."
    )


def _replaced(old: Reader, new: Reader) -> str:
    return (
        f"New receiver '{new.name}' with higher epoch of '{new.level}' is created hence current receiver '{old.name}'"
        f" with epoch '{old.level if old.level is not None else '-'}' is getting disconnected."
    )
