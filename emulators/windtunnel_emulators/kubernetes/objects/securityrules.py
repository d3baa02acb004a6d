"""Rules of security contexts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.findings import Findings

_LARGEST_ID = 2**31 - 1
_SYSCTL = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")


def _identity(field: str, value: Json, found: Findings) -> None:
    if isinstance(value, int) and not 0 <= value <= _LARGEST_ID:
        found.invalid(field, value, f"must be between 0 and {_LARGEST_ID}, inclusive")


def _profile(field: str, value: Json, found: Findings) -> None:
    if value is None:
        return
    profile = as_object(value)
    if not profile.get("type"):
        found.required(f"{field}.type", "type is required when seccompProfile is set")
        return
    found.one_of(f"{field}.type", profile.get("type"), _PROFILES)
    if profile.get("type") == "Localhost" and not profile.get("localhostProfile"):
        found.required(f"{field}.localhostProfile", "must be set when seccomp type is Localhost")
    elif profile.get("type") != "Localhost" and profile.get("localhostProfile"):
        found.invalid(field, profile["localhostProfile"], "can only be set when seccomp type is Localhost")


def check_pod_security(field: str, context: JsonObject, found: Findings) -> None:
    """Of a pod."""
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        _identity(f"{field}.{name}", context.get(name), found)
    for index, group in enumerate(as_list(context.get("supplementalGroups"))):
        _identity(f"{field}.supplementalGroups[{index}]", group, found)
    for index, entry in enumerate(as_list(context.get("sysctls"))):
        name = as_str(as_object(entry).get("name"))
        if not name:
            found.required(f"{field}.sysctls[{index}].name")
        elif not re.fullmatch(_SYSCTL, name):
            message = f"must have at most 253 characters and match regex {_SYSCTL}"
            found.invalid(f"{field}.sysctls[{index}].name", name, message)
    found.one_of(f"{field}.fsGroupChangePolicy", context.get("fsGroupChangePolicy"), ("Always", "OnRootMismatch"))
    _profile(f"{field}.seccompProfile", context.get("seccompProfile"), found)


def check_container_security(field: str, context: JsonObject, found: Findings) -> None:
    """Of a container."""
    for name in ("runAsUser", "runAsGroup"):
        _identity(f"{field}.{name}", context.get(name), found)
    found.one_of(f"{field}.procMount", context.get("procMount"), ("Default", "Unmasked"))
    _profile(f"{field}.seccompProfile", context.get("seccompProfile"), found)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged") is True:
            found.invalid(field, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        added = as_list(as_object(context.get("capabilities")).get("add"))
        if "CAP_SYS_ADMIN" in added or "SYS_ADMIN" in added:
            message = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            found.invalid(field, context, message)
