"""Answers as values, before anything is encoded: in-process clients take their objects, sockets their bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.negotiation import Form
    from windtunnel_emulators.kubernetes.api.served import Served
    from windtunnel_emulators.kubernetes.api.storage import Stored
    from windtunnel_emulators.kubernetes.api.watching import Watch

Headers: TypeAlias = "tuple[tuple[bytes, bytes], ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectReply:
    """One object. ``served`` is None for what is no stored kind: ``Status``, ``Scale``, reviews."""

    object: JsonObject = field(repr=False)
    """With ``kind`` and ``apiVersion``, in the version that was asked for."""
    form: Form
    status: int = 200
    served: Served | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListReply:
    """Objects of one kind."""

    items: Sequence[Stored] = field(repr=False)
    metadata: JsonObject
    served: Served
    form: Form
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReply:
    """Events, until either side ends it."""

    watch: Watch
    served: Served
    form: Form
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BytesReply:
    """A body as it is: discovery, OpenAPI, health."""

    body: bytes = field(repr=False)
    status: int = 200
    content_type: bytes = b"application/json"
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOn:
    """Somebody else answers: streams of pods, proxied services, aggregated APIs."""

    app: ASGI


Reply: TypeAlias = "ObjectReply | ListReply | WatchReply | BytesReply | PassedOn"
