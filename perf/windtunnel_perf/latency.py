"""``Latency``: a histogram of times with three significant digits (HdrHistogram)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # has no types

if TYPE_CHECKING:
    from collections.abc import Mapping

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
_LONGEST_US = 3_600_000_000
_DIGITS = 3


class _Histogram(Protocol):
    def record_value(self, value: int) -> bool: ...
    def get_value_at_percentile(self, percentile: float) -> int: ...
    def get_max_value(self) -> int: ...
    def get_mean_value(self) -> float: ...
    def get_total_count(self) -> int: ...


class Latency:
    """Times are added in seconds and read in milliseconds."""

    def __init__(self) -> None:
        self._histogram = cast("_Histogram", HdrHistogram(1, _LONGEST_US, _DIGITS))

    def add(self, seconds: float) -> None:
        """Add one time; less than a microsecond counts as one."""
        self._histogram.record_value(min(_LONGEST_US, max(1, round(seconds * 1e6))))

    @property
    def count(self) -> int:
        """How many were added."""
        return self._histogram.get_total_count()

    def percentile_ms(self, percentile: float) -> float:
        """0 when nothing was added."""
        return self._histogram.get_value_at_percentile(percentile) / 1000 if self.count else 0.0

    @property
    def maximum_ms(self) -> float:
        """0 when nothing was added."""
        return self._histogram.get_max_value() / 1000 if self.count else 0.0

    @property
    def mean_ms(self) -> float:
        """0 when nothing was added."""
        return self._histogram.get_mean_value() / 1000 if self.count else 0.0

    def summary(self) -> Mapping[str, float]:
        """``p50, p90, p99, p99.9, max, mean``, in milliseconds."""
        values = {f"p{p:g}": self.percentile_ms(p) for p in PERCENTILES}
        return {k: round(v, 3) for k, v in {**values, "max": self.maximum_ms, "mean": self.mean_ms}.items()}
