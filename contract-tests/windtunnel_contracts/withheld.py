"""The other direction: what a backend withholds it refuses, with the reason of its offer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel.errors import Unsupported
from windtunnel.interface import Capability
from windtunnel.spec import Script, Spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place


class WithheldContract:
    """Otherwise a backend could hide a failure by not declaring what it cannot do."""

    def test_every_capability_is_offered_or_withheld_with_a_reason(self, place: Place) -> None:
        offer = place.backend.offer(place.target)
        unexplained = [c for c in Capability if c not in offer.can and not offer.cannot.get(c)]
        assert unexplained == []
        assert not offer.can & set(offer.cannot)

    @pytest.mark.lacks(Capability.PREDICT)
    def test_a_target_that_is_not_served_refuses_a_deployment(self, place: Place, digits: Digits) -> None:
        _refused_spec(place, Capability.PREDICT, _spec(place, digits))

    @pytest.mark.lacks(Capability.SCALE)
    def test_scaling_is_refused(self, place: Place) -> None:
        _refused(place, Capability.SCALE, lambda: place.backend.scale(place.target, place.fresh_name(), 2).result(60))

    @pytest.mark.lacks(Capability.TOKENS)
    def test_tokens_are_refused(self, place: Place) -> None:
        _refused(place, Capability.TOKENS, lambda: place.backend.token(place.target, place.fresh_name()))

    @pytest.mark.requires(Capability.PREDICT)
    @pytest.mark.lacks(Capability.AUTOSCALE)
    def test_autoscaling_is_refused(self, place: Place, digits: Digits) -> None:
        _refused_spec(place, Capability.AUTOSCALE, replace(_spec(place, digits), autoscale=True))

    @pytest.mark.requires(Capability.PREDICT)
    @pytest.mark.lacks(Capability.APP_INSIGHTS)
    def test_application_insights_is_refused(self, place: Place, digits: Digits) -> None:
        _refused_spec(place, Capability.APP_INSIGHTS, replace(_spec(place, digits), app_insights=True))

    @pytest.mark.requires(Capability.PREDICT)
    @pytest.mark.lacks(Capability.DATA_COLLECTION)
    def test_data_collection_is_refused(self, place: Place, digits: Digits) -> None:
        _refused_spec(place, Capability.DATA_COLLECTION, replace(_spec(place, digits), collect_model_data=True))

    @pytest.mark.requires(Capability.PREDICT)
    @pytest.mark.lacks(Capability.SCRIPT)
    def test_scripts_are_refused(self, place: Place, digits: Digits, tmp_path: Path) -> None:
        entry = tmp_path / "score.py"
        entry.write_text("def init():\n    pass\n\n\ndef run(raw):\n    return raw\n", "utf-8")
        _refused_spec(place, Capability.SCRIPT, replace(_spec(place, digits), script=Script(entry=entry)))


def _spec(place: Place, digits: Digits) -> Spec:
    return Spec(name=place.fresh_name(), model=digits.model, target=place.target)


def _refused_spec(place: Place, capability: Capability, spec: Spec) -> None:
    _refused(place, capability, lambda: place.backend.deploy(spec).result(place.patience_s))


def _refused(place: Place, capability: Capability, ask: Callable[[], Any]) -> None:
    with pytest.raises(Unsupported) as refused:
        ask()
    assert refused.value.capability is capability
    assert refused.value.reason == place.backend.offer(place.target).cannot[capability]
