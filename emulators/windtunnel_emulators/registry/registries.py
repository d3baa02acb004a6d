"""The registries there are, as their data plane sees them: a view of ARM's resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.jsontypes import as_list, as_object, as_str

if TYPE_CHECKING:
    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.jsontypes import JsonObject

TYPE = "Microsoft.ContainerRegistry/registries"
PUBLIC_SUFFIX = ".azurecr.io"
_HERE = "127.0.0.1"


class ResourceReader(Protocol):
    """What is read of ARM's resources."""

    def get(self, id: ResourceId | str) -> Resource | None: ...
    def list(self, type: str) -> list[Resource]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One registry."""

    key: str
    """Its ARM id in lower case: what its content is kept under."""
    name: str
    login_server: str
    """``localhost:PORT``."""
    tenant: str
    admin_passwords: tuple[str, ...]
    """Empty while the admin user is disabled."""
    anonymous_pull: bool
    reachable: bool
    """Whether its network rules let this machine in."""
    arm_tokens: bool
    """Whether tokens for ARM are taken, besides those for registries."""


def registry_of(resource: Resource, tenant: str) -> Registry:
    """The data plane's view of an ARM resource."""
    properties, secrets = resource.properties, resource.secrets
    passwords = (as_str(secrets.get("password")), as_str(secrets.get("password2")))
    return Registry(
        key=resource.id.key,
        name=resource.id.name,
        login_server=as_str(properties.get("loginServer")),
        tenant=tenant,
        admin_passwords=tuple(filter(None, passwords)) if properties.get("adminUserEnabled") is True else (),
        anonymous_pull=properties.get("anonymousPullEnabled") is True,
        reachable=properties.get("publicNetworkAccess") != "Disabled" and _lets_in(properties),
        arm_tokens=_policy(properties, "azureADAuthenticationAsArmPolicy") != "disabled",
    )


def _policy(properties: JsonObject, name: str) -> str:
    return as_str(as_object(as_object(properties.get("policies")).get(name)).get("status"))


def _lets_in(properties: JsonObject) -> bool:
    rules = as_object(properties.get("networkRuleSet"))
    if rules.get("defaultAction") != "Deny":
        return True
    import ipaddress

    here = ipaddress.ip_address(_HERE)
    allowed = [as_str(as_object(rule).get("value")) for rule in as_list(rules.get("ipRules"))]
    return any(here in ipaddress.ip_network(network, strict=False) for network in allowed)


class Registries:
    """Finds registries, by id and by the server that an image reference names."""

    def __init__(self, resources: ResourceReader, tenant: str) -> None:
        self._resources = resources
        self._tenant = tenant

    def get(self, key: str) -> Registry | None:
        """By ARM id."""
        resource = self._resources.get(key)
        return None if resource is None else registry_of(resource, self._tenant)

    def at(self, server: str) -> Registry | None:
        """By login server, ``localhost:PORT``, or by the name that it would have in Azure, ``NAME.azurecr.io``."""
        wanted = server.lower()
        for resource in self._resources.list(TYPE):
            found = registry_of(resource, self._tenant)
            host, _, port = found.login_server.partition(":")
            if wanted in (
                found.login_server.lower(),
                f"127.0.0.1:{port}" if host == "localhost" else "",
                found.name.lower() + PUBLIC_SUFFIX,
            ):
                return found
        return None
