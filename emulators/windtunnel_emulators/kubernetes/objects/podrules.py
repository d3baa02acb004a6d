"""Rules of pods and of their templates; and what of a pod an update may change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.containerrules import check_container, check_host_ports
from windtunnel_emulators.kubernetes.objects.metadatarules import check_annotations
from windtunnel_emulators.kubernetes.objects.placementrules import check_affinity, check_spreading, check_tolerations
from windtunnel_emulators.kubernetes.objects.securityrules import check_pod_security
from windtunnel_emulators.kubernetes.objects.volumerules import check_volumes

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.findings import Findings

_RESTARTS = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_NAMED = {
    "serviceAccountName": names.subdomain,
    "nodeName": names.subdomain,
    "priorityClassName": names.subdomain,
    "runtimeClassName": names.subdomain,
    "hostname": names.label,
    "subdomain": names.label,
}
_MUTABLE_MESSAGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_LONGEST_DEADLINE = 2**31 - 1


def check_pod_spec(field: str, spec: JsonObject, found: Findings) -> None:
    """The specification of a pod, alone or in a template."""
    volumes = check_volumes(f"{field}.volumes", as_list(spec.get("volumes")), found)
    containers = _containers(field, spec, volumes, found)
    check_host_ports(containers, found)
    found.one_of(f"{field}.restartPolicy", spec.get("restartPolicy"), _RESTARTS)
    found.one_of(f"{field}.dnsPolicy", spec.get("dnsPolicy"), _DNS)
    _dns(field, spec, found)
    found.labels(f"{field}.nodeSelector", spec.get("nodeSelector"))
    check_pod_security(f"{field}.securityContext", as_object(spec.get("securityContext")), found)
    for index, entry in enumerate(as_list(spec.get("imagePullSecrets"))):
        if not as_object(entry).get("name"):
            found.invalid(f"{field}.imagePullSecrets[{index}]", entry, "name must not be empty")
    check_affinity(f"{field}.affinity", as_object(spec.get("affinity")), found)
    check_tolerations(f"{field}.tolerations", as_list(spec.get("tolerations")), found)
    check_spreading(f"{field}.topologySpreadConstraints", as_list(spec.get("topologySpreadConstraints")), found)
    for name, check in _NAMED.items():
        text = as_str(spec.get(name))
        if text:
            found.each(f"{field}.{name}", text, check(text))
    deadline = spec.get("activeDeadlineSeconds")
    if isinstance(deadline, int) and not 1 <= deadline <= _LONGEST_DEADLINE:
        found.invalid(
            f"{field}.activeDeadlineSeconds", deadline, f"must be between 1 and {_LONGEST_DEADLINE}, inclusive"
        )
    found.not_negative(f"{field}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
    _host_aliases(field, spec, found)
    for index, entry in enumerate(as_list(spec.get("readinessGates"))):
        kind = as_str(as_object(entry).get("conditionType"))
        found.each(f"{field}.readinessGates[{index}].conditionType", kind, names.qualified(kind))
    found.one_of(f"{field}.preemptionPolicy", spec.get("preemptionPolicy"), ("PreemptLowerPriority", "Never"))
    if spec.get("os") is not None:
        found.one_of(f"{field}.os", as_object(spec["os"]).get("name"), ("linux", "windows"))


def _containers(field: str, spec: JsonObject, volumes: set[str], found: Findings) -> list[tuple[str, JsonObject]]:
    seen: set[str] = set()
    listed: list[tuple[str, JsonObject]] = []
    main = as_list(spec.get("containers"))
    if not main:
        found.required(f"{field}.containers")
    for kind in ("containers", "initContainers"):
        for index, entry in enumerate(as_list(spec.get(kind))):
            container, at = as_object(entry), f"{field}.{kind}[{index}]"
            name = as_str(container.get("name"))
            if not name:
                found.required(f"{at}.name")
            else:
                found.each(f"{at}.name", name, names.label(name))
                if name in seen:
                    found.duplicate(f"{at}.name", name)
            seen.add(name)
            check_container(at, container, volumes, found, init=kind == "initContainers")
            if kind == "containers":
                listed.append((at, container))
    return listed


def _dns(field: str, spec: JsonObject, found: Findings) -> None:
    config = as_object(spec.get("dnsConfig"))
    servers = as_list(config.get("nameservers"))
    at = f"{field}.dnsConfig"
    if spec.get("dnsPolicy") == "None":
        if not config:
            found.required(at, "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not servers:
            found.required(f"{at}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
    if len(servers) > 3:
        found.invalid(f"{at}.nameservers", [*servers], "must not have more than 3 nameservers")
    for index, server in enumerate(servers):
        found.address(f"{at}.nameservers[{index}]", server)
    for index, entry in enumerate(as_list(config.get("searches"))):
        text = as_str(entry)
        if text != ".":
            found.each(f"{at}.searches[{index}]", text, names.subdomain(text.removesuffix(".").replace("_", "-")))
    for index, entry in enumerate(as_list(config.get("options"))):
        if not as_object(entry).get("name"):
            found.required(f"{at}.options[{index}]", "must not be empty")


def _host_aliases(field: str, spec: JsonObject, found: Findings) -> None:
    for index, entry in enumerate(as_list(spec.get("hostAliases"))):
        alias, at = as_object(entry), f"{field}.hostAliases[{index}]"
        found.address(f"{at}.ip", alias.get("ip"))
        for place, host in enumerate(as_list(alias.get("hostnames"))):
            found.each(f"{at}.hostnames[{place}]", host, names.subdomain(as_str(host)))


def check_template(field: str, template: JsonObject, found: Findings) -> None:
    """A pod's template, but for what its owner asks of it."""
    metadata = as_object(template.get("metadata"))
    found.labels(f"{field}.labels", metadata.get("labels"))
    check_annotations(as_object(metadata.get("annotations")), found)
    spec = as_object(template.get("spec"))
    check_pod_spec(f"{field}.spec", spec, found)
    if spec.get("ephemeralContainers"):
        found.forbidden(f"{field}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def check_pod(whole: JsonObject, found: Findings) -> None:
    """A new pod."""
    spec = as_object(whole.get("spec"))
    check_pod_spec("spec", spec, found)
    if spec.get("ephemeralContainers"):
        found.forbidden("spec.ephemeralContainers", "cannot be set on create")


def check_pod_update(old: JsonObject, new: JsonObject, subresource: str, found: Findings) -> None:
    """The next state of a pod."""
    if subresource == "status":
        return
    before, after = as_object(old.get("spec")), as_object(new.get("spec"))
    if subresource == "ephemeralcontainers":
        _ephemeral(before, after, found)
        return
    if subresource == "resize":
        check_pod_spec("spec", after, found)
        return
    if before == after:
        return
    check_pod_spec("spec", after, found)
    for kind in ("containers", "initContainers"):
        if len(as_list(before.get(kind))) != len(as_list(after.get(kind))):
            found.forbidden(f"spec.{kind}", "pod updates may not add or remove containers")
            return
    _deadline(before, after, found)
    _tolerations(before, after, found)
    if _frozen(before, after) != _frozen(before, before):
        found.forbidden("spec", _MUTABLE_MESSAGE + "\n" + _difference(before, after))


def _deadline(before: JsonObject, after: JsonObject, found: Findings) -> None:
    old, new = before.get("activeDeadlineSeconds"), after.get("activeDeadlineSeconds")
    if old is None or old == new:
        return
    if new is None:
        found.invalid("spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value")
    elif isinstance(new, int) and isinstance(old, int) and new > old:
        found.invalid("spec.activeDeadlineSeconds", new, f"must be less than or equal to previous value {old}")


def _tolerations(before: JsonObject, after: JsonObject, found: Findings) -> None:
    def plain(entry: Json) -> JsonObject:
        return {name: value for name, value in as_object(entry).items() if name != "tolerationSeconds"}

    kept = [plain(entry) for entry in as_list(after.get("tolerations"))]
    if any(plain(entry) not in kept for entry in as_list(before.get("tolerations"))):
        found.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")


def _frozen(before: JsonObject, after: JsonObject) -> JsonObject:
    """The new specification with what may change as it was."""
    made = dict(after)
    for name in ("activeDeadlineSeconds", "tolerations"):
        made.pop(name, None)
        if name in before:
            made[name] = before[name]
    grace = before.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace < 0 and after.get("terminationGracePeriodSeconds") == 1:
        made["terminationGracePeriodSeconds"] = grace
    for kind in ("containers", "initContainers"):
        olds = as_list(before.get(kind))
        if kind in made:
            made[kind] = [
                {**as_object(new), "image": as_object(old).get("image")}
                for old, new in zip(olds, as_list(after.get(kind)), strict=False)
            ]
    if before.get("schedulingGates"):
        gates = as_list(before.get("schedulingGates"))
        if all(gate in gates for gate in as_list(after.get("schedulingGates"))):
            made["schedulingGates"] = gates
        for name in ("nodeSelector", "affinity"):
            made.pop(name, None)
            if name in before:
                made[name] = before[name]
    return made


def _difference(before: JsonObject, after: JsonObject) -> str:
    """The fields that differ, old and new."""
    from windtunnel_emulators.kubernetes.objects.causes import shown

    lines: list[str] = []
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name) and _frozen(before, after).get(name) != before.get(name):
            lines += [f"- {name}: {shown(before.get(name))}", f"+ {name}: {shown(after.get(name))}"]
    return "\n".join(lines)


def _ephemeral(before: JsonObject, after: JsonObject, found: Findings) -> None:
    field = "spec.ephemeralContainers"
    olds, news = as_list(before.get("ephemeralContainers")), as_list(after.get("ephemeralContainers"))
    known = {
        as_str(as_object(entry).get("name"))
        for kind in ("containers", "initContainers")
        for entry in as_list(after.get(kind))
    }
    by_name = {as_str(as_object(entry).get("name")): entry for entry in news}
    for old in olds:
        name = as_str(as_object(old).get("name"))
        if name not in by_name:
            found.forbidden(field, f"existing ephemeral containers {name!r} may not be removed\n".replace("'", '"'))
        elif by_name[name] != old:
            found.forbidden(field, f"existing ephemeral containers {name!r} may not be changed\n".replace("'", '"'))
    for index, entry in enumerate(news):
        container, at = as_object(entry), f"{field}[{index}]"
        name = as_str(container.get("name"))
        found.named(f"{at}.name", name, names.label)
        if name and name in known:
            found.duplicate(f"{at}.name", name)
        known.add(name)
        if not container.get("image"):
            found.required(f"{at}.image")
        for forbidden in ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources"):
            if container.get(forbidden):
                found.forbidden(f"{at}.{forbidden}", "cannot be set for an Ephemeral Container")
