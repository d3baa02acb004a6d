"""Identities as a hub's service API shows them, read into values; and the file that keeps them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast, get_args

import msgspec

from windtunnel_emulators.edge.interface import Refused
from windtunnel_emulators.files import read_secret, write_secret
from windtunnel_emulators.iot.hub.identity import Authentication, Identity, Keys, Who
from windtunnel_emulators.iot.service.bodies import IdentityBody

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from windtunnel_emulators.jsontypes import Json

NO_KEYS = Keys("", "")
_log = logging.getLogger(__name__)


class Member(msgspec.Struct, frozen=True):
    """One identity with what it authenticates by."""

    identity: Identity
    keys: Keys = NO_KEYS


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of many: members, and where the next ones are."""

    members: tuple[Member, ...]
    next: str | None


class _Shown(IdentityBody, rename="camel"):
    generation_id: str = ""
    etag: str = ""


class _Result(msgspec.Struct, rename="camel"):
    devices: list[_Shown] | None = None
    modules: list[_Shown] | None = None
    continuation_link: str | None = None


class _Kept(msgspec.Struct):
    members: list[Member]


def read_page(answer: Json) -> Page:
    """Raises ``Refused`` 502 for an answer that is none."""
    try:
        found = msgspec.convert(answer, _Result)
    except msgspec.ValidationError as problem:
        raise Refused(502, f"The hub's answer about the device's scope is not as expected: {problem}.") from problem
    shown = (*(found.devices or ()), *(found.modules or ()))
    return Page(members=tuple(_member(one) for one in shown), next=found.continuation_link or None)


def read_member(answer: Json) -> Member:
    """Raises ``Refused`` 502 for an answer that is none."""
    try:
        return _member(msgspec.convert(answer, _Shown))
    except msgspec.ValidationError as problem:
        raise Refused(502, f"The hub's answer about an identity is not as expected: {problem}.") from problem


def load(file: Path) -> dict[Who, Member]:
    """What the file keeps; nothing when it is not there or damaged, as the cloud can be asked again."""
    content = read_secret(file)
    if content is None:
        return {}
    try:
        kept = msgspec.json.decode(content, type=_Kept)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        _log.warning("what was kept of the device's scope is damaged, and is asked for again: %s", problem)
        return {}
    return {member.identity.who: member for member in kept.members}


def save(file: Path, members: Mapping[Who, Member]) -> None:
    """Keep them, for their owner alone to read."""
    write_secret(file, msgspec.json.encode(_Kept(list(members.values()))))


def _member(shown: _Shown) -> Member:
    if not shown.device_id:
        raise Refused(502, "The hub's answer about identities has one without a deviceId.")
    given = shown.authentication
    symmetric = given.symmetric_key if given else None
    thumbprints = given.x509_thumbprint if given else None
    kinds = {kind.lower(): kind for kind in get_args(Authentication)}
    kind = kinds.get((given.type if given and given.type else "sas").lower(), "none")
    identity = Identity(
        device=shown.device_id,
        module=shown.module_id or "",
        generation=shown.generation_id,
        etag=shown.etag,
        enabled=(shown.status or "enabled").lower() == "enabled",
        authentication=cast("Authentication", kind),
        thumbprints=Keys(thumbprints.primary_thumbprint or "", thumbprints.secondary_thumbprint or "")
        if thumbprints and (thumbprints.primary_thumbprint or thumbprints.secondary_thumbprint)
        else None,
        edge=bool(shown.capabilities and shown.capabilities.iot_edge),
        scope=shown.device_scope,
        parents=tuple(shown.parent_scopes or ()),
        managed_by=shown.managed_by,
    )
    keys = Keys(symmetric.primary_key or "", symmetric.secondary_key or "") if symmetric else NO_KEYS
    return Member(identity, keys)
