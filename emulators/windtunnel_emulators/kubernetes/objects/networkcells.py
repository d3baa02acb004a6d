"""What tables show of services, endpoints, nodes and events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects.cellvalues import (
    NONE,
    UNKNOWN,
    UNSET,
    age,
    at,
    few,
    labels,
    name,
    number,
    text,
)
from windtunnel_emulators.kubernetes.objects.durations import since

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject


_ROLE = "node-role.kubernetes.io/"


def service_cells(whole: JsonObject, now: datetime) -> list[Json]:
    kind = text(whole, "spec", "type")
    outside = [as_str(address) for address in as_list(at(whole, "spec", "externalIPs"))]
    if kind == "ExternalName":
        external = text(whole, "spec", "externalName")
    elif kind == "LoadBalancer":
        ingress = [
            text(one, "ip") or text(one, "hostname") for one in as_list(at(whole, "status", "loadBalancer", "ingress"))
        ]
        external = ",".join([*(one for one in ingress if one), *outside]) or "<pending>"
    else:
        external = ",".join(outside) or NONE
    ports: list[str] = []
    for port in as_list(at(whole, "spec", "ports")):
        node = number(port, "nodePort")
        inner = f"{number(port, 'port')}:{node}" if node else str(number(port, "port"))
        ports.append(f"{inner}/{text(port, 'protocol')}")
    addresses = as_list(at(whole, "spec", "clusterIPs"))
    address = as_str(addresses[0]) if addresses else text(whole, "spec", "clusterIP")
    return [
        name(whole),
        kind,
        address or NONE,
        external,
        ",".join(ports) or NONE,
        age(whole, now),
        labels(at(whole, "spec", "selector")),
    ]


def endpoints_cells(whole: JsonObject, now: datetime) -> list[Json]:
    found: list[str] = []
    for subset in as_list(whole.get("subsets")):
        addresses = [text(one, "ip") for one in as_list(at(subset, "addresses"))]
        ports = [number(port, "port") for port in as_list(at(subset, "ports"))]
        if ports:
            found += [f"{address}:{port}" for port in ports for address in addresses]
        else:
            found += addresses
    return [name(whole), few(found) or NONE, age(whole, now)]


def endpoint_slice_cells(whole: JsonObject, now: datetime) -> list[Json]:
    ports = [
        str(number(port, "port")) if at(port, "port") is not None else text(port, "name") or "*"
        for port in as_list(whole.get("ports"))
    ]
    addresses = [as_str(one) for each in as_list(whole.get("endpoints")) for one in as_list(at(each, "addresses"))]
    return [name(whole), text(whole, "addressType"), few(ports) or UNSET, few(addresses) or UNSET, age(whole, now)]


def node_cells(whole: JsonObject, now: datetime) -> list[Json]:
    ready = next((one for one in as_list(at(whole, "status", "conditions")) if text(one, "type") == "Ready"), None)
    words = [{"True": "Ready"}.get(text(ready, "status"), "NotReady") if ready is not None else "Unknown"]
    if at(whole, "spec", "unschedulable") is True:
        words.append("SchedulingDisabled")
    marked = as_object(at(whole, "metadata", "labels"))
    roles = {key.removeprefix(_ROLE) for key in marked if key.startswith(_ROLE) and len(key) > len(_ROLE)}
    if marked.get("kubernetes.io/role"):
        roles.add(as_str(marked["kubernetes.io/role"]))
    addresses = {text(one, "type"): text(one, "address") for one in reversed(as_list(at(whole, "status", "addresses")))}
    told = [
        text(whole, "status", "nodeInfo", field) or UNKNOWN
        for field in ("osImage", "kernelVersion", "containerRuntimeVersion")
    ]
    return [
        name(whole),
        ",".join(words),
        ",".join(sorted(roles)) or NONE,
        age(whole, now),
        text(whole, "status", "nodeInfo", "kubeletVersion"),
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        *told,
    ]


def event_cells(whole: JsonObject, now: datetime) -> list[Json]:
    new = "regarding" in whole
    about = whole.get("regarding" if new else "involvedObject")
    first_field, last_field = (
        ("deprecatedFirstTimestamp", "deprecatedLastTimestamp") if new else ("firstTimestamp", "lastTimestamp")
    )
    when = whole.get("eventTime")
    first, last = whole.get(first_field) or when, whole.get(last_field) or when
    count = number(whole, "deprecatedCount" if new else "count") or 1
    if isinstance(whole.get("series"), dict):
        last, count = at(whole, "series", "lastObservedTime"), number(whole, "series", "count")
    source = whole.get("deprecatedSource" if new else "source")
    component = text(source, "component") or text(whole, "reportingController" if new else "reportingComponent")
    instance = text(source, "host") or text(whole, "reportingInstance")
    target = text(about, "kind").lower()
    if text(about, "name"):
        target = f"{target}/{text(about, 'name')}"
    return [
        since(last, now),
        text(whole, "type"),
        text(whole, "reason"),
        target,
        text(about, "fieldPath"),
        f"{component}, {instance}" if instance else component,
        text(whole, "note" if new else "message").strip(),
        since(first, now),
        count,
        name(whole),
    ]
