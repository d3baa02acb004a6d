"""ARM's addresses: a request path taken apart once, compared without case, whatever spelling a client chose.

Clients write ``resourcegroups`` and ``resourceGroups``, double slashes, and percent-encoded letters; all mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.ids import ResourceId

_LONGEST = 8192  # bytes; ARM's own limit for an address is in this order


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a request goes. Names are as the client wrote them."""

    segments: tuple[str, ...]
    lowered: tuple[str, ...]
    """The same in lower case: what is compared."""
    subscription: str | None = None
    group: str | None = None
    namespace: str | None = None
    """Of the first ``providers/{namespace}``, when the path has one."""
    rest: tuple[str, ...] = ()
    """What stands behind the namespace, up to an extension."""
    scope: int | None = None
    """Where the ``providers`` of an extension (``{resource}/providers/{namespace}/...``) stands; None without one."""


def parse(raw_path: bytes) -> Address:
    """Take a raw path apart. Raises 400 for bytes that are no text, and for paths that are too long."""
    if len(raw_path) > _LONGEST:
        raise ArmError(414, "UriTooLong", f"The request URI is longer than {_LONGEST} characters.")
    try:
        segments = tuple(unquote_to_bytes(part).decode("utf-8") for part in raw_path.split(b"/") if part)
    except UnicodeDecodeError as problem:
        raise ArmError(400, "BadRequest", "The request URI is not valid UTF-8.") from problem
    lowered = tuple(s.lower() for s in segments)
    subscription = group = namespace = None
    at = 0
    if len(segments) >= 2 and lowered[0] == "subscriptions":
        subscription, at = segments[1], 2
        if len(segments) >= 4 and lowered[2] == "resourcegroups":
            group, at = segments[3], 4
    rest: tuple[str, ...] = ()
    scope: int | None = None
    if len(segments) >= at + 2 and lowered[at] == "providers":
        namespace = segments[at + 1]
        start = at + 2
        end = len(segments)
        # A name may be "providers" too: only a word in the place of a type begins an extension.
        for place in range(start, len(segments) - 1, 2):
            if lowered[place] == "providers":
                scope = end = place
                break
        rest = segments[start:end]
    return Address(
        segments=segments,
        lowered=lowered,
        subscription=subscription,
        group=group,
        namespace=namespace,
        rest=rest,
        scope=scope,
    )


@lru_cache(maxsize=4096)
def resource_id(text: str) -> ResourceId:
    """The id of a resource in a group. Raises ``ValueError`` for anything else."""
    parts = text.strip("/").split("/")
    lowered = [p.lower() for p in parts]
    if (
        len(parts) < 8
        or len(parts) % 2
        or lowered[0] != "subscriptions"
        or lowered[2] != "resourcegroups"
        or lowered[4] != "providers"
        or not all(parts)
    ):
        raise ValueError(f"{text!r} is not the id of a resource in a resource group")
    return ResourceId(
        subscription=parts[1],
        group=parts[3],
        namespace=parts[5],
        types=tuple(parts[6::2]),
        names=tuple(parts[7::2]),
    )


def plain_location(text: str) -> str:
    """A location as it is compared: ``West US 2`` and ``westus2`` are the same."""
    return text.replace(" ", "").lower()
