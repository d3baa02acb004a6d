"""How long each unit is busy with a layer, without regard to the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.fit import needs_spill
from windtunnel_emulators.brainwave.layers import Form

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.devices import Device
    from windtunnel_emulators.brainwave.layers import Layer

_BYTES = 2
"""Vectors travel as fp16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """Cycles."""

    mvm: float
    mfu: float
    spill: float
    """Of DRAM, for maps that do not fit the initial vector register file."""

    @property
    def compute(self) -> float:
        """Both units work at once; what is spilled is written and read meanwhile."""
        return max(self.mvm, self.mfu, self.spill)


def busy(layer: Layer, device: Device) -> Busy:
    """For all sweeps of a layer; recurrent layers are timed by their steps instead."""
    native = device.native_dim.value
    mvm = layer.passes * native * native / device.macs
    spill = 0.0
    if device.dram_gbps is not None and needs_spill(layer, device):
        moved = (layer.in_vectors + layer.vectors) * native * _BYTES
        spill = moved / (device.dram_gbps.value * 1e9) * device.mhz.value * 1e6
    if layer.form is Form.RECURRENT:
        # Each gate ends in an activation; the element-wise rest is about as much again.
        return Busy(mvm=mvm, mfu=2 * layer.vectors * device.stream_cycles, spill=0.0)
    return Busy(mvm=mvm, mfu=layer.vectors * device.mfu_cycles.value, spill=spill)


def load_cycles(tiles: float, device: Device) -> float:
    """Bringing weights from DRAM to the matrix register file; nothing when the bandwidth is not known."""
    if device.dram_gbps is None:
        return 0.0
    return tiles * device.tile_bytes / (device.dram_gbps.value * 1e9) * device.mhz.value * 1e6


def transfer_ms(vectors: int, device: Device) -> float:
    """Over PCIe, one way."""
    return vectors * device.native_dim.value * _BYTES / (device.pcie_gbps.value * 1e6)
