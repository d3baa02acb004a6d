"""Services are given addresses of the cluster's ranges and ports of its nodes, and have IPAddress objects for them.

One family: the clusters of the emulators are IPv4.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.access.allocation import fields
from windtunnel_emulators.kubernetes.access.allocation.pools import Pool, pick
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import Failure, internal, invalid
from windtunnel_emulators.kubernetes.objects import causes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.allocation.pools import Owner
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State
    from windtunnel_emulators.kubernetes.api.storage import Event
    from windtunnel_emulators.kubernetes.objects.causes import Cause

ADDRESSES = "ipaddresses.networking.k8s.io"
RANGES = "servicecidrs.networking.k8s.io"
NODE_PORTS = range(30000, 32768)
_CHOSEN_PORTS = 86
"""So many of the lowest node ports are left to those who choose theirs, as the real server does for this range."""
_LABELS: JsonObject = {
    "ipaddress.kubernetes.io/ip-family": "IPv4",
    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What one Service is about to get, and what it cannot get."""

    owner: Owner
    problems: list[Cause] = field(default_factory=list[causes.Cause])
    addresses: list[str] = field(default_factory=list[str])
    ports: list[int] = field(default_factory=list[int])


class ServiceAllocation:
    """Addresses and ports of one cluster's Services."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._addresses: Pool[str] = Pool(state.clock.monotonic)
        self._ports: Pool[int] = Pool(state.clock.monotonic)

    def start(self) -> None:
        """Know what Services have, from now on."""
        for service in self._state.objects("services"):
            self._hold(_owner(service), service)
        self._state.follow("services", self._changed)

    def _hold(self, owner: Owner, service: JsonObject | None) -> None:
        spec = {} if service is None else as_object(service.get("spec"))
        got, gave = self._addresses.hold(owner, fields.addresses_of(spec))
        self._ports.hold(owner, fields.node_ports_of(spec))
        if got or gave:
            self._state.spawn(self._record(owner, got, gave), "addresses of a service")

    def _changed(self, event: Event) -> None:
        self._hold(event.key, None if event.deleted else event.new.object)

    async def _record(self, owner: Owner, got: Iterable[str], gave: Iterable[str]) -> None:
        for address in gave:
            found = self._state.get(ADDRESSES, "", address)
            parent = as_object(as_object(as_object(found).get("spec")).get("parentRef"))
            if (parent.get("namespace"), parent.get("name")) == owner:
                await self._state.remove(ADDRESSES, "", address)
        for address in got:
            if self._state.get(ADDRESSES, "", address) is None:
                await self._state.create(ADDRESSES, _address_object(address, owner))

    def allocate(self, admission: Admission, whole: JsonObject) -> JsonObject:
        """The Service with its addresses and ports. Raises ``Failure`` 422."""
        spec = as_object(whole.get("spec"))
        owner = admission.namespace, meta.text(whole, "name")
        old = None if admission.old is None else as_object(admission.old.get("spec"))
        if old is not None:
            spec = fields.dropped(fields.carried(spec, old), old)
        if not fields.needs_address(spec):
            return {**whole, "spec": spec}
        draft = _Draft(owner=owner)
        spec = self._families(spec, draft)
        if not draft.problems:
            spec = self._with_address(spec, draft)
        if fields.needs_node_ports(spec) and not draft.problems:
            spec = self._with_ports(spec, draft)
        if fields.needs_health_port(spec) and not draft.problems:
            spec = self._with_health_port(spec, draft)
        if draft.problems:
            raise _invalid(whole, draft.problems)
        if not admission.dry_run:
            for address in draft.addresses:
                self._addresses.reserve(owner, address)
            for port in draft.ports:
                self._ports.reserve(owner, port)
        return {**whole, "spec": spec}

    def _families(self, spec: JsonObject, draft: _Draft) -> JsonObject:
        policy, families = as_str(spec.get("ipFamilyPolicy")), as_list(spec.get("ipFamilies"))
        addresses = as_list(spec.get("clusterIPs")) or [spec["clusterIP"]] if spec.get("clusterIP") else []
        headless = bool(addresses) and addresses[0] == fields.HEADLESS
        made = {**spec}
        if addresses:
            made["clusterIP"] = spec.get("clusterIP") or addresses[0]
            made["clusterIPs"] = addresses
        if headless and not as_object(spec.get("selector")):
            # Whoever writes the endpoints of such a Service says what they are: any will do.
            made["ipFamilyPolicy"] = policy = policy or "RequireDualStack"
            both: list[Json] = ["IPv4", "IPv6"]
            made["ipFamilies"] = families or (["IPv4"] if policy == "SingleStack" else both)
            return made
        if policy == "RequireDualStack":
            why = "this cluster is not configured for dual-stack services"
            draft.problems.append(causes.invalid("spec.ipFamilyPolicy", policy, why))
        for index, family in enumerate(families):
            if family == "IPv6":
                why = "not configured on this cluster"
                draft.problems.append(causes.invalid(f"spec.ipFamilies[{index}]", family, why))
        made["ipFamilyPolicy"] = policy or "SingleStack"
        made["ipFamilies"] = families or ["IPv4"]
        return made

    def _with_address(self, spec: JsonObject, draft: _Draft) -> JsonObject:
        owner = draft.owner
        asked = [as_str(one) for one in as_list(spec.get("clusterIPs"))]
        if asked and asked[0] == fields.HEADLESS:
            return spec
        if not asked:
            address = self._next_address(owner)
            draft.addresses.append(address)
            return {**spec, "clusterIP": address, "clusterIPs": [address]}
        if spec.get("clusterIP") != asked[0]:
            return spec  # validation has the words
        for address in asked:
            try:
                parsed = ipaddress.ip_address(address)
            except ValueError:
                return spec  # validation has the words
            why = ""
            if not self._addresses.free(address, owner) or self._taken_by_other(address, owner):
                why = "provided IP is already allocated"
            elif not any(parsed in network for network in self._networks()):
                why = "the provided network does not match the current range"
            if why and address not in self._held_by(owner):
                listed: list[Json] = [*asked]
                problem = f"failed to allocate IP {address}: {why}"
                draft.problems.append(causes.invalid("spec.clusterIPs", listed, problem))
                return spec
            draft.addresses.append(address)
        return spec

    def _held_by(self, owner: Owner) -> list[str]:
        service = self._state.get("services", *owner)
        return [] if service is None else fields.addresses_of(as_object(service.get("spec")))

    def _taken_by_other(self, address: str, owner: Owner) -> bool:
        found = self._state.get(ADDRESSES, "", address)
        if found is None:
            return False
        parent = as_object(as_object(found.get("spec")).get("parentRef"))
        return (parent.get("namespace"), parent.get("name")) != owner

    def _networks(self) -> list[ipaddress.IPv4Network]:
        found: list[ipaddress.IPv4Network] = []
        for whole in self._state.objects(RANGES):
            if meta.text(whole, "deletionTimestamp"):
                continue
            for text in as_list(as_object(whole.get("spec")).get("cidrs")):
                network = ipaddress.ip_network(as_str(text))
                if isinstance(network, ipaddress.IPv4Network):
                    found.append(network)
        return found

    def _next_address(self, owner: Owner) -> str:
        def is_free(address: str) -> bool:
            return self._addresses.free(address, owner) and self._state.get(ADDRESSES, "", address) is None

        for network in self._networks():
            hosts = _hosts(network)
            found = pick(hosts, is_free, min(max(16, len(hosts) // 16), 256))
            if found is not None:
                return found
        raise internal("failed to allocate a serviceIP: range is full")

    def _with_ports(self, spec: JsonObject, draft: _Draft) -> JsonObject:
        owner = draft.owner
        ports = [as_object(one) for one in as_list(spec.get("ports"))]
        held = self._held_ports(owner)
        chosen: dict[int, set[str]] = {}
        """The protocols for which a node port is used by this Service."""
        by_port: dict[Json, int] = {}
        for index, port in enumerate(ports):
            number = fields.number_of(port.get("nodePort"))
            if not number:
                continue
            why = ""
            if number not in NODE_PORTS:
                valid = f"The range of valid ports is {NODE_PORTS[0]}-{NODE_PORTS[-1]}"
                why = f"provided port is not in the valid range. {valid}"
            elif not self._ports.free(number, owner):
                why = "provided port is already allocated"
            if why and number not in held:
                draft.problems.append(causes.invalid(f"spec.ports[{index}].nodePort", number, why))
                continue
            chosen.setdefault(number, set()).add(as_str(port.get("protocol")))
            by_port[port.get("port")] = number
        if draft.problems:
            return spec
        made: list[Json] = []
        for port in ports:
            protocol = as_str(port.get("protocol"))
            number = fields.number_of(port.get("nodePort"))
            if not number:
                number = by_port.get(port.get("port"), 0)
                if not number or protocol in chosen.get(number, ()):
                    number = self._next_port(owner, {*chosen})
                chosen.setdefault(number, set()).add(protocol)
                by_port[port.get("port")] = number
                port = {**port, "nodePort": number}  # the port with its node port
            made.append(port)
        draft.ports.extend(chosen)
        return {**spec, "ports": made}

    def _held_ports(self, owner: Owner) -> list[int]:
        service = self._state.get("services", *owner)
        return [] if service is None else fields.node_ports_of(as_object(service.get("spec")))

    def _next_port(self, owner: Owner, used: set[int]) -> int:
        held = {*self._held_ports(owner), *used}

        def is_free(port: int) -> bool:
            return port not in held and self._ports.owner(port) is None

        found = pick(NODE_PORTS, is_free, _CHOSEN_PORTS)
        if found is None:
            raise internal("failed to allocate a nodePort: range is full")
        return found

    def _with_health_port(self, spec: JsonObject, draft: _Draft) -> JsonObject:
        owner = draft.owner
        number = fields.number_of(spec.get("healthCheckNodePort"))
        if not number:
            number = self._next_port(owner, {*fields.node_ports_of(spec)})
        elif not self._ports.free(number, owner) and number not in self._held_ports(owner):
            why = f"failed to allocate requested HealthCheck NodePort {number}: provided port is already allocated"
            raise internal(why)
        draft.ports.append(number)
        return {**spec, "healthCheckNodePort": number}


@lru_cache(maxsize=8)
def _hosts(network: ipaddress.IPv4Network) -> _Hosts:
    return _Hosts(network)


class _Hosts:
    """The addresses of a network that hosts can have, without a list of them."""

    def __init__(self, network: ipaddress.IPv4Network) -> None:
        self._first = int(network.network_address) + 1
        self._size = max(0, network.num_addresses - 2)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < self._size:
            raise IndexError(index)
        return str(ipaddress.IPv4Address(self._first + index))


def _owner(service: JsonObject) -> Owner:
    return meta.text(service, "namespace"), meta.text(service, "name")


def _address_object(address: str, owner: Owner) -> JsonObject:
    parent: JsonObject = {"resource": "services", "namespace": owner[0], "name": owner[1]}
    return {
        "kind": "IPAddress",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": address, "labels": dict(_LABELS)},
        "spec": {"parentRef": parent},
    }


def _invalid(whole: JsonObject, problems: list[Cause]) -> Failure:
    return invalid("", "Service", meta.text(whole, "name"), [problem.json() for problem in problems])
