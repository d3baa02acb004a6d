"""Versions of a service side by side: blue and green, a canary, a way to reach one of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from windtunnel.aks_options import AksChange, AksOptions
from windtunnel.errors import InvalidSpec, NotFound
from windtunnel.interface import Capability
from windtunnel.spec import Change, Script, Spec

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place, Service

HEADER = "azureml-model-deployment"


@pytest.mark.requires(Capability.VERSIONS, Capability.SCRIPT, Capability.HTTP)
class VersionsContract:
    """A new version gets no request until it is told so, and then as many as it is told."""

    def test_a_version_is_tried_gets_a_share_and_takes_over(self, place: Place, digits: Digits, tmp_path: Path) -> None:
        blue = AksOptions(num_replicas=1, version_name="blue")
        with place.shared(digits.model, script=_script(tmp_path, "blue"), aks=blue) as service:
            name = service.deployment.name
            green = Spec(
                name=name,
                model=digits.model,
                target=place.target,
                script=Script(entry=_script(tmp_path, "green")),
                auth_enabled=False,
                aks=AksOptions(num_replicas=1, version_name="green"),
            )
            place.backend.deploy(green).result(place.patience_s)
            service.wait_until_healthy()
            assert _answers(service, 20) == {"blue": 20}
            reached = service.request("POST", "/score", content=b"{}", headers={HEADER: "green"})
            assert (reached.json(), reached.headers[HEADER]) == ("green", "green")
            _change(place, name, AksChange(version_name="green", traffic_percentile=10))
            place.wait_until(lambda: _answers(service, 100) == {"blue": 90, "green": 10})
            _change(place, name, AksChange(version_name="green", traffic_percentile=0, is_default=True))
            place.wait_until(lambda: _answers(service, 20) == {"green": 20})
            _change(place, name, AksChange(version_name="blue", remove_version=True))
            service.wait_until_healthy()
            assert _answers(service, 20) == {"green": 20}

    def test_shares_that_do_not_add_up_and_versions_that_are_not_there_are_refused(
        self, place: Place, digits: Digits
    ) -> None:
        with place.shared(digits.model) as service:
            name = service.deployment.name
            with pytest.raises(InvalidSpec, match="traffic_percentile cannot be negative or greater than 100"):
                AksChange(traffic_percentile=101)
            with pytest.raises(NotFound, match="no version 'green'"):
                _change(place, name, AksChange(version_name="green", traffic_percentile=10))
            with pytest.raises(InvalidSpec, match="default"):
                _change(place, name, AksChange(version_name=name, remove_version=True))
            assert service.ask(digits.request(1)).status == 200


def _change(place: Place, name: str, change: AksChange) -> None:
    place.backend.update(place.target, name, Change(aks=change)).result(place.patience_s)


def _answers(service: Service, count: int) -> dict[str, int]:
    answers = [service.request("POST", "/score", content=b"{}").json() for _ in range(count)]
    return dict(Counter(answers))


def _script(folder: Path, word: str) -> Path:
    path = folder / word / "score.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"def init():\n    pass\n\n\ndef run(data):\n    return {word!r}\n", "utf-8")
    return path
