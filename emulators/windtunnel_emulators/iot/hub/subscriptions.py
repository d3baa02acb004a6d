"""What one client has subscribed to, as a hub keeps it: filters in its session, and the feeds that they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub import topics
from windtunnel_emulators.iot.mqtt.errors import ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.iot.hub.topics import Feed


class Subscriptions:
    """The subscriptions of one connection."""

    def __init__(
        self, who: Who, filters: Mapping[str, int] | None, save: Callable[[Who, Mapping[str, int]], None]
    ) -> None:
        """``filters`` are those of its session; None for a client that wants none kept: ``save`` is not called then."""
        self._who = who
        self._save = None if filters is None else save
        self._filters = dict(filters or {})
        self._known = topics.feeds_of(who)
        self._feeds: dict[Feed, int] = {}
        self._read()

    @property
    def feeds(self) -> frozenset[Feed]:
        return frozenset(self._feeds)

    def qos(self, feed: Feed) -> int | None:
        """The quality of service of a feed; None for one that is not subscribed to."""
        return self._feeds.get(feed)

    def add(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        """What each filter is granted. Raises ``ProtocolViolation``: a refusal by SUBACK is not noticed by clients."""
        unknown = [name for name, _ in filters if name not in self._known]
        if unknown:
            raise ProtocolViolation(f"a subscription to {unknown[0][:200]!r}, which is no filter of '{self._who}'")
        granted = [min(qos, 1) for _, qos in filters]
        self._filters.update((name, qos) for (name, _), qos in zip(filters, granted, strict=True))
        self._keep()
        return granted

    def remove(self, filters: Sequence[str]) -> None:
        for name in filters:
            self._filters.pop(name, None)
        self._keep()

    def _keep(self) -> None:
        if self._save is not None:
            self._save(self._who, self._filters)
        self._read()

    def _read(self) -> None:
        self._feeds = {}
        for name, qos in self._filters.items():
            feed = self._known.get(name)
            if feed is not None:
                self._feeds[feed] = max(qos, self._feeds.get(feed, 0))
