"""Rules of the network's kinds: services, endpoints, ingresses, network policies."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.findings import PROTOCOLS, Findings, number

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_EXTERNAL = ("NodePort", "LoadBalancer")
_LONGEST_AFFINITY_S = 86400
_LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
_IMMUTABLE = "field is immutable"


def usable_address(field: str, text: str, found: Findings) -> None:
    """Not loopback, link-local, multicast or nothing."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        found.invalid(field, text, "must be a valid IP address")
        return
    if address.is_unspecified:
        found.invalid(field, text, f"may not be unspecified ({text})")
    if address.is_loopback:
        found.invalid(field, text, _LOOPBACK)
    if address.is_link_local:
        found.invalid(field, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address.is_multicast and str(address).startswith(("224.0.0.", "ff02:")):
        found.invalid(field, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def check_service(whole: JsonObject, found: Findings) -> None:
    """A service, new or changed."""
    spec = as_object(whole.get("spec"))
    kind, addresses = spec.get("type"), [as_str(one) for one in as_list(spec.get("clusterIPs"))]
    single = as_str(spec.get("clusterIP"))
    addresses = addresses or ([single] if single else [])
    headless = addresses[:1] == ["None"]
    ports = as_list(spec.get("ports"))
    if not ports and not headless and kind != "ExternalName":
        found.required("spec.ports")
    if kind in _EXTERNAL and headless:
        found.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    elif kind == "ExternalName":
        if addresses:
            found.forbidden("spec.clusterIPs", "may not be set for ExternalName services")
        external = as_str(spec.get("externalName"))
        if external:
            found.each("spec.externalName", external, names.subdomain(external.removesuffix(".")))
        else:
            found.required("spec.externalName")
    elif not headless:
        for index, address in enumerate(addresses):
            if address:
                found.address(f"spec.clusterIPs[{index}]", address)
    _ports(ports, spec, headless, found)
    found.labels("spec.selector", spec.get("selector"))
    found.one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    _affinity(spec, found)
    for index, entry in enumerate(as_list(spec.get("externalIPs"))):
        if found.address(f"spec.externalIPs[{index}]", entry):
            usable_address(f"spec.externalIPs[{index}]", as_str(entry), found)
    if not kind:
        found.required("spec.type")
    found.one_of("spec.type", kind, _TYPES)
    _traffic(spec, found)


def _ports(ports: list[Json], spec: JsonObject, headless: bool, found: Findings) -> None:
    seen: set[str] = set()
    used: set[tuple[str, int]] = set()
    nodes: set[tuple[str, int]] = set()
    kind = spec.get("type")
    for index, entry in enumerate(ports):
        port, at = as_object(entry), f"spec.ports[{index}]"
        name = as_str(port.get("name"))
        if not name:
            if len(ports) > 1:
                found.required(f"{at}.name")
        else:
            found.each(f"{at}.name", name, names.label(name))
            if name in seen:
                found.duplicate(f"{at}.name", name)
            seen.add(name)
        found.each(f"{at}.port", port.get("port", 0), names.port_number(number(port.get("port"))))
        found.one_of(f"{at}.protocol", port.get("protocol"), PROTOCOLS)
        found.port(f"{at}.targetPort", port.get("targetPort"))
        node = number(port.get("nodePort"))
        if node and kind in ("ClusterIP", "ExternalName"):
            found.forbidden(f"{at}.nodePort", f"may not be used when `type` is '{kind}'")
        key = (as_str(port.get("protocol")), number(port.get("port")))
        if key in used:
            shown: JsonObject = {
                "Name": "",
                "Protocol": key[0],
                "AppProtocol": None,
                "Port": key[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            found.duplicate(at, shown)
        used.add(key)
        if node:
            if (key[0], node) in nodes:
                found.duplicate(f"{at}.nodePort", node)
            nodes.add((key[0], node))


def _affinity(spec: JsonObject, found: Findings) -> None:
    config = spec.get("sessionAffinityConfig")
    field = "spec.sessionAffinityConfig"
    if spec.get("sessionAffinity") == "ClientIP":
        seconds = as_object(as_object(config).get("clientIP")).get("timeoutSeconds")
        if not isinstance(seconds, int) or not 0 < seconds <= _LONGEST_AFFINITY_S:
            message = f"must be greater than 0 and less than {_LONGEST_AFFINITY_S}"
            found.invalid(f"{field}.clientIP.timeoutSeconds", seconds, message)
    elif config is not None:
        found.forbidden(field, "must not be set when session affinity is None")


def _traffic(spec: JsonObject, found: Findings) -> None:
    kind = spec.get("type")
    for index, entry in enumerate(as_list(spec.get("loadBalancerSourceRanges"))):
        if kind != "LoadBalancer":
            found.forbidden("spec.LoadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'")
            break
        found.network(f"spec.LoadBalancerSourceRanges[{index}]", as_str(entry).strip())
    if kind != "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not None:
        found.forbidden("spec.allocateLoadBalancerNodePorts", "may only be used when `type` is 'LoadBalancer'")
    if kind != "LoadBalancer" and spec.get("loadBalancerClass") is not None:
        found.forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'")
    external = spec.get("externalTrafficPolicy")
    reachable = kind in _EXTERNAL or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if not reachable:
        if external:
            found.invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services")
    elif not external:
        found.required("spec.externalTrafficPolicy")
    else:
        found.one_of("spec.externalTrafficPolicy", external, ("Cluster", "Local"))
    health = number(spec.get("healthCheckNodePort"))
    if health and not (kind == "LoadBalancer" and external == "Local"):
        message = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        found.invalid("spec.healthCheckNodePort", health, message)
    found.one_of("spec.internalTrafficPolicy", spec.get("internalTrafficPolicy"), ("Cluster", "Local"))


def check_service_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    """An address that a service has stays its own."""
    before, after = as_object(old.get("spec")), as_object(new.get("spec"))
    if before.get("type") == "ExternalName" or after.get("type") == "ExternalName":
        return
    was, now = as_list(before.get("clusterIPs"))[:1], as_list(after.get("clusterIPs"))[:1]
    if before.get("clusterIP") and before.get("clusterIP") != after.get("clusterIP"):
        found.invalid("spec.clusterIPs[0]", now or as_list([after.get("clusterIP")]), "may not change once set")
    elif was and now and was != now:
        found.invalid("spec.clusterIPs[0]", now, "may not change once set")


def check_endpoints(whole: JsonObject, found: Findings) -> None:
    for index, entry in enumerate(as_list(whole.get("subsets"))):
        subset, at = as_object(entry), f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            found.required(at, "must specify `addresses` or `notReadyAddresses`")
        for kind in ("addresses", "notReadyAddresses"):
            for place, address in enumerate(as_list(subset.get(kind))):
                text = as_str(as_object(address).get("ip"))
                field = f"{at}.{kind}[{place}].ip"
                found.address(field, text)
                usable_address(field, text, found)
        ports = as_list(subset.get("ports"))
        for place, port in enumerate(ports):
            _endpoint_port(f"{at}.ports[{place}]", as_object(port), len(ports) > 1, found)


def _endpoint_port(field: str, port: JsonObject, needs_name: bool, found: Findings) -> None:
    name = as_str(port.get("name"))
    if name:
        found.each(f"{field}.name", name, names.label(name))
    elif needs_name:
        found.required(f"{field}.name")
    found.each(f"{field}.port", port.get("port", 0), names.port_number(number(port.get("port"))))
    if not port.get("protocol"):
        found.required(f"{field}.protocol")
    found.one_of(f"{field}.protocol", port.get("protocol"), PROTOCOLS)


def check_endpoint_slice(whole: JsonObject, found: Findings) -> None:
    kind = as_str(whole.get("addressType"))
    if not kind:
        found.required("addressType")
    else:
        found.one_of("addressType", kind, ("FQDN", "IPv4", "IPv6"))
    seen: set[str] = set()
    for index, entry in enumerate(as_list(whole.get("ports"))):
        port, at = as_object(entry), f"ports[{index}]"
        name = as_str(port.get("name"))
        if name:
            found.each(f"{at}.name", name, names.label(name))
        if name in seen:
            found.duplicate(f"{at}.name", name)
        seen.add(name)
        found.one_of(f"{at}.protocol", port.get("protocol"), PROTOCOLS)
    for index, entry in enumerate(as_list(whole.get("endpoints"))):
        _endpoint(f"endpoints[{index}]", as_object(entry), kind, found)


def _endpoint(at: str, endpoint: JsonObject, kind: str, found: Findings) -> None:
    addresses = as_list(endpoint.get("addresses"))
    if not addresses:
        found.required(f"{at}.addresses", "must contain at least 1 address")
    elif len(addresses) > 100:
        from windtunnel_emulators.kubernetes.objects.causes import too_many

        found.add([too_many(f"{at}.addresses", len(addresses), 100)])
    for index, entry in enumerate(addresses):
        text, field = as_str(entry), f"{at}.addresses[{index}]"
        if kind == "FQDN":
            found.each(field, text, names.fully_qualified(text))
        elif kind in ("IPv4", "IPv6") and found.address(field, text):
            if f"IPv{ipaddress.ip_address(text).version}" != kind:
                found.invalid(f"{at}.addresses", text, f"must be an {kind} address")
            usable_address(field, text, found)
    host = as_str(endpoint.get("hostname"))
    if host:
        found.each(f"{at}.hostname", host, names.label(host))


def check_endpoint_slice_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    if old.get("addressType") != new.get("addressType"):
        found.invalid("addressType", new.get("addressType"), _IMMUTABLE)


def check_ingress(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    rules = as_list(spec.get("rules"))
    if not rules and spec.get("defaultBackend") is None:
        found.invalid("spec", None, "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend") is not None:
        _backend("spec.defaultBackend", as_object(spec["defaultBackend"]), found)
    for index, entry in enumerate(rules):
        _ingress_rule(f"spec.rules[{index}]", as_object(entry), found)
    for index, entry in enumerate(as_list(spec.get("tls"))):
        tls, at = as_object(entry), f"spec.tls[{index}]"
        for place, host in enumerate(as_list(tls.get("hosts"))):
            _host(f"{at}.hosts[{place}]", as_str(host), found)
        secret = as_str(tls.get("secretName"))
        if secret:
            found.each(f"{at}.secretName", secret, names.subdomain(secret))
    class_ = spec.get("ingressClassName")
    if isinstance(class_, str):
        found.each("spec.ingressClassName", class_, names.subdomain(class_))


def _host(field: str, host: str, found: Findings) -> None:
    if host.startswith("*."):
        found.each(field, host, names.subdomain(host[2:]))
    else:
        found.each(field, host, names.subdomain(host))


def _ingress_rule(at: str, rule: JsonObject, found: Findings) -> None:
    host = as_str(rule.get("host"))
    if host:
        if not names.address(host):
            found.invalid(f"{at}.host", host, "must be a DNS name, not an IP address")
        else:
            _host(f"{at}.host", host, found)
    if rule.get("http") is None:
        return
    paths = as_list(as_object(rule["http"]).get("paths"))
    if not paths:
        found.required(f"{at}.http.paths")
    for index, entry in enumerate(paths):
        path, field = as_object(entry), f"{at}.http.paths[{index}]"
        kind, text = path.get("pathType"), as_str(path.get("path"))
        if kind is None:
            found.required(f"{field}.pathType", "pathType must be specified")
        elif kind in ("Exact", "Prefix"):
            if not text.startswith("/"):
                found.invalid(f"{field}.path", text, "must be an absolute path")
            for wrong in ("//", "/./", "/../", "%2f", "%2F"):
                if wrong in text:
                    found.invalid(f"{field}.path", text, f"must not contain '{wrong}'")
        elif kind == "ImplementationSpecific":
            if text and not text.startswith("/"):
                found.invalid(f"{field}.path", text, "must be an absolute path")
        else:
            found.unsupported(f"{field}.pathType", kind, ("Exact", "ImplementationSpecific", "Prefix"))
        _backend(f"{field}.backend", as_object(path.get("backend")), found)


def _backend(field: str, backend: JsonObject, found: Findings) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        found.invalid(field, "", "cannot set both resource and service backends")
    elif resource is not None:
        for name in ("kind", "name"):
            if not as_object(resource).get(name):
                found.required(f"{field}.resource.{name}")
    elif service is not None:
        one = as_object(service)
        port = as_object(one.get("port"))
        name = as_str(one.get("name"))
        if not name:
            found.required(f"{field}.service.name")
        else:
            found.each(f"{field}.service.name", name, names.label_1035(name))
        if port.get("name") and port.get("number"):
            found.invalid(field, "", "cannot set both port name & port number")
        elif port.get("name"):
            found.each(f"{field}.service.port.name", port["name"], names.port_name(as_str(port["name"])))
        elif port.get("number"):
            found.each(f"{field}.service.port.number", port["number"], names.port_number(number(port["number"])))
        else:
            found.required(field, "port name or number is required")
    else:
        found.invalid(field, "", "resource or service backend is required")


def check_ingress_class(whole: JsonObject, found: Findings) -> None:
    controller = as_str(as_object(whole.get("spec")).get("controller"))
    if not controller:
        found.required("spec.controller")
        return
    domain, slash, path = controller.partition("/")
    if not slash or not path or names.subdomain(domain):
        found.invalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")')


def check_network_policy(whole: JsonObject, found: Findings) -> None:
    spec = as_object(whole.get("spec"))
    found.selector("spec.podSelector", spec.get("podSelector"))
    for kind, peers in (("ingress", "from"), ("egress", "to")):
        for index, entry in enumerate(as_list(spec.get(kind))):
            rule, at = as_object(entry), f"spec.{kind}[{index}]"
            for place, port in enumerate(as_list(rule.get("ports"))):
                _policy_port(f"{at}.ports[{place}]", as_object(port), found)
            for place, peer in enumerate(as_list(rule.get(peers))):
                _peer(f"{at}.{peers}[{place}]", as_object(peer), found)
    types = as_list(spec.get("policyTypes"))
    for index, kind_ in enumerate(types):
        found.one_of(f"spec.policyTypes[{index}]", kind_, ("Ingress", "Egress"))


def _policy_port(field: str, port: JsonObject, found: Findings) -> None:
    found.one_of(f"{field}.protocol", port.get("protocol"), ("TCP", "UDP", "SCTP"))
    number_, last = port.get("port"), port.get("endPort")
    found.port(f"{field}.port", number_)
    if last is not None:
        if number_ is None:
            found.required(f"{field}.port", "must be specified when `endPort` is set")
        elif isinstance(number_, str):
            found.invalid(f"{field}.endPort", last, "may not be specified when `port` is non-numeric")
        elif number(last) < number(number_):
            found.invalid(f"{field}.endPort", number_, "must be greater than or equal to `port`")


def _peer(field: str, peer: JsonObject, found: Findings) -> None:
    for name in ("podSelector", "namespaceSelector"):
        if peer.get(name) is not None:
            found.selector(f"{field}.{name}", peer[name])
    block = peer.get("ipBlock")
    if block is not None:
        if peer.get("podSelector") is not None or peer.get("namespaceSelector") is not None:
            found.forbidden(field, "may not specify both ipBlock and another peer")
        cidr = as_object(block).get("cidr")
        found.network(f"{field}.ipBlock.cidr", cidr)
    elif peer.get("podSelector") is None and peer.get("namespaceSelector") is None:
        found.required(field, "must specify a peer")
