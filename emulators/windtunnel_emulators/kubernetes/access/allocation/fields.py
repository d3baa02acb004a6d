"""What fields of a Service ask for, by its type, and what of the present state counts when they are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

HEADLESS = "None"


def type_of(spec: JsonObject) -> str:
    return as_str(spec.get("type")) or "ClusterIP"


def needs_address(spec: JsonObject) -> bool:
    return type_of(spec) in ("ClusterIP", "NodePort", "LoadBalancer")


def needs_node_ports(spec: JsonObject) -> bool:
    kind = type_of(spec)
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)


def needs_health_port(spec: JsonObject) -> bool:
    return type_of(spec) == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def addresses_of(spec: JsonObject) -> list[str]:
    """The addresses that are set, in both forms of the field; the words for none are not among them."""
    found = [as_str(one) for one in as_list(spec.get("clusterIPs"))] or [as_str(spec.get("clusterIP"))]
    return [address for address in found if address not in ("", HEADLESS)]


def node_ports_of(spec: JsonObject) -> list[int]:
    """The node ports that are set, that of health checks too."""
    found = [number_of(as_object(port).get("nodePort")) for port in as_list(spec.get("ports"))]
    found.append(number_of(spec.get("healthCheckNodePort")))
    return [port for port in found if port]


def number_of(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _same(old: JsonObject, new: JsonObject, *names: str) -> bool:
    return all(old.get(name) == new.get(name) for name in names)


def _without(spec: JsonObject, *names: str) -> JsonObject:
    return {name: value for name, value in spec.items() if name not in names}


def carried(new: JsonObject, old: JsonObject) -> JsonObject:
    """The next spec with what was allocated before and is not set now."""
    made = dict(new)
    if needs_address(old) and needs_address(new):
        if not made.get("clusterIP") and not made.get("clusterIPs"):
            made["clusterIP"] = old.get("clusterIP")
        if not made.get("clusterIPs") and made.get("clusterIP") == old.get("clusterIP"):
            made["clusterIPs"] = old.get("clusterIPs")
    if needs_node_ports(old) and needs_node_ports(new):
        before = {as_str(as_object(port).get("name")): as_object(port) for port in as_list(old.get("ports"))}
        present = {number_of(port.get("nodePort")) for port in before.values()}
        used = present & {number_of(as_object(port).get("nodePort")) for port in as_list(new.get("ports"))}
        ports: list[Json] = []
        for one in as_list(new.get("ports")):
            port = as_object(one)
            known = number_of(before.get(as_str(port.get("name")), {}).get("nodePort"))
            if not number_of(port.get("nodePort")) and known and known not in used:
                used.add(known)
                port = {**port, "nodePort": known}
            ports.append(port)
        made["ports"] = ports
    if needs_health_port(old) and needs_health_port(new) and not made.get("healthCheckNodePort"):
        made["healthCheckNodePort"] = old.get("healthCheckNodePort")
    return made


def dropped(new: JsonObject, old: JsonObject) -> JsonObject:
    """The next spec without what its type has no use for, unless it has just been set."""
    made: JsonObject = new
    if needs_address(old) and not needs_address(new):
        if not made.get("clusterIP") or _same(old, new, "clusterIP", "clusterIPs"):
            made = _without(made, "clusterIP", "clusterIPs")
        for name in ("ipFamilies", "ipFamilyPolicy"):
            if _same(old, new, name):
                made = _without(made, name)
        if _same(old, new, "internalTrafficPolicy"):
            made = _without(made, "internalTrafficPolicy")
    before = {number_of(as_object(port).get("nodePort")) for port in as_list(old.get("ports"))}
    after = {number_of(as_object(port).get("nodePort")) for port in as_list(new.get("ports"))}
    if needs_node_ports(old) and not needs_node_ports(new) and after <= before | {0}:
        ports: list[Json] = [_without(as_object(port), "nodePort") for port in as_list(made.get("ports"))]
        if ports:
            made = {**made, "ports": ports}
    if needs_health_port(old) and not needs_health_port(new) and _same(old, new, "healthCheckNodePort"):
        made = _without(made, "healthCheckNodePort")
    if type_of(old) == "LoadBalancer" != type_of(new):
        for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if _same(old, new, name):
                made = _without(made, name)
    external = ("NodePort", "LoadBalancer")
    if type_of(old) in external and type_of(new) not in external and _same(old, new, "externalTrafficPolicy"):
        made = _without(made, "externalTrafficPolicy")
    return made
