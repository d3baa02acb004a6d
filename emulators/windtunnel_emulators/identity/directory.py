"""Who there is in the emulated tenant: one application with a secret, one managed identity, one person.

Object ids follow from the tenant's id, so they stay the same as long as the tenant does, without being kept anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["Application", "ManagedIdentity", "User"]

PUBLIC_CLIENTS = {
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46": "Microsoft Azure CLI",
    "1950a258-227b-4e31-a9cf-717495945fc2": "Microsoft Azure PowerShell",
    "aebc6443-996d-45c2-90f0-388ff96faa56": "Visual Studio Code",
}
"""Microsoft's own applications, which every tenant knows and which sign people in without a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Someone that tokens are issued for."""

    object_id: str
    client_id: str
    """The application's id; empty for a person."""
    name: str
    kind: Kind
    resource_id: str = ""
    """A managed identity's ARM id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The tenant and its principals."""

    tenant: str
    name: str
    domain: str
    application: Principal
    managed_identity: Principal
    person: Principal
    _secret: bytes = field(repr=False)
    """The SHA-256 of the application's secret."""

    @classmethod
    def of(cls, *, tenant: str, subscription: str, client_id: str, client_secret: str) -> Directory:
        """The tenant of one state folder. Raises ``ValueError`` when ``tenant`` is no GUID or the secret is empty."""
        space = uuid.UUID(tenant)
        if not client_secret:
            raise ValueError("the application's secret is empty")
        domain = "windtunnel.onmicrosoft.com"
        return cls(
            tenant=tenant,
            name="Windtunnel",
            domain=domain,
            application=Principal(
                object_id=_id(space, "application"), client_id=client_id, name="windtunnel", kind="Application"
            ),
            managed_identity=Principal(
                object_id=_id(space, "managed identity"),
                client_id=_id(space, "managed identity's client"),
                name="windtunnel-identity",
                kind="ManagedIdentity",
                resource_id=f"/subscriptions/{subscription}/resourcegroups/windtunnel/providers"
                "/Microsoft.ManagedIdentity/userAssignedIdentities/windtunnel-identity",
            ),
            person=Principal(object_id=_id(space, "person"), client_id="", name=f"developer@{domain}", kind="User"),
            _secret=_digest(client_secret),
        )

    def has_secret(self, secret: str) -> bool:
        """Whether it is the application's, compared in constant time."""
        return hmac.compare_digest(_digest(secret), self._secret)

    def client_name(self, client_id: str) -> str | None:
        """What the application is called, if there is one of that id; ids are compared without case."""
        if client_id.lower() == self.application.client_id.lower():
            return self.application.name
        return PUBLIC_CLIENTS.get(client_id.lower())

    def is_named(self, tenant: str) -> bool:
        """Whether a path's first part is this tenant's id, its domain, or the word of AD FS, which has but one."""
        return tenant.lower() in (self.tenant.lower(), self.domain, "adfs")


def _id(space: uuid.UUID, name: str) -> str:
    return str(uuid.uuid5(space, name))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
