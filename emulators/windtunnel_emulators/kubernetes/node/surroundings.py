"""What all pods of a node share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.objects import Objects
    from windtunnel_emulators.kubernetes.client.recorder import Recorder
    from windtunnel_emulators.kubernetes.network.addresses import PodRange
    from windtunnel_emulators.kubernetes.network.network import ClusterNetwork
    from windtunnel_emulators.kubernetes.node.definition import NodeDefinition
    from windtunnel_emulators.kubernetes.node.sources import Sources
    from windtunnel_emulators.runtime.hooks import KnownImages
    from windtunnel_emulators.runtime.interface import Credentials, Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSurroundings:
    """Made by the agent."""

    definition: NodeDefinition
    owner: str
    """The node in the runtime: begins what its pods are called there."""
    objects: Objects
    recorder: Recorder
    runtime: Runtime
    clock: Clock
    pace: Pace
    folder: Path
    network: ClusterNetwork
    sources: Sources
    images: KnownImages
    range: PodRange
    allocatable: JsonObject
    registry_credentials: Callable[[], tuple[Credentials, ...]]
    refusal: Callable[[JsonObject], tuple[str, str] | None]
    """(reason, message) when the node has no room for a pod that is new to it."""
