"""Names, duplicates, the way to Healthy and to Failed, listing and deletion. Rows 1, 3 and 4 of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel.errors import AlreadyExists, DeploymentFailed, InvalidSpec, ModelError, NotFound, Timeout
from windtunnel.interface import Capability, ServiceState
from windtunnel.spec import Spec

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place


@pytest.mark.requires(Capability.PREDICT)
class DeploymentContract:
    """A service comes, is found, and goes."""

    @pytest.mark.parametrize(
        "name", ["ab", "a" * 33, "Upper", "1digit", "-dash", "dash-", "under_score", "dot.ted", "", "späße"]
    )
    def test_a_name_that_breaks_the_rule_is_refused_with_the_rule(
        self, place: Place, digits: Digits, name: str
    ) -> None:
        with pytest.raises(InvalidSpec, match="provided service name is invalid"):
            Spec(name=name, model=digits.model, target=place.target)

    def test_a_file_that_is_no_model_is_refused_before_anything_is_made(self, place: Place, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(b"this is not a model")
        name = place.fresh_name()
        with pytest.raises(ModelError):
            place.backend.deploy(Spec(name=name, model=path, target=place.target)).result(place.patience_s)
        with pytest.raises(NotFound):
            place.backend.get(place.target, name)

    def test_a_new_service_becomes_healthy_and_says_where_it_answers(self, place: Place, digits: Digits) -> None:
        seen: list[ServiceState] = []
        deployment = place.deploy(digits.model, observe=seen.append)
        assert deployment.state is ServiceState.HEALTHY
        assert deployment.scoring_uri is not None
        if place.backend.offer(place.target).reason(Capability.HTTP) is None:
            assert deployment.scoring_uri.endswith("/score")
            assert deployment.swagger_uri == deployment.scoring_uri.removesuffix("/score") + "/swagger.json"
        assert deployment.model_digest == digits.digest
        assert set(seen) <= {ServiceState.TRANSITIONING, ServiceState.UNHEALTHY, ServiceState.HEALTHY}

    def test_a_service_is_found_by_name_and_in_the_list(self, place: Place, digits: Digits) -> None:
        deployment = place.deploy(digits.model, tags={"team": "wind"})
        found = place.backend.get(place.target, deployment.name)
        assert found.name == deployment.name
        assert found.tags == {"team": "wind"}
        assert deployment.name in {d.name for d in place.backend.list_services(place.target)}

    def test_the_name_of_a_service_that_is_there_is_refused(self, place: Place, digits: Digits) -> None:
        deployment = place.deploy(digits.model)
        with pytest.raises(AlreadyExists, match=deployment.name):
            place.backend.deploy(Spec(name=deployment.name, model=digits.model, target=place.target)).result(
                place.patience_s
            )
        assert place.backend.get(place.target, deployment.name).state is ServiceState.HEALTHY

    def test_overwriting_replaces_the_service(self, place: Place, digits: Digits) -> None:
        name = place.deploy(digits.model, tags={"round": "1"}).name
        again = place.deploy(digits.model, name=name, tags={"round": "2"}, overwrite=True)
        assert again.state is ServiceState.HEALTHY
        assert place.backend.get(place.target, name).tags == {"round": "2"}

    @pytest.mark.requires(Capability.SCRIPT, Capability.LOGS)
    def test_a_script_whose_init_fails_ends_as_failed_with_its_own_words(
        self, place: Place, digits: Digits, tmp_path: Path
    ) -> None:
        name = place.fresh_name()
        with pytest.raises(DeploymentFailed) as failed:
            place.deploy(digits.model, name=name, script=_script(tmp_path, "raise RuntimeError('no such wing: 4711')"))
        assert "no such wing: 4711" in failed.value.log
        assert place.backend.get(place.target, name).state is ServiceState.FAILED
        assert "no such wing: 4711" in place.log_with(name, "no such wing")

    @pytest.mark.requires(Capability.SCRIPT)
    def test_waiting_has_a_limit_and_names_the_state(self, place: Place, digits: Digits, tmp_path: Path) -> None:
        slow = _script(tmp_path, "import time; time.sleep(120)")
        with pytest.raises(Timeout, match=r"exceeded timeout|Current status"):
            place.deploy(digits.model, script=slow, timeout_s=3.0)

    def test_a_deleted_service_is_gone(self, place: Place, digits: Digits) -> None:
        name = place.deploy(digits.model).name
        assert place.backend.delete(place.target, name).result(place.patience_s) is True
        with pytest.raises(NotFound, match=name):
            place.backend.get(place.target, name)
        assert name not in {d.name for d in place.backend.list_services(place.target)}

    def test_deleting_what_is_gone_is_no_error(self, place: Place) -> None:
        assert place.backend.delete(place.target, place.fresh_name()).result(place.patience_s) is False

    def test_what_is_not_there_is_not_found(self, place: Place) -> None:
        name = place.fresh_name()
        with pytest.raises(NotFound, match=name):
            place.backend.get(place.target, name)
        with pytest.raises(NotFound, match=name):
            place.backend.logs(place.target, name)


def _script(folder: Path, body_of_init: str) -> Path:
    path = folder / "score.py"
    path.write_text(f"def init():\n    {body_of_init}\n\n\ndef run(data):\n    return data\n", "utf-8")
    return path
