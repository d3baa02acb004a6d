"""Key authentication: off unless asked for, two keys, regenerated one at a time. Row 6."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel.aks_options import AksOptions
from windtunnel.errors import InvalidSpec
from windtunnel.interface import Capability, KeyName

if TYPE_CHECKING:
    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place


class AuthenticationContract:
    """Who may ask for a prediction."""

    @pytest.mark.requires(Capability.KEYS)
    def test_authentication_is_off_by_default(self, place: Place, digits: Digits) -> None:
        if place.authenticates_by_default:
            pytest.skip(f"{place.target}: authentication is on by default, as on Azure")
        with place.shared(digits.model) as service:
            assert service.deployment.auth_enabled is False
            assert service.ask(digits.request(1)).status == 200
            with pytest.raises(InvalidSpec):
                place.backend.keys(place.target, service.deployment.name)

    @pytest.mark.requires(Capability.KEYS)
    def test_authentication_is_on_by_default(self, place: Place, digits: Digits) -> None:
        if not place.authenticates_by_default:
            pytest.skip(f"{place.target}: authentication is off by default, as on Azure")
        with place.shared(digits.model, auth_enabled=None) as service:
            assert service.deployment.auth_enabled is True
            assert service.ask(digits.request(1)).status == 401

    @pytest.mark.requires(Capability.TOKENS)
    def test_a_token_is_asked_for_and_a_key_is_none(self, place: Place, digits: Digits) -> None:
        options = AksOptions(num_replicas=1, token_auth_enabled=True)
        with place.shared(digits.model, auth_enabled=None, aks=options) as service:
            name, body = service.deployment.name, digits.request(1)
            token = place.backend.token(place.target, name)
            assert token.refresh_after < token.expires
            assert service.ask(body).status == 401
            assert service.ask(body, key=token.value).status == 200
            for wrong in ("", "x" * 32, token.value[:-2], token.value + "x"):
                assert service.ask(body, key=wrong).status == 401
            with pytest.raises(InvalidSpec):
                place.backend.keys(place.target, name)

    @pytest.mark.requires(Capability.KEYS)
    def test_keys_are_asked_for_and_either_is_valid(self, place: Place, digits: Digits) -> None:
        with place.shared(digits.model, auth_enabled=True) as service:
            keys = place.backend.keys(place.target, service.deployment.name)
            assert keys.primary != keys.secondary
            assert service.deployment.auth_enabled is True
            body = digits.request(1)
            assert service.ask(body).status == 401
            for key in (keys.primary, keys.secondary):
                assert service.ask(body, key=key).status == 200
            for wrong in ("", "x" * len(keys.primary), keys.primary[:-1], keys.primary + "x"):
                assert service.ask(body, key=wrong).status == 401
            if place.backend.offer(place.target).reason(Capability.HTTP) is None:
                assert service.request("GET", "/").status_code == 200

    @pytest.mark.requires(Capability.KEYS)
    @pytest.mark.parametrize("which", list(KeyName))
    def test_a_regenerated_key_replaces_the_old_one_and_leaves_the_other(
        self, place: Place, digits: Digits, which: KeyName
    ) -> None:
        with place.shared(digits.model, auth_enabled=True) as service:
            name, body = service.deployment.name, digits.request(1)
            before = place.backend.keys(place.target, name)
            after = place.backend.regenerate_key(place.target, name, which).result(place.patience_s)
            service.wait_until_healthy()
            primary = which is KeyName.PRIMARY
            old, new = (before.primary, after.primary) if primary else (before.secondary, after.secondary)
            kept, same = (before.secondary, after.secondary) if primary else (before.primary, after.primary)
            assert new != old
            assert same == kept
            assert service.ask(body, key=new).status == 200
            assert service.ask(body, key=kept).status == 200
            assert service.ask(body, key=old).status == 401
            assert place.backend.keys(place.target, name) == after
