"""Identities: the devices and modules that a hub knows, as values."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import msgspec

from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json

Authentication: TypeAlias = Literal["sas", "selfSigned", "certificateAuthority", "none"]

AGENT, EDGE_HUB = "$edgeAgent", "$edgeHub"
"""The modules that every edge device has."""

_DEVICE = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")
_MODULE = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")
_THUMBPRINT = re.compile(r"(?:[0-9A-F]{40}|[0-9A-F]{64})")


class Who(NamedTuple):
    """A device, or a module of one."""

    device: str
    module: str = ""

    @property
    def path(self) -> str:
        """Below the host name, in tokens and service calls."""
        return f"devices/{self.device}/modules/{self.module}" if self.module else f"devices/{self.device}"

    def __str__(self) -> str:
        return f"{self.device}/{self.module}" if self.module else self.device


class Keys(msgspec.Struct, frozen=True):
    """The two symmetric keys, base64; or the two thumbprints of certificates."""

    primary: str
    secondary: str

    def __repr__(self) -> str:
        return "Keys(...)"


class Identity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the registry keeps of one device or module; its keys are kept apart (``Identities.keys``)."""

    device: str
    module: str = ""
    generation: str
    etag: str
    enabled: bool = True
    reason: str | None = None
    status_updated: datetime | None = None
    authentication: Authentication = "sas"
    thumbprints: Keys | None = None
    edge: bool = False
    scope: str | None = None
    """An edge device's own scope, or the scope of the edge device that a child belongs to."""
    parents: tuple[str, ...] = ()
    managed_by: str | None = None
    connection_updated: datetime | None = None
    last_activity: datetime | None = None

    @property
    def who(self) -> Who:
        return Who(self.device, self.module)


def new_keys() -> Keys:
    """Two keys of 32 bytes, as IoT Hub makes them since 2024 (64 bytes; 32 before)."""
    return Keys(new_key(), new_key())


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def check_key(value: str, place: str) -> str:
    """The key, if it is base64 of 16 to 64 bytes. Raises ``HubError`` 400."""
    try:
        size = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not 16 <= size <= 64:
        raise HubError(400, "DeviceKeyInvalid", f"{place} must be the base64 text of 16 to 64 bytes.")
    return value


def check_thumbprint(value: str, place: str) -> str:
    """In capitals, without separators; an empty one stays empty. Raises ``HubError`` 400."""
    plain = value.replace(":", "").replace(" ", "").upper()
    if plain and not _THUMBPRINT.fullmatch(plain):
        raise argument_invalid(f"{place} must be a SHA-1 or SHA-256 thumbprint: 40 or 64 hexadecimal digits.")
    return plain


def check_who(who: Who) -> Who:
    """Raises ``HubError`` 400 for an id that none may have."""
    if not _DEVICE.fullmatch(who.device):
        raise argument_invalid(_id_rule("device", who.device))
    if who.module and not _MODULE.fullmatch(who.module):
        raise argument_invalid(_id_rule("module", who.module))
    return who


def short(moment: datetime | None) -> Json:
    """A time as the registry prints it; the year 1 for never."""
    if moment is None:
        return "0001-01-01T00:00:00Z"
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def _id_rule(kind: str, value: str) -> str:
    return (
        f"The {kind} id '{value[:130]}' is invalid: it has 1 to 128 characters, letters and digits of ASCII and any of"
        " - : . + % _ # * ? ! ( ) , = @ ; $ '"
    )
