"""The model's answers to what is published of convolutional networks: counts of the firmware, latencies, rates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.analysis import EngineName, analyse
from windtunnel_emulators.brainwave.layers import Form
from windtunnel_emulators.brainwave.reading import graph_of
from windtunnel_emulators.brainwave.timing.queueing import Service, closed_loop
from windtunnel_emulators.brainwave.timing.weights import boundaries, groups
from windtunnel_emulators.brainwave.topologies import resnet50, vgg16

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.analysis import Analysis

RESNET_MS, RESNET_PER_SECOND = 1.8, 559
"""ISCA 2018 Table VI, recalled (B): one is the other's inverse."""
SERVICE_PER_SECOND = (600, 700)
"""arXiv 1904.08986 (A): many clients of one FPGA of the Azure service."""
ON_PREMISES_MS, REMOTE_MS = 10.0, 60.0
"""arXiv 1904.08986 (A): ResNet-50, end to end."""
REMOTE_RTT_MS = 50.0
FIRMWARE_BOUNDARIES = (0, 62, 117, 157, 209, 261, 293, 345, 397, 429, 481, 533, 549)
"""Where the firmware's ResNet-50 loads weights, in tiles, up to res5 (261 and 293 are inferred)."""
FIRMWARE_TILES = {"ResNet-50": (54, 1461, 0), "VGG-16": (18, 911, 5)}
"""Layers, tiles of weights (ResNet-50: with its pool's), tiles of pools."""
FIRMWARE_PASSES, FIRMWARE_VECTORS = 318_055, 110_235
CLIENTS = 20


@cache
def analysis_of(network: str, engine: EngineName = EngineName.CLOSED) -> Analysis:
    """ResNet-50 or VGG-16 on the device of the service."""
    model = resnet50() if network == "ResNet-50" else vgg16()
    return analyse(graph_of(model, network), engine=engine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the firmware's tables count."""

    layers: int
    tiles: int
    pool_tiles: int
    passes: int
    vectors: int
    boundaries: tuple[int, ...]


def counts(network: str) -> Counts:
    """Of the FPGA part."""
    analysis = analysis_of(network)
    layers = [layer for some in analysis.layers for layer in some]
    return Counts(
        layers=len(layers),
        tiles=sum(layer.tiles for layer in layers),
        pool_tiles=sum(layer.tiles for layer in layers if layer.form is Form.POOL),
        passes=sum(layer.passes for layer in layers),
        vectors=sum(layer.vectors for layer in layers),
        boundaries=tuple(boundaries(groups(layers, analysis.device.mrf_tiles.whole // 2))),
    )


def plateau(clients: int = CLIENTS) -> float:
    """Requests in a second that clients of one FPGA reach with ResNet-50, in virtual time."""
    analysis = analysis_of("ResNet-50")
    return closed_loop(Service.of(analysis.timeline, analysis.around), clients).per_second
