"""What of a pod's security settings this node can keep: the rest is refused, or said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import dig, flag, mapping, optional_number, text, words
from windtunnel_emulators.runtime.hooks import NotConfigured

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject

_SHARED = ("hostNetwork", "hostPID", "hostIPC")


def refuse(pod: JsonObject, container: JsonObject) -> None:
    """Raises ``NotConfigured`` for rights over the machine, which no container here is given."""
    spec = mapping(pod, "spec")
    for field in _SHARED:
        if flag(spec, field):
            raise NotConfigured(f"{field} is not possible here: pods are kept apart from the machine that runs them")
    own, common = mapping(container, "securityContext"), mapping(spec, "securityContext")
    if flag(own, "privileged"):
        raise NotConfigured("privileged containers are not possible here: pods get no rights over the machine")
    added = words(own, "capabilities", "add")
    if added:
        raise NotConfigured(
            f"capabilities cannot be added here ({', '.join(added)}): pods get no rights over the machine"
        )
    user = optional_number(own, "runAsUser")
    user = optional_number(common, "runAsUser") if user is None else user
    must = own.get("runAsNonRoot", common.get("runAsNonRoot"))
    if must is True and (user == 0):
        raise NotConfigured("container's runAsUser breaks non-root policy")


def not_kept(pod: JsonObject, container: JsonObject) -> list[str]:
    """The fields that are set and have no effect here."""
    own, common = mapping(container, "securityContext"), mapping(pod, "spec", "securityContext")
    found = [
        field
        for field in ("runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile", "seLinuxOptions", "appArmorProfile")
        if own.get(field, common.get(field)) not in (None, False)
    ]
    found += [field for field in ("fsGroup", "supplementalGroups", "sysctls") if common.get(field)]
    if flag(own, "readOnlyRootFilesystem"):
        found.append("readOnlyRootFilesystem")
    if text(dig(own, "procMount")) not in ("", "Default"):
        found.append("procMount")
    return found
