"""The cluster that services share: made once, reused, of a size that its purpose asks for. Row 15."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel.errors import InvalidSpec, NotFound
from windtunnel.interface import Capability
from windtunnel.spec import Spec

if TYPE_CHECKING:
    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place


@pytest.mark.requires(Capability.CLUSTER)
class ClusterContract:
    """A cluster is made by the first deployment and serves the others."""

    def test_two_services_share_the_cluster(self, place: Place, digits: Digits) -> None:
        with place.shared(digits.model) as one:
            cluster = place.backend.clusters.require()
            with place.shared(digits.model) as two:
                assert place.backend.clusters.require() == cluster
                hosts = {s.deployment.scoring_uri.partition("/api/")[0] for s in (one, two) if s.deployment.scoring_uri}
                assert len(hosts) == 1
                assert two.ask(digits.request(1)).status == 200
            assert one.ask(digits.request(1)).status == 200

    def test_a_cluster_too_small_for_production_is_refused_and_none_is_made(self, place: Place, digits: Digits) -> None:
        small = {"cluster": place.fresh_cluster(), "agent_count": "2", "vm_size": "Standard_D3_v2"}
        with place.variant({**small, "cluster_purpose": "FastProd"}) as other:
            spec = Spec(name=other.fresh_name(), model=digits.model, target=other.target)
            with pytest.raises(InvalidSpec, match="12"):
                other.backend.deploy(spec).result(place.patience_s)
            with pytest.raises(NotFound):
                other.backend.clusters.require()

    def test_a_small_cluster_for_development_is_made_and_made_again_once_it_was_deleted(
        self, place: Place, digits: Digits
    ) -> None:
        name = place.fresh_cluster()
        with place.variant({"cluster": name, "cluster_purpose": "DevTest"}) as other:
            clusters, made = other.backend.clusters, list[str]()
            for _ in range(2):
                with other.shared(digits.model) as service:
                    made.append(clusters.require().id)
                    assert service.ask(digits.request(1)).status == 200
                    assert clusters.delete(name).result(place.patience_s) is True
                with pytest.raises(NotFound):
                    clusters.require()
            assert made[0] == made[1]
            assert clusters.delete(name).result(place.patience_s) is False
