"""What hubs may be called, and whether a name is free: names are unique over all of Azure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Reply
from windtunnel_emulators.jsontypes import as_object, as_str

if TYPE_CHECKING:
    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.arm.resources import Resources

    from .service import IotHubs

TYPE = "Microsoft.Devices/IotHubs"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{1,48})[A-Za-z0-9]")
_RULE = "it has 3 to 50 letters, digits and hyphens, and no hyphen at either end"


def check_new_name(id: ResourceId, resources: Resources) -> None:
    """Raises ``ArmError``: 400 for a name that none may have, 409 for one that another hub has."""
    if not _NAME.fullmatch(id.name):
        raise ArmError(400, "InvalidHubName", f"The IoT hub name '{id.name[:100]}' is invalid: {_RULE}.", target="name")
    if _holder(id.name, resources) is not None:
        raise ArmError(409, "IotHubNameNotAvailable", f"The IoT hub name '{id.name}' is not available.", target="name")


async def check_availability(call: Call, _: Resource | None, service: IotHubs) -> Reply:
    """``checkNameAvailability``."""
    name = as_str(as_object(call.body).get("name"))
    if not _NAME.fullmatch(name):
        message = f"IotHub name '{name[:100]}' is invalid: {_RULE}."
        return Reply(status=200, body={"nameAvailable": False, "reason": "Invalid", "message": message})
    if _holder(name, service.world.resources) is not None:
        message = f"IotHub name '{name}' is not available"
        return Reply(status=200, body={"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Reply(status=200, body={"nameAvailable": True, "reason": "Invalid", "message": None})


def _holder(name: str, resources: Resources) -> Resource | None:
    return next((hub for hub in resources.list(TYPE) if hub.id.name.lower() == name.lower()), None)
