"""``Layer``: one piece of work for the device: an operator with what the same chain does after it, in native units."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from windtunnel_emulators.brainwave.timing.program import Op, mfus_needed


class Form(StrEnum):
    """How a layer runs, which decides how it is timed."""

    CONVOLUTION = "convolution"
    POOL = "pool"
    """Sweeps of identity multiplications, each with the pool's partner as an operand."""
    ELEMENTWISE = "element-wise"
    """A chain without a multiplication by a matrix."""
    DENSE = "dense"
    RECURRENT = "recurrent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer, lowered. Counts are for one input."""

    name: str
    op: str
    form: Form
    nodes: tuple[str, ...]
    """The operators of the model that it covers, the first one gives the name."""
    inputs: tuple[str, ...]
    output: str
    shape: tuple[int, ...]
    """Of its output, as the model has it."""
    kernel: tuple[int, ...] = ()
    group: int = 1
    macs: int = 0
    """Multiply-accumulates that the model asks for."""
    row_tiles: int = 0
    """Native tiles of one row of output channels; the largest of them where they differ."""
    rows: int = 0
    """Rows of output channels, in native vectors."""
    tiles: int = 0
    """Native tiles of weights."""
    passes: int = 0
    """Native tiles that the multiplier goes through."""
    vectors: int = 0
    """Native vectors that leave the chain."""
    in_vectors: int = 0
    """Native vectors of its largest input."""
    window_vectors: int = 0
    """Native vectors of the rows that must be there to make one row of output."""
    sweeps: int = 1
    """Times that the pipeline fills."""
    chain: tuple[Op, ...] = ()
    """What the multi-function units do, in order."""
    partners: int = 0
    """Native vectors of a second operand that is no constant (a residual, a pool's neighbour)."""
    steps: int = 1
    hidden: int = 0
    width: int = 0
    """Of a recurrent layer's input."""
    directions: int = 1
    scaled: bool = False
    """Whether a constant multiplies (batch normalisation)."""
    expanded: bool = False
    """The first layer: its windows come from the expander."""

    @property
    def mfus(self) -> int:
        """Multi-function units that the chain takes."""
        return mfus_needed(self.chain)

    def padding_efficiency(self, native: int) -> float | None:
        """The share of the multiplications that the model asked for; None where there are none."""
        return self.macs / (self.passes * native * native) if self.passes and self.macs else None
