"""The retention policy of a registry: untagged manifests are removed after some days, when it is enabled."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.registry.errors import RegistryError

from .times import zulu

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.world import World


def retain(registry: Resource, world: World) -> None:
    """Apply the policy once. What is locked, or part of an index or about another manifest, stays."""
    policy = as_object(as_object(registry.properties.get("policies")).get("retentionPolicy"))
    days = policy.get("days")
    if policy.get("status") != "enabled" or not isinstance(days, int):
        return
    before = zulu(world.clock.now() - timedelta(days=days))
    for repository, digest in world.content.untagged(registry.id.key, before):
        try:
            world.content.delete_manifest(registry.id.key, repository, digest)
        except RegistryError:
            continue  # locked: the policy's own exception
