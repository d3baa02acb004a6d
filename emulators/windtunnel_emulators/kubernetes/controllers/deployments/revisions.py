"""Which replica set is a deployment's current one, its name, its hash label and its revision annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.kubernetes.client.meta import (
    annotations_of,
    deleting,
    dig,
    mapping,
    number,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_OWN = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: Json, collisions: int | None) -> str:
    """A short name of the template, without vowels so that it spells nothing; another for each collision."""
    value = 0x811C9DC5
    content = msgspec.json.encode([template, collisions], order="deterministic")
    for byte in content:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(value))


def same_template(one: Json, other: Json) -> bool:
    """Whether two pod templates are alike, the hash label apart."""
    return _bare(one) == _bare(other)


def _bare(template: Json) -> JsonObject:
    metadata = mapping(template, "metadata")
    labels = {key: value for key, value in mapping(metadata, "labels").items() if key != HASH_LABEL}
    kept = {key: value for key, value in metadata.items() if value and key != "labels"}
    return {"metadata": {**kept, **({"labels": labels} if labels else {})}, "spec": dig(template, "spec")}


def created_order(replica_set: JsonObject) -> tuple[str, str]:
    return text(replica_set, "metadata", "creationTimestamp"), text(replica_set, "metadata", "name")


def current(deployment: JsonObject, replica_sets: Sequence[JsonObject]) -> JsonObject | None:
    """The oldest replica set of the deployment's template."""
    template = dig(deployment, "spec", "template")
    alike = [each for each in replica_sets if same_template(dig(each, "spec", "template"), template)]
    return min(alike, key=created_order, default=None)


def revision_of(obj: JsonObject) -> int:
    found = annotations_of(obj).get(REVISION, "")
    return int(found) if found.isdigit() else 0


def next_revision(olds: Sequence[JsonObject]) -> int:
    return max((revision_of(each) for each in olds), default=0) + 1


def annotations_for(
    deployment: JsonObject, replica_set: JsonObject | None, revision: int, desired: int, maximum: int
) -> dict[str, str]:
    """What the current replica set's annotations should be. A revision it had before is kept in its history."""
    known = {} if replica_set is None else annotations_of(replica_set)
    wanted = {**known, **{k: v for k, v in annotations_of(deployment).items() if k not in _OWN}}
    before = known.get(REVISION, "")
    if not before.isdigit() or int(before) < revision:
        wanted[REVISION] = str(revision)
        if before:
            wanted[HISTORY] = f"{known[HISTORY]},{before}" if known.get(HISTORY) else before
    if replica_set is None:
        wanted[DESIRED], wanted[MAXIMUM] = str(desired), str(maximum)
    return wanted


def to_clean(deployment: JsonObject, olds: Sequence[JsonObject]) -> list[JsonObject]:
    """The old replica sets beyond ``revisionHistoryLimit``, oldest first; none that still has or expects pods."""
    limit = dig(deployment, "spec", "revisionHistoryLimit")
    if not isinstance(limit, int):
        return []
    cleanable = [each for each in olds if not deleting(each)]
    surplus = len(cleanable) - limit
    if surplus <= 0:
        return []
    ordered = sorted(cleanable, key=lambda each: (revision_of(each), created_order(each)))
    return [
        each
        for each in ordered[:surplus]
        if number(each, "status", "replicas") == 0
        and number(each, "spec", "replicas") == 0
        and number(each, "metadata", "generation") <= number(each, "status", "observedGeneration")
    ]
