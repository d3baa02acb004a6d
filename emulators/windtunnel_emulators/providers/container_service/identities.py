"""Managed identities of clusters, with ids made up once; only the kubelet's is used, to pull images."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object

from . import checks

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject


def identity_of(wanted: JsonObject, *, tenant: str, before: JsonObject) -> JsonObject:
    """What an answer shows as ``identity``; empty for none. Raises ``ArmError`` 400 for a type that is none."""
    kind = checks.one_of(wanted, "type", ("SystemAssigned", "UserAssigned", "None"), "identity")
    if kind is None or kind == "None":
        return {}
    if kind == "SystemAssigned":
        principal = before.get("principalId") or str(uuid.uuid4())
        return {"type": kind, "principalId": principal, "tenantId": tenant}
    known = as_object(before.get("userAssignedIdentities"))
    return {
        "type": kind,
        "userAssignedIdentities": {
            id: known.get(id) or {"principalId": str(uuid.uuid4()), "clientId": str(uuid.uuid4())}
            for id in as_object(wanted.get("userAssignedIdentities"))
        },
    }
