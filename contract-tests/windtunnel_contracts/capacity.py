"""The quota of services. Row 10."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel.errors import NotFound, QuotaExceeded
from windtunnel.interface import Capability
from windtunnel.spec import AciOptions, Spec

if TYPE_CHECKING:
    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place


class CapacityContract:
    """Where a platform has a limit, it says so and loses nothing."""

    @pytest.mark.requires(Capability.QUOTA)
    def test_more_than_the_quota_is_refused_with_the_number_and_nothing_is_made(
        self, place: Place, digits: Digits
    ) -> None:
        # 100 cores in a region are the most that Azure grants by default; four groups of the largest size are 124.
        largest = AciOptions(cpu=31, memory_gb=31)
        made: list[str] = []

        def fill() -> None:
            for _ in range(4):
                made.append(place.fresh_name())
                spec = Spec(name=made[-1], model=digits.model, target=place.target, aci=largest)
                place.backend.deploy(spec).result(place.patience_s)

        try:
            with pytest.raises(QuotaExceeded, match=r"[Qq]uota.*\d"):
                fill()
            with pytest.raises(NotFound):
                place.backend.get(place.target, made[-1])
        finally:
            for name in made:
                place.backend.delete(place.target, name).result(place.patience_s)
