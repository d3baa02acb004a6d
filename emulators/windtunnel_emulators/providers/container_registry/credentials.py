"""The admin user's two passwords, and what a registry uses of its tier."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Reply
from windtunnel_emulators.jsontypes import as_object, as_str

from .bodies import NameBody, one_of, read
from .registries import new_password
from .skus import TIERS

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .service import RegistryService

_NAMES = ("password", "password2")


async def list_credentials(_: Call, registry: Resource | None, __: RegistryService) -> Reply:
    """``listCredentials``."""
    assert registry is not None
    _check_admin(registry)
    return Reply(status=200, body=_shown(registry))


async def regenerate(call: Call, registry: Resource | None, _: RegistryService) -> Reply:
    """``regenerateCredential``: one password changes, the other goes on holding."""
    assert registry is not None
    _check_admin(registry)
    name = one_of(read(call.body, NameBody).name, _NAMES, "name")
    if name is None:
        raise ArmError(400, "InvalidParameter", "'name' must be password or password2.", target="name")
    changed = replace(registry, secrets={**registry.secrets, name: new_password()})
    return Reply(status=200, body=_shown(changed), resource=changed)


async def list_usages(_: Call, registry: Resource | None, service: RegistryService) -> Reply:
    """``listUsages``."""
    assert registry is not None
    tier = TIERS[as_str(as_object(registry.envelope.get("sku")).get("name"))]
    used = service.world.content.usage(registry.id.key)
    value: list[Json] = [
        {"name": "Size", "limit": tier.size, "currentValue": used, "unit": "Bytes"},
        {"name": "Webhooks", "limit": tier.webhooks, "currentValue": 0, "unit": "Count"},
        {"name": "ScopeMaps", "limit": tier.scope_maps, "currentValue": 0, "unit": "Count"},
        {"name": "Tokens", "limit": tier.scope_maps, "currentValue": 0, "unit": "Count"},
    ]
    return Reply(status=200, body={"value": value})


def _check_admin(registry: Resource) -> None:
    if registry.properties.get("adminUserEnabled") is not True:
        raise ArmError(
            400,
            "UnAuthorizedForCredentialOperations",
            f"Cannot perform credential operations for {registry.id} as admin user is disabled. Kindly enable the"
            " admin user as per docs:"
            " https://docs.microsoft.com/en-us/azure/container-registry/container-registry-authentication#admin-account",
        )


def _shown(registry: Resource) -> JsonObject:
    passwords: list[Json] = [{"name": name, "value": registry.secrets[name]} for name in _NAMES]
    return {"username": registry.id.name, "passwords": passwords}
