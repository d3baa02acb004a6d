"""``Latency``: how long a request would have taken on the device. A model's figures, never a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.analysis import Analysis

PREFIX = "x-fpga-sim-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Of one request, in milliseconds."""

    npu_ms: float
    queue_ms: float
    total_ms: float

    @classmethod
    def of(cls, analysis: Analysis, *, runs: int, ahead: int) -> Latency:
        """``runs`` one after the other, behind ``ahead`` others: the device takes no batches."""
        line = analysis.timeline
        queue = ahead * line.busy_ms
        further = (runs - 1) * line.busy_ms
        return cls(npu_ms=line.npu_ms + further, queue_ms=queue, total_ms=line.end_to_end_ms + further + queue)

    def metadata(self, device: str, replica: int) -> tuple[tuple[str, str], ...]:
        """For the end of a call."""
        return (
            (f"{PREFIX}npu-us", f"{self.npu_ms * 1000:.0f}"),
            (f"{PREFIX}queue-us", f"{self.queue_ms * 1000:.0f}"),
            (f"{PREFIX}total-us", f"{self.total_ms * 1000:.0f}"),
            (f"{PREFIX}device", device),
            (f"{PREFIX}replica", str(replica)),
            (f"{PREFIX}source", "model"),
        )
