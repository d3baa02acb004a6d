"""What of a running service may change, and what may not. Row 14."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel.errors import InvalidSpec, NotFound, Unsupported
from windtunnel.interface import Capability, ServiceState
from windtunnel.spec import Change, Script

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place


@pytest.mark.requires(Capability.PREDICT)
class UpdateContract:
    """A service is changed in place."""

    def test_a_change_of_nothing_is_refused(self, place: Place) -> None:
        with pytest.raises(InvalidSpec, match=r"No parameters provided to update\."):
            Change()

    @pytest.mark.requires(Capability.UPDATE)
    def test_tags_change_and_the_service_goes_on(self, place: Place, digits: Digits) -> None:
        with place.shared(digits.model, tags={"a": "1"}) as service:
            changed = place.backend.update(place.target, service.deployment.name, Change(tags={"b": "2"}))
            assert changed.result(place.patience_s).tags == {"b": "2"}
            assert place.backend.get(place.target, service.deployment.name).state is ServiceState.HEALTHY
            assert service.ask(digits.request(1)).status == 200

    @pytest.mark.requires(Capability.UPDATE, Capability.SCRIPT)
    def test_a_script_can_be_put_in_front_of_the_model(self, place: Place, digits: Digits, tmp_path: Path) -> None:
        script = tmp_path / "score.py"
        script.write_text("def init():\n    pass\n\n\ndef run(raw):\n    return 'changed'\n", "utf-8")
        with place.shared(digits.model) as service:
            change = Change(script=Script(entry=script))
            place.backend.update(place.target, service.deployment.name, change).result(place.patience_s)
            service.wait_until_healthy()
            assert service.request("POST", "/score", json={}).json() == "changed"

    @pytest.mark.requires(Capability.UPDATE, Capability.KEYS)
    def test_authentication_can_be_switched_on_and_off(self, place: Place, digits: Digits) -> None:
        if place.keys_need_tls:
            with place.shared(digits.model) as service:
                update = place.backend.update(place.target, service.deployment.name, Change(auth_enabled=True))
                with pytest.raises(InvalidSpec, match="TLS"):
                    update.result(place.patience_s)
            return
        with place.shared(digits.model) as service:
            name, body = service.deployment.name, digits.request(1)
            place.backend.update(place.target, name, Change(auth_enabled=True)).result(place.patience_s)
            service.wait_until_healthy()
            assert service.ask(body).status == 401
            key = place.backend.keys(place.target, name).primary
            assert service.ask(body, key=key).status == 200
            place.backend.update(place.target, name, Change(auth_enabled=False)).result(place.patience_s)
            service.wait_until_healthy()
            assert service.ask(body).status == 200

    @pytest.mark.lacks(Capability.RESIZE)
    @pytest.mark.parametrize("change", [Change(cpu=2.0), Change(memory_gb=4.0)], ids=["cpu", "memory"])
    def test_cores_and_memory_cannot_be_changed(self, place: Place, digits: Digits, change: Change) -> None:
        with place.shared(digits.model) as service:
            before = place.backend.get(place.target, service.deployment.name)
            with pytest.raises(Unsupported) as refused:
                place.backend.update(place.target, service.deployment.name, change).result(place.patience_s)
            assert refused.value.capability is Capability.RESIZE
            after = place.backend.get(place.target, service.deployment.name)
            assert (after.cpu, after.memory_gb) == (before.cpu, before.memory_gb)

    @pytest.mark.requires(Capability.UPDATE)
    def test_a_service_that_is_not_there_cannot_be_changed(self, place: Place) -> None:
        name = place.fresh_name()
        with pytest.raises(NotFound, match=name):
            place.backend.update(place.target, name, Change(tags={"a": "b"})).result(place.patience_s)
