"""The quota of services. Row 10."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel.errors import NotFound, QuotaExceeded
from windtunnel.interface import Capability

if TYPE_CHECKING:
    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place


class CapacityContract:
    """Where a platform has a limit, it says so and loses nothing."""

    @pytest.mark.requires(Capability.QUOTA)
    def test_more_than_the_quota_is_refused_with_the_number_and_nothing_is_made(
        self, place: Place, digits: Digits
    ) -> None:
        made: list[str] = []

        def fill() -> None:
            for spec in place.beyond_quota(digits.model):
                made.append(spec.name)
                place.backend.deploy(spec).result(place.patience_s)

        try:
            with pytest.raises(QuotaExceeded, match=r"(?s)[Qq]uota.*\d"):
                fill()
            with pytest.raises(NotFound):
                place.backend.get(place.target, made[-1])
        finally:
            for name in made:
                place.backend.delete(place.target, name).result(place.patience_s)
