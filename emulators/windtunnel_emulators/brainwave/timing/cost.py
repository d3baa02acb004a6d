"""What the timing of layers and parts is told in: one format for the closed form and for the chain engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.layers import Layer
    from windtunnel_emulators.brainwave.timing.engine import Event


class Bound(StrEnum):
    """What a layer waits for most."""

    MVM = "mvm"
    MFU = "mfu"
    DRAM = "dram"
    LATENCY = "latency"
    """Chains that depend on each other: neither unit is busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """One layer, in cycles. ``cycles`` is what it adds to the whole, with its wait for weights."""

    layer: Layer
    mvm: float
    mfu: float
    dram: float
    """Loading its weights, and writing and reading maps that do not stay on the chip."""
    stall: float
    cycles: float
    weight_bytes: float
    bound: Bound
    start: float
    """From the start of the FPGA part; layers run one after the other."""

    def utilisation(self, macs: int) -> float:
        """The share of the multiplier's cycles that did what the model asked for."""
        return self.layer.macs / (self.cycles * macs) if self.cycles else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTime:
    """One FPGA part of a model."""

    engine: str
    layers: tuple[LayerTime, ...]
    cycles: float
    resident: bool
    """Whether all weights stay on the chip between requests."""
    first_load: float
    """Cycles before the first layer can start, for its weights; part of ``cycles``."""
    events: tuple[Event, ...] = ()


def bound_of(mvm: float, mfu: float, stall: float, cycles: float) -> Bound:
    """What most of a layer's cycles go to."""
    most = max(mvm, mfu)
    if stall > max(most, cycles / 2):
        return Bound.DRAM
    if most < cycles / 2:
        return Bound.LATENCY
    return Bound.MVM if mvm >= mfu else Bound.MFU
