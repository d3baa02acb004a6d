"""What registries may be called, and whether a name is free: names are unique over all of Azure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Reply
from windtunnel_emulators.registry.registries import PUBLIC_SUFFIX, TYPE

from .bodies import NameBody, one_of, read

if TYPE_CHECKING:
    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.arm.resources import Resources

    from .service import RegistryService

_NAME = re.compile(r"[a-zA-Z0-9]{5,50}")
_RULE = "A registry name has 5 to 50 letters and digits and nothing else"


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def check_new_name(id: ResourceId, resources: Resources) -> None:
    """Raises ``ArmError``: 400 for a name that none may have, 409 for one that another registry has."""
    if not is_name(id.name):
        raise ArmError(
            400,
            "InvalidResourceName",
            f"The registry name '{id.name[:100]}' is invalid. {_RULE}.",
            target="name",
        )
    if _holder(id.name, resources) is not None:
        raise ArmError(
            409,
            "AlreadyInUse",
            f"The registry DNS name {id.name.lower()}{PUBLIC_SUFFIX} is already in use. You can check if the name is"
            " already claimed using following API: https://aka.ms/acr/checknameavailability.",
            target="name",
        )


async def check_availability(call: Call, _: Resource | None, service: RegistryService) -> Reply:
    """``checkNameAvailability``."""
    wanted = read(call.body, NameBody)
    one_of(wanted.type, (TYPE,), "type")
    if not is_name(wanted.name):
        message = f"The registry name {wanted.name[:100]} is invalid. {_RULE}."
        return Reply(status=200, body={"nameAvailable": False, "reason": "Invalid", "message": message})
    if _holder(wanted.name, service.world.resources) is not None:
        message = f"The registry {wanted.name} is already in use."
        return Reply(status=200, body={"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Reply(status=200, body={"nameAvailable": True})


def _holder(name: str, resources: Resources) -> Resource | None:
    return next((r for r in resources.list(TYPE) if r.id.name.lower() == name.lower()), None)
