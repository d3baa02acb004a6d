"""Rules of a group's managed identities."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.providers.container_instance.bodies import IDENTITY_TYPES

from .terms import invalid, one_of

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.bodies import Identity

_USER_ASSIGNED = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/[^/]+",
    re.IGNORECASE,
)


def check_identity(name: str, identity: Identity | None) -> None:
    """The list of identities goes with the type, and names identities."""
    if identity is None:
        return
    if identity.type not in IDENTITY_TYPES:
        raise invalid(
            "InvalidIdentityType",
            f"The identity type '{identity.type or ''}' of container group '{name}' is invalid."
            f" {one_of(IDENTITY_TYPES)}",
            "identity.type",
        )
    named = list(identity.user_assigned_identities or {})
    if ("UserAssigned" in identity.type) != bool(named):
        problem = "names no" if not named else "does not allow any of its"
        raise invalid(
            "InvalidIdentity",
            f"The identity of container group '{name}' is of type '{identity.type}' and {problem}"
            " 'userAssignedIdentities'.",
            "identity.userAssignedIdentities",
        )
    for identity_id in named:
        if _USER_ASSIGNED.fullmatch(identity_id) is None:
            raise invalid(
                "LinkedInvalidPropertyId",
                f"Property id '{identity_id}' at path 'identity.userAssignedIdentities' is invalid. Expect fully"
                " qualified resource Id of a user assigned identity, that starts with"
                " '/subscriptions/{subscriptionId}'.",
                "identity.userAssignedIdentities",
            )
