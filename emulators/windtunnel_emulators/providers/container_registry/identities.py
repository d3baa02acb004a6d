"""Managed identities of registries and tasks, with ids made up once: nothing here signs in with them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import JsonObject, as_object

from .bodies import Identity, one_of

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call

_KINDS = ("SystemAssigned", "UserAssigned", "SystemAssigned, UserAssigned", "None")


def identity_of(wanted: Identity | None, call: Call, before: JsonObject) -> JsonObject:
    """What an answer shows as ``identity``; empty for none. Raises ``ArmError`` 400 for a type that is none."""
    kind = one_of(wanted.type if wanted else None, _KINDS, "identity.type")
    if wanted is None or kind is None or kind == "None":
        return {}
    found: JsonObject = {"type": kind}
    if "SystemAssigned" in kind:
        found["principalId"] = before.get("principalId") or str(uuid.uuid4())
        found["tenantId"] = call.caller.tenant
    if wanted.user_assigned_identities:
        known = as_object(before.get("userAssignedIdentities"))
        found["userAssignedIdentities"] = {
            id: known.get(id) or {"principalId": str(uuid.uuid4()), "clientId": str(uuid.uuid4())}
            for id in wanted.user_assigned_identities
        }
    return found
