"""Rules of containers: images, ports, environment, mounts, probes, resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.findings import PROTOCOLS, Findings, number
from windtunnel_emulators.kubernetes.objects.resourcerules import check_requirements
from windtunnel_emulators.kubernetes.objects.securityrules import check_container_security

if TYPE_CHECKING:
    from collections.abc import Collection

    from windtunnel_emulators.jsontypes import Json, JsonObject

_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGES = ("File", "FallbackToLogsOnError")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOKS = ("exec", "httpGet", "tcpSocket", "sleep")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
_VOLUME_FIELDS = frozenset(
    {"metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"}
)
_RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['([^']*)'\]")
_HANDLER_REQUIRED = "must specify a handler type"
_ONLY_SIDECARS = "may not be set for init containers without restartPolicy=Always"


def check_container(
    field: str, container: JsonObject, volumes: Collection[str], found: Findings, *, init: bool = False
) -> None:
    """One container of any kind but ephemeral ones. Its name is checked by the pod."""
    image = as_str(container.get("image"))
    if not image:
        found.required(f"{field}.image")
    elif image != image.strip():
        found.invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    sidecar = container.get("restartPolicy") == "Always"
    if init and not sidecar:
        for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(name) is not None:
                found.forbidden(f"{field}.{name}", _ONLY_SIDECARS)
    else:
        _lifecycle(f"{field}.lifecycle", as_object(container.get("lifecycle")), found)
        for name in ("livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(name) is not None:
                check_probe(f"{field}.{name}", as_object(container[name]), found, once=name != "readinessProbe")
    found.one_of(f"{field}.terminationMessagePolicy", container.get("terminationMessagePolicy"), _MESSAGES)
    _ports(f"{field}.ports", as_list(container.get("ports")), found)
    check_environment(field, container, found)
    _mounts(f"{field}.volumeMounts", as_list(container.get("volumeMounts")), volumes, found)
    found.one_of(f"{field}.imagePullPolicy", container.get("imagePullPolicy"), _POLICIES)
    check_requirements(f"{field}.resources", as_object(container.get("resources")), found)
    check_container_security(f"{field}.securityContext", as_object(container.get("securityContext")), found)


def _ports(field: str, ports: list[Json], found: Findings) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(ports):
        port, at = as_object(entry), f"{field}[{index}]"
        name = as_str(port.get("name"))
        if name:
            wrong = names.port_name(name)
            found.each(f"{at}.name", name, wrong)
            if not wrong and name in seen:
                found.duplicate(f"{at}.name", name)
            seen.add(name)
        if not port.get("containerPort"):
            found.required(f"{at}.containerPort")
        else:
            found.port(f"{at}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            found.port(f"{at}.hostPort", port["hostPort"])
        found.one_of(f"{at}.protocol", port.get("protocol"), PROTOCOLS)


def check_host_ports(containers: list[tuple[str, JsonObject]], found: Findings) -> None:
    """No port of the node is wanted twice."""
    seen: set[str] = set()
    for field, container in containers:
        for index, entry in enumerate(as_list(container.get("ports"))):
            port = as_object(entry)
            if port.get("hostPort"):
                text = f"{as_str(port.get('protocol'))}/{as_str(port.get('hostIP'))}/{port['hostPort']}"
                if text in seen:
                    found.duplicate(f"{field}.ports[{index}].hostPort", text)
                seen.add(text)


def check_environment(field: str, container: JsonObject, found: Findings) -> None:
    """``env`` and ``envFrom``."""
    for index, entry in enumerate(as_list(container.get("env"))):
        variable, at = as_object(entry), f"{field}.env[{index}]"
        name = as_str(variable.get("name"))
        if not name:
            found.required(f"{at}.name")
        else:
            found.each(f"{at}.name", name, names.env_name(name))
        if variable.get("valueFrom") is not None:
            _value_from(f"{at}.valueFrom", variable, found)
    for index, entry in enumerate(as_list(container.get("envFrom"))):
        source, at = as_object(entry), f"{field}.envFrom[{index}]"
        prefix = as_str(source.get("prefix"))
        if prefix:
            found.each(f"{at}.prefix", prefix, names.env_name(prefix))
        kinds = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in kinds:
            if not as_object(source[name]).get("name"):
                found.required(f"{at}.{name}.name")
        if not kinds:
            found.invalid(f"{field}.envFrom", "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(kinds) > 1:
            found.invalid(f"{field}.envFrom", "", "may not have more than one field specified at a time")


def _value_from(field: str, variable: JsonObject, found: Findings) -> None:
    source = as_object(variable.get("valueFrom"))
    kinds = [name for name in _SOURCES if source.get(name) is not None]
    if "fieldRef" in kinds:
        check_field_reference(f"{field}.fieldRef", as_object(source["fieldRef"]), found)
    if "resourceFieldRef" in kinds:
        check_resource_reference(f"{field}.resourceFieldRef", as_object(source["resourceFieldRef"]), found)
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in kinds:
            reference = as_object(source[name])
            if not reference.get("name"):
                found.each(f"{field}.{name}.name", "", names.subdomain(""))
            found.named(f"{field}.{name}.key", reference.get("key"), names.config_key)
    if not kinds:
        found.invalid(
            field, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        )
    elif variable.get("value"):
        found.invalid(field, "", "may not be specified when `value` is not empty")
    elif len(kinds) > 1:
        found.invalid(field, "", "may not have more than one field specified at a time")


def check_field_reference(field: str, reference: JsonObject, found: Findings, *, volume: bool = False) -> None:
    """A field of the pod, for its environment or a volume."""
    path = as_str(reference.get("fieldPath"))
    if not reference.get("apiVersion"):
        found.required(f"{field}.apiVersion")
    if not path:
        found.required(f"{field}.fieldPath")
        return
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript is not None:
        key = subscript[2]
        checked = key.lower() if subscript[1].endswith("annotations") else key
        found.each(
            f"{field}.fieldPath", path, [f"invalid key subscript in {path}"] if not key else names.qualified(checked)
        )
        return
    known = _FIELDS | _VOLUME_FIELDS
    if path not in known:
        found.invalid(f"{field}.fieldPath", path, f"error converting fieldPath: field label not supported: {path}")
    elif path not in (_VOLUME_FIELDS if volume else _FIELDS):
        found.unsupported(f"{field}.fieldPath", path, sorted(_VOLUME_FIELDS if volume else _FIELDS))


def check_resource_reference(field: str, reference: JsonObject, found: Findings, *, volume: bool = False) -> None:
    """A resource of a container."""
    resource = as_str(reference.get("resource"))
    if volume and not reference.get("containerName"):
        found.required(f"{field}.containerName")
    if not resource:
        found.required(f"{field}.resource")
    elif resource not in _RESOURCES and not resource.partition(".")[2].startswith("hugepages-"):
        found.unsupported(f"{field}.resource", resource, _RESOURCES)


def _mounts(field: str, mounts: list[Json], volumes: Collection[str], found: Findings) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(mounts):
        mount, at = as_object(entry), f"{field}[{index}]"
        name, path = as_str(mount.get("name")), as_str(mount.get("mountPath"))
        if not name:
            found.required(f"{at}.name")
        if name not in volumes:
            found.not_found(f"{at}.name", name)
        if not path:
            found.required(f"{at}.mountPath")
        elif path in seen:
            found.invalid(f"{at}.mountPath", path, "must be unique")
        seen.add(path)
        for part in ("subPath", "subPathExpr"):
            inner = as_str(mount.get(part))
            if inner.startswith("/"):
                found.invalid(f"{field}.{part}", inner, "must be a relative path")
            elif ".." in inner.split("/"):
                found.invalid(f"{field}.{part}", inner, "must not contain '..'")
        if mount.get("subPath") and mount.get("subPathExpr"):
            found.invalid(f"{at}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")


def _lifecycle(field: str, lifecycle: JsonObject, found: Findings) -> None:
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            _handler(f"{field}.{name}", as_object(lifecycle[name]), found, _HOOKS)


def check_probe(field: str, probe: JsonObject, found: Findings, *, once: bool) -> None:
    """A probe; ``once``: one success is enough, and more may not be asked for."""
    _handler(field, probe, found, _HANDLERS)
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        found.not_negative(f"{field}.{name}", probe.get(name))
    grace = probe.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace <= 0:
        found.invalid(f"{field}.terminationGracePeriodSeconds", grace, "must be greater than 0")
    if once and probe.get("successThreshold") not in (None, 1):
        found.invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1")


def _handler(field: str, handler: JsonObject, found: Findings, kinds: tuple[str, ...]) -> None:
    used = [kind for kind in kinds if handler.get(kind) is not None]
    if not used:
        found.required(field, _HANDLER_REQUIRED)
        return
    for kind in used[1:]:
        found.forbidden(f"{field}.{kind}", "may not specify more than 1 handler type")
    kind, action = used[0], as_object(handler[used[0]])
    at = f"{field}.{kind}"
    if kind == "exec" and not as_list(action.get("command")):
        found.required(f"{at}.command")
    elif kind in ("httpGet", "tcpSocket"):
        found.port(f"{at}.port", action.get("port"))
        if kind == "httpGet":
            if not action.get("path"):
                found.required(f"{at}.path")
            found.one_of(f"{at}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
            for header in as_list(action.get("httpHeaders")):
                name = as_str(as_object(header).get("name"))
                if not re.fullmatch(r"[-A-Za-z0-9]+", name):
                    message = (
                        "a valid HTTP header must consist of alphanumeric characters or '-'"
                        " (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
                    )
                    found.invalid(f"{at}.httpHeaders", name, message)
    elif kind == "grpc":
        found.each(f"{at}.port", action.get("port"), names.port_number(number(action.get("port"))))
