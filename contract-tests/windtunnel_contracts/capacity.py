"""The quota of services. Row 10."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel.aks_options import AksOptions
from windtunnel.errors import NotFound, QuotaExceeded
from windtunnel.interface import Capability, ServiceState
from windtunnel.spec import Change, Spec

if TYPE_CHECKING:
    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place


@pytest.mark.requires(Capability.PREDICT)
class CapacityContract:
    """Where a platform has a limit, it says so and loses nothing."""

    @pytest.mark.requires(Capability.CLUSTER)
    def test_a_service_that_no_node_has_room_for_is_unschedulable_and_says_why(
        self, place: Place, digits: Digits
    ) -> None:
        name = place.fresh_name()
        too_large = AksOptions(num_replicas=1, cpu_cores=1000)
        spec = Spec(name=name, model=digits.model, target=place.target, aks=too_large)
        place.backend.deploy(spec).result(place.patience_s)
        found = place.wait_for(name, lambda d: d.state is ServiceState.UNSCHEDULABLE)
        assert found.error is not None
        assert "Insufficient cpu" in found.error
        place.backend.update(place.target, name, Change(cpu=0.1)).result(place.patience_s)
        assert place.wait(name).state is ServiceState.HEALTHY

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
