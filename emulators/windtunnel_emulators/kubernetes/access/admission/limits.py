"""LimitRanger: what containers ask for when they do not say it, and how little and how much they may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import forbidden
from windtunnel_emulators.kubernetes.objects.quantities import ZERO, Quantity, QuantityError, canonical, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State

_ANNOTATION = "kubernetes.io/limit-ranger"
_POD, _CONTAINER, _CLAIM = "Pod", "Container", "PersistentVolumeClaim"
_GROUPS = (("containers", "container"), ("initContainers", "init container"))


def mutate(admission: Admission, whole: JsonObject, state: State) -> JsonObject:
    """The pod with the defaults of its namespace."""
    if admission.operation != "CREATE" or admission.subresource:
        return whole
    for limits in state.objects("limitranges", admission.namespace):
        requests, most = _defaults(limits)
        if requests or most:
            whole = _filled(whole, requests, most)
    return whole


def _items(limits: JsonObject) -> Iterator[JsonObject]:
    for item in as_list(as_object(limits.get("spec")).get("limits")):
        yield as_object(item)


def _defaults(limits: JsonObject) -> tuple[JsonObject, JsonObject]:
    requests: JsonObject = {}
    most: JsonObject = {}
    for item in _items(limits):
        if item.get("type") == _CONTAINER:
            requests.update(as_object(item.get("defaultRequest")))
            most.update(as_object(item.get("default")))
    return requests, most


def _filled(whole: JsonObject, requests: JsonObject, most: JsonObject) -> JsonObject:
    spec, said = dict(as_object(whole.get("spec"))), list[str]()
    for group, word in _GROUPS:
        containers: list[Json] = []
        for one in as_list(spec.get(group)):
            container = as_object(one)
            resources = dict(as_object(container.get("resources")))
            for field, what, defaults in (("requests", "request", requests), ("limits", "limit", most)):
                present = as_object(resources.get(field))
                missing = sorted(name for name in defaults if name not in present)
                if missing:
                    resources[field] = {**present, **{name: defaults[name] for name in missing}}
                    said.append(f"{', '.join(missing)} {what} for {word} {as_str(container.get('name'))}")
            containers.append({**container, "resources": resources})
        if containers:
            spec[group] = containers
    if not said:
        return whole
    metadata = meta.of(whole)
    annotations = as_object(metadata.get("annotations"))
    text = "LimitRanger plugin set: " + "; ".join(said)
    return {**whole, "metadata": {**metadata, "annotations": {**annotations, _ANNOTATION: text}}, "spec": spec}


def check(admission: Admission, state: State) -> None:
    """Raises ``Failure`` 403."""
    whole, plural = admission.object, admission.kind.plural
    if whole is None or admission.kind.group or plural not in ("pods", "persistentvolumeclaims"):
        return
    if admission.subresource and admission.subresource != "resize":
        return
    if plural == "pods" and admission.operation == "UPDATE" and admission.subresource != "resize":
        return
    for limits in state.objects("limitranges", admission.namespace):
        problems = list(_pod_problems(whole, limits) if plural == "pods" else _claim_problems(whole, limits))
        if problems:
            listed = list(dict.fromkeys(problems))
            why = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
            raise forbidden("", plural, admission.name, why)


def _amounts(value: Json) -> Mapping[str, Quantity]:
    found: dict[str, Quantity] = {}
    for name, text in as_object(value).items():
        try:
            found[name] = read(text)
        except QuantityError:
            continue  # validation refuses it
    return found


def _claim_problems(whole: JsonObject, limits: JsonObject) -> Iterator[str]:
    requests = _amounts(as_object(as_object(whole.get("spec")).get("resources")).get("requests"))
    for item in _items(limits):
        if item.get("type") == _CLAIM:
            yield from _least(item, requests, {})
            for name, most in _amounts(item.get("max")).items():
                start = f"maximum {name} usage per {_CLAIM} is {canonical(most)}"
                if name not in requests:
                    yield f"{start}.  No request is specified"
                elif requests[name] > most:
                    yield f"{start}, but request is {canonical(requests[name])}"


def _pod_problems(whole: JsonObject, limits: JsonObject) -> Iterator[str]:
    spec = as_object(whole.get("spec"))
    for item in _items(limits):
        kind = item.get("type")
        if kind == _CONTAINER:
            for group, _ in _GROUPS:
                for one in as_list(spec.get(group)):
                    resources = as_object(as_object(one).get("resources"))
                    requests, most = _amounts(resources.get("requests")), _amounts(resources.get("limits"))
                    yield from _problems(item, requests, most)
        elif kind == _POD:
            yield from _problems(item, pod_amounts(spec, "requests"), pod_amounts(spec, "limits"))


def pod_amounts(spec: JsonObject, field: str) -> Mapping[str, Quantity]:
    """What a pod needs in all: containers and sidecars together, or its most demanding init container."""
    total: dict[str, Quantity] = {}
    sidecars: dict[str, Quantity] = {}
    most: dict[str, Quantity] = {}

    def amounts(one: Json) -> Mapping[str, Quantity]:
        return _amounts(as_object(as_object(one).get("resources")).get(field))

    for one in as_list(spec.get("containers")):
        for name, amount in amounts(one).items():
            total[name] = total.get(name, ZERO) + amount
    for one in as_list(spec.get("initContainers")):
        always = as_object(one).get("restartPolicy") == "Always"
        for name, amount in amounts(one).items():
            if always:
                sidecars[name] = sidecars.get(name, ZERO) + amount
                total[name] = total.get(name, ZERO) + amount
            else:
                most[name] = max(most.get(name, ZERO), sidecars.get(name, ZERO) + amount, key=lambda q: q.amount)
    for name, amount in most.items():
        if name not in total or total[name] < amount:
            total[name] = amount
    return total


def _problems(item: JsonObject, requests: Mapping[str, Quantity], most: Mapping[str, Quantity]) -> Iterator[str]:
    yield from _least(item, requests, most)
    yield from _most(item, requests, most)
    yield from _ratio(item, requests, most)


def _least(item: JsonObject, requests: Mapping[str, Quantity], most: Mapping[str, Quantity]) -> Iterator[str]:
    for name, least in _amounts(item.get("min")).items():
        start = f"minimum {name} usage per {as_str(item.get('type'))} is {canonical(least)}"
        if name not in requests:
            yield f"{start}.  No request is specified"
        elif requests[name] < least:
            yield f"{start}, but request is {canonical(requests[name])}"
        elif name in most and most[name] < least:
            yield f"{start}, but limit is {canonical(most[name])}"


def _most(item: JsonObject, requests: Mapping[str, Quantity], most: Mapping[str, Quantity]) -> Iterator[str]:
    for name, limit in _amounts(item.get("max")).items():
        start = f"maximum {name} usage per {as_str(item.get('type'))} is {canonical(limit)}"
        if name not in most:
            yield f"{start}.  No limit is specified"
        elif most[name] > limit:
            yield f"{start}, but limit is {canonical(most[name])}"
        elif name in requests and requests[name] > limit:
            yield f"{start}, but request is {canonical(requests[name])}"


def _ratio(item: JsonObject, requests: Mapping[str, Quantity], most: Mapping[str, Quantity]) -> Iterator[str]:
    for name, ratio in _amounts(item.get("maxLimitRequestRatio")).items():
        start = f"{name} max limit to request ratio per {as_str(item.get('type'))} is {canonical(ratio)}"
        request, limit = requests.get(name, ZERO), most.get(name, ZERO)
        if not request.amount:
            yield f"{start}, but no request is specified or request is 0"
        elif not limit.amount:
            yield f"{start}, but no limit is specified or limit is 0"
        elif limit.amount / request.amount > ratio.amount:
            yield f"{start}, but provided ratio is {float(limit.amount / request.amount):f}"
