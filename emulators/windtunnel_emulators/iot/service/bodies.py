"""What clients send about identities and twins, as Structs; what is wrong with it is told with its place."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from windtunnel_emulators.iot.hub.errors import argument_invalid

B = TypeVar("B", bound=msgspec.Struct)


class KeysBody(msgspec.Struct, rename="camel"):
    primary_key: str | None = None
    secondary_key: str | None = None


class ThumbprintsBody(msgspec.Struct, rename="camel"):
    primary_thumbprint: str | None = None
    secondary_thumbprint: str | None = None


class AuthenticationBody(msgspec.Struct, rename="camel"):
    type: str | None = None
    symmetric_key: KeysBody | None = None
    x509_thumbprint: ThumbprintsBody | None = msgspec.field(default=None, name="x509Thumbprint")


class CapabilitiesBody(msgspec.Struct, rename="camel"):
    iot_edge: bool | None = None


class IdentityBody(msgspec.Struct, rename="camel"):
    """A device or a module."""

    device_id: str | None = None
    module_id: str | None = None
    status: str | None = None
    status_reason: str | None = None
    authentication: AuthenticationBody | None = None
    capabilities: CapabilitiesBody | None = None
    device_scope: str | None = None
    parent_scopes: list[str] | None = None
    managed_by: str | None = None


class PropertiesBody(msgspec.Struct, rename="camel"):
    desired: dict[str, Any] | None = None


class TwinBody(msgspec.Struct, rename="camel"):
    """What of a twin a service may change; the rest of a twin that was read is ignored."""

    tags: dict[str, Any] | None = None
    properties: PropertiesBody | None = None


class BulkBody(IdentityBody, rename="camel"):
    """One entry of a bulk request."""

    id: str = ""
    import_mode: str | None = None
    e_tag: str | None = msgspec.field(default=None, name="eTag")
    twin_e_tag: str | None = msgspec.field(default=None, name="twinETag")
    tags: dict[str, Any] | None = None
    properties: PropertiesBody | None = None


def read(value: object, kind: type[B]) -> B:
    """Raises ``HubError`` 400."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        raise argument_invalid(f"The body of the request is not as expected: {problem}.") from problem
