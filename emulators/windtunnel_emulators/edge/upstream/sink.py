"""The end of the queue to the cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.edge.interface import Message, Outcome
    from windtunnel_emulators.edge.upstream.cloud import UpstreamCloud

BATCH = 100


class UpstreamSink:
    """Implements ``edge.interface.Sink``: each message goes over its sender's own connection."""

    def __init__(self, cloud: UpstreamCloud, batch: int = BATCH) -> None:
        self._cloud = cloud
        self._batch = batch

    @property
    def batch(self) -> int:
        return self._batch

    async def ready(self) -> None:
        await self._cloud.reached()

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        return await self._cloud.send(messages)
