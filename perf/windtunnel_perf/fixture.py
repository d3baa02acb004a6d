"""The part of pytest-benchmark's fixture that the benchmarks use, with types (the package has none for it)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Benchmark(Protocol):
    """pytest-benchmark's ``benchmark`` fixture."""

    extra_info: dict[str, Any]

    def pedantic(
        self, target: Callable[[], object], *, rounds: int = 1, iterations: int = 1, warmup_rounds: int = 0
    ) -> object: ...
