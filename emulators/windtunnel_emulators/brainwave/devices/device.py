"""``Device``: the numbers of one NPU that fit checks and timing need."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel_emulators.brainwave.devices.quantity import Quantity


class Kind(StrEnum):
    """What the published firmware of the device was made for."""

    RNN = "rnn"
    """Weights stay on the chip."""
    CNN = "cnn"
    """Weights stream from DRAM, one half of the matrix register file ahead."""
    CHECK = "check"
    """No Brainwave: an open design that the engine is checked against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One NPU. Optional numbers are None where nothing is known of them."""

    name: str
    title: str
    kind: Kind
    native_dim: Quantity
    """Elements of a native vector; a native tile is a square of that side."""
    lanes: Quantity
    """Elements of a vector that a unit takes in each cycle."""
    engines: Quantity
    """Tile engines of the matrix-vector multiplier."""
    mrf_tiles: Quantity
    """Native tiles that the matrix register file holds."""
    mfus: Quantity
    """Multi-function units: one adder, one multiplier and one activation each."""
    mhz: Quantity
    mantissa_bits: Quantity
    exponent_bits: Quantity
    batch: Quantity
    """Inputs that one pass of the multiplier serves."""
    invoke_us: Quantity
    """From the request at the FPGA to the first instruction, and back."""
    pcie_gbps: Quantity
    mfu_cycles: Quantity
    """Cycles that the multi-function units take for each native vector of a convolution."""
    depth_cycles: Quantity
    """Pipeline depth that each sweep over a layer pays once."""
    dependency_cycles: Quantity
    """Closed form of RNNs: K, the latency of one step's dependent chains without the dispatch of its instructions."""
    dispatch_cycles: Quantity
    """Closed form of RNNs: cycles between two instructions."""
    drain_cycles: Quantity
    """Closed form of RNNs: c, what a step takes beyond the occupancy of the multiplier."""
    issue_cycles: Quantity
    """Chain engine: cycles between two instructions."""
    read_cycles: Quantity
    matrix_cycles: Quantity
    operation_cycles: Quantity
    write_cycles: Quantity
    chain_invoke_us: Quantity
    initial_vrf: Quantity | None = None
    """Native vectors in the register file that feeds the multiplier."""
    addsub_vrf_0: Quantity | None = None
    addsub_vrf_1: Quantity | None = None
    multiply_vrf: Quantity | None = None
    dram_gbps: Quantity | None = None
    expander_window: Quantity | None = None
    """Elements of the smallest window that the first layer's expander makes."""
    cores: Quantity | None = None
    watts: Quantity | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates in a cycle for one input."""
        return self.native_dim.whole * self.lanes.whole * self.engines.whole

    @property
    def peak_tflops(self) -> float:
        """Two operations for each multiply-accumulate, of all cores and inputs."""
        cores = self.cores.whole if self.cores is not None else 1
        return 2 * self.macs * self.batch.whole * cores * self.mhz.value / 1e6

    @property
    def stream_cycles(self) -> float:
        """Cycles that a unit takes for each native vector."""
        return self.native_dim.value / self.lanes.value

    @property
    def tile_bytes(self) -> float:
        """One native tile of weights in DRAM: sign and mantissa of each element, one exponent for each row."""
        n = self.native_dim.whole
        return n * (n * (1 + self.mantissa_bits.whole) + self.exponent_bits.whole) / 8

    @property
    def precision(self) -> str:
        """The weights' format, as the papers write it."""
        return f"1s.{self.exponent_bits.whole}e.{self.mantissa_bits.whole}m"

    def milliseconds(self, cycles: float) -> float:
        """At the device's clock."""
        return cycles / (self.mhz.value * 1000)

    def quantities(self) -> Iterator[tuple[str, Quantity]]:
        """Every number that is known, with its name."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("name", "title", "kind") and value is not None:
                yield field.name, value
