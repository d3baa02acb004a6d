"""``Program``: chains of Brainwave instructions, as the chain engine runs them.

Mnemonics and memories are those of Microsoft's firmware. One mega-instruction covers ``vectors`` native vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Op(StrEnum):
    """The instructions that the simulator schedules."""

    V_RD = "v_rd"
    V_WR = "v_wr"
    M_RD = "m_rd"
    MV_MUL = "mv_mul"
    VV_ADD = "vv_add"
    VV_A_SUB_B = "vv_a_sub_b"
    VV_MAX = "vv_max"
    VV_MUL = "vv_mul"
    V_RELU = "v_relu"
    V_SIGM = "v_sigm"
    V_TANH = "v_tanh"


ADDERS = frozenset({Op.VV_ADD, Op.VV_A_SUB_B, Op.VV_MAX})
MULTIPLIERS = frozenset({Op.VV_MUL})
ACTIVATIONS = frozenset({Op.V_RELU, Op.V_SIGM, Op.V_TANH})


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction. ``operand`` names what it reads or writes besides the chain."""

    op: Op
    operand: str = ""
    vectors: int = 1
    """Native vectors that leave it."""
    columns: int = 1
    """Of ``mv_mul``: native vectors of input for each row of tiles."""
    occupancy: float = 0.0
    """Of ``mv_mul`` and ``m_rd``: cycles that it holds its unit."""
    cost: float | None = None
    """Cycles for each vector; None is the device's streaming rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Instructions that one vector stream runs through."""

    name: str
    instructions: tuple[Instruction, ...]
    weights: str = ""
    """What must be in the matrix register file before ``mv_mul`` starts; empty when it always is."""
    flush: bool = False
    """Nothing behind it starts before all of it is written (``end_chain``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """``before`` runs once, ``step`` as many times as asked."""

    name: str
    step: tuple[Chain, ...]
    steps: int = 1
    before: tuple[Chain, ...] = field(default=())

    @property
    def instructions(self) -> int:
        """In one step."""
        return sum(len(chain.instructions) for chain in self.step)


def chain(name: str, *instructions: Instruction) -> Chain:
    """A chain from its instructions."""
    return Chain(name=name, instructions=tuple(instructions))


def mfus_needed(ops: Sequence[Op]) -> int:
    """Multi-function units that a chain takes: each has one adder, one multiplier, one activation, in any order."""
    unit = 0
    used: set[int] = set()
    for op in ops:
        kind = kind_of(op)
        if kind < 0:
            continue
        if unit == 0 or kind in used:
            unit += 1
            used = set()
        used.add(kind)
    return unit


def kind_of(op: Op) -> int:
    """0 adder, 1 multiplier, 2 activation, -1 none of them."""
    return 0 if op in ADDERS else 1 if op in MULTIPLIERS else 2 if op in ACTIVATIONS else -1
