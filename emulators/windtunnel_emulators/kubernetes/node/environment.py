"""The environment of a container: values, references, ``$(VAR)``, and the variables of Services."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.kubernetes.client.meta import dig, entries, flag, mapping, name_of, namespace_of, number, text
from windtunnel_emulators.kubernetes.node.downward import field_value, resource_value
from windtunnel_emulators.runtime.hooks import NotConfigured

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

_REFERENCE = re.compile(r"\$(\$|\(([^()$]*)\))")
_NAME = re.compile(r"[ -<>-~]+")


class References(Protocol):
    """Where ConfigMaps and Secrets come from; None for one that is not there."""

    def config_map(self, namespace: str, name: str) -> Awaitable[JsonObject | None]: ...
    def secret(self, namespace: str, name: str) -> Awaitable[JsonObject | None]: ...


def expand(template: str, variables: Mapping[str, str]) -> str:
    """``$(NAME)`` by its value; ``$$`` is a dollar; what is not known stays as it is written."""

    def put(found: re.Match[str]) -> str:
        if found[1] == "$":
            return "$"
        return variables.get(found[2], found[0])

    return _REFERENCE.sub(put, template)


async def environment(
    pod: JsonObject,
    container: JsonObject,
    *,
    services: Mapping[str, str],
    references: References,
    node: JsonObject,
    run: Mapping[str, str],
) -> dict[str, str]:
    """The variables, ``envFrom`` first. ``run`` is what status fields say now. Raises ``NotConfigured``."""
    namespace = namespace_of(pod)
    found: dict[str, str] = {}
    for source in entries(container, "envFrom"):
        found |= await _all_of(source, namespace, references)
    given: dict[str, str] = {}
    for variable in entries(container, "env"):
        name, value = text(variable, "name"), variable.get("value")
        reference = variable.get("valueFrom")
        if isinstance(reference, dict):
            told = await _referred(reference, pod, container, references, node, run)
            if told is not None:
                given[name] = told
        else:
            given[name] = expand(value if isinstance(value, str) else "", {**services, **found, **given})
    return {**services, **found, **given}


async def _all_of(source: JsonObject, namespace: str, references: References) -> dict[str, str]:
    prefix = text(source, "prefix")
    if "configMapRef" in source:
        name, kind = text(source, "configMapRef", "name"), "configmap"
        values = data_of(await references.config_map(namespace, name))
        optional = flag(source, "configMapRef", "optional")
    else:
        name, kind = text(source, "secretRef", "name"), "secret"
        values = data_of(await references.secret(namespace, name))
        optional = flag(source, "secretRef", "optional")
    if values is None:
        if optional:
            return {}
        raise NotConfigured(f'{kind} "{name}" not found')
    return {
        prefix + key: value.decode("utf-8", "surrogateescape")
        for key, value in values.items()
        if _NAME.fullmatch(prefix + key)
    }


async def _referred(
    reference: JsonObject,
    pod: JsonObject,
    container: JsonObject,
    references: References,
    node: JsonObject,
    run: Mapping[str, str],
) -> str | None:
    """None for an optional one that is not there."""
    namespace = namespace_of(pod)
    if "fieldRef" in reference:
        return field_value(pod, text(reference, "fieldRef", "fieldPath"), run)
    if "resourceFieldRef" in reference:
        return resource_value(pod, container, mapping(reference, "resourceFieldRef"), node)
    for field, kind, shown in (("configMapKeyRef", "configmap", "ConfigMap"), ("secretKeyRef", "secret", "Secret")):
        if field not in reference:
            continue
        name, key = text(reference, field, "name"), text(reference, field, "key")
        look = references.config_map if field == "configMapKeyRef" else references.secret
        values = data_of(await look(namespace, name))
        optional = flag(reference, field, "optional")
        if values is None:
            if optional:
                return None
            raise NotConfigured(f'{kind} "{name}" not found')
        if key not in values:
            if optional:
                return None
            raise NotConfigured(f"couldn't find key {key} in {shown} {namespace}/{name}")
        return values[key].decode("utf-8", "surrogateescape")
    raise NotConfigured(f"a variable refers to {', '.join(reference)}, which is not known here")


def referred(pod: JsonObject) -> set[str]:
    """``configmap/NAME`` and ``secret/NAME`` of what its containers' variables and its pulls refer to."""
    found = {f"secret/{text(each, 'name')}" for each in entries(pod, "spec", "imagePullSecrets")}
    for container in (*entries(pod, "spec", "containers"), *entries(pod, "spec", "initContainers")):
        for source in entries(container, "envFrom"):
            found.add(f"configmap/{text(source, 'configMapRef', 'name')}")
            found.add(f"secret/{text(source, 'secretRef', 'name')}")
        for variable in entries(container, "env"):
            found.add(f"configmap/{text(variable, 'valueFrom', 'configMapKeyRef', 'name')}")
            found.add(f"secret/{text(variable, 'valueFrom', 'secretKeyRef', 'name')}")
    return found


def data_of(source: JsonObject | None) -> dict[str, bytes] | None:
    """The content of a ConfigMap or Secret; None where there is none."""
    import base64

    if source is None:
        return None
    found: dict[str, bytes] = {}
    secret = source.get("kind") == "Secret" or "type" in source
    for key, value in mapping(source, "data").items():
        if isinstance(value, str):
            found[key] = base64.b64decode(value) if secret else value.encode("utf-8", "surrogateescape")
    for key, value in mapping(source, "binaryData").items():
        if isinstance(value, str):
            found[key] = base64.b64decode(value)
    return found


def service_variables(services: Iterable[tuple[JsonObject, str]]) -> dict[str, str]:
    """Of Services with the address that they are reached at."""
    found: dict[str, str] = {}
    for service, address in services:
        ports = entries(service, "spec", "ports")
        if not ports:
            continue
        prefix = name_of(service).upper().replace("-", "_")
        found[f"{prefix}_SERVICE_HOST"] = address
        found[f"{prefix}_SERVICE_PORT"] = str(number(ports[0], "port"))
        for port in ports:
            if text(port, "name"):
                found[f"{prefix}_SERVICE_PORT_{text(port, 'name').upper().replace('-', '_')}"] = str(
                    number(port, "port")
                )
        for index, port in enumerate(ports):
            protocol, where = text(port, "protocol", default="TCP"), number(port, "port")
            url = f"{protocol.lower()}://{address}:{where}"
            if index == 0:
                found[f"{prefix}_PORT"] = url
            one = f"{prefix}_PORT_{where}_{protocol}"
            found[one] = url
            found[f"{one}_PROTO"] = protocol.lower()
            found[f"{one}_PORT"] = str(where)
            found[f"{one}_ADDR"] = address
    return found


def command(container: JsonObject, field: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """``command`` or ``args``, with variables put in."""
    found: Json = dig(container, field)
    return tuple(expand(part, variables) for part in found if isinstance(part, str)) if isinstance(found, list) else ()
