"""``BlockFormat``: numbers that share an exponent, a block of them at a time; and the published formats as presets.

With ``e`` the exponent of the largest magnitude of a block (``2 ** e`` is the largest power of two that is not above
it), every element is a sign and ``mantissa_bits`` bits in steps of ``2 ** (e + 1 - mantissa_bits)``, rounded half to
even and clipped to the largest number that the bits hold. OCP's MX formats have an exponent in each element besides:
an element may then lie up to ``span`` powers of two below its block and keep all its bits.

How the real device rounds and what it does when an exponent overflows is not published: half to even, and saturation,
are this simulator's choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from windtunnel_emulators.brainwave.errors import BadOption

MOST_BITS = 8
"""Up to here a dot product of a block of 128 is exact in float32 in any order: products below 2^16, sums below 2^24."""
_FARTHEST = 100
"""Exponents beyond this, which only formats of 8-bit exponents have, would leave float32 while they are rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFormat:
    """One format. Raises ``BadOption`` for numbers that cannot be emulated."""

    name: str
    mantissa_bits: int
    """Of the magnitude; the sign is one more."""
    exponent_bits: int
    block: int
    """Elements that share an exponent."""
    span: int = 0
    """How far below the block's exponent that of an element may be."""
    largest: float | None = None
    """The largest element of a block whose exponent is 0; None: all bits set."""
    source: str = ""
    confidence: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.mantissa_bits <= MOST_BITS:
            raise BadOption(
                f"{self.mantissa_bits} mantissa bits cannot be emulated exactly: from 1 to {MOST_BITS}",
                way_out="The published formats have 2 to 7.",
            )
        if self.exponent_bits not in (5, 8):
            raise BadOption(f"an exponent of {self.exponent_bits} bits is in no published format: 5 or 8")
        if not 1 <= self.block <= 4096:
            raise BadOption(f"a block of {self.block} elements is out of range: from 1 to 4096")

    @property
    def lowest(self) -> int:
        """The smallest exponent; a block below it loses its small bits, as the normal numbers of fp16 do."""
        return -14 if self.exponent_bits == 5 else -_FARTHEST

    @property
    def highest(self) -> int:
        """The largest exponent; a block above it saturates."""
        return 15 if self.exponent_bits == 5 else _FARTHEST

    @property
    def limit(self) -> float:
        """The largest element of a block whose exponent is 0."""
        return self.largest if self.largest is not None else 2.0 - 2.0 ** (1 - self.mantissa_bits)

    @property
    def bits_per_element(self) -> float:
        """Storage, with the block's share of the exponent."""
        own = self.span.bit_length() if self.span else 0
        return 1 + self.mantissa_bits - (1 if self.span else 0) + own + self.exponent_bits / self.block

    def with_mantissa(self, bits: int) -> BlockFormat:
        """The same with other mantissas."""
        return replace(self, name=f"1s.{self.exponent_bits}e.{bits}m", mantissa_bits=bits, largest=None)

    def with_block(self, block: int) -> BlockFormat:
        """The same with another number of elements to a block."""
        return replace(self, block=block)


def device_format(*, mantissa_bits: int, exponent_bits: int, native_dim: int) -> BlockFormat:
    """The format of a device: one exponent to a native vector."""
    return BlockFormat(
        name=f"1s.{exponent_bits}e.{mantissa_bits}m",
        mantissa_bits=mantissa_bits,
        exponent_bits=exponent_bits,
        block=native_dim,
    )


_ISCA = "ISCA 2018 as quoted on fpga.org: 5-bit exponents shared by a native vector, mantissas of 2 to 5 bits"
_MSFP = "NeurIPS 2020 (Rouhani et al.), abstract and caption of table 1: 8-bit exponent, bounding box of 16"
_MX = "OCP Microscaling Formats (MX) 1.0: blocks of 32, scale E8M0"

PRESETS: dict[str, BlockFormat] = {
    value.name: value
    for value in (
        BlockFormat(name="1s.5e.2m", mantissa_bits=2, exponent_bits=5, block=400, source=_ISCA, confidence="A"),
        BlockFormat(
            name="1s.5e.5m",
            mantissa_bits=5,
            exponent_bits=5,
            block=128,
            source=f"{_ISCA}; that the device for CNNs has 5 is recalled",
            confidence="B",
        ),
        BlockFormat(name="MSFP12", mantissa_bits=3, exponent_bits=8, block=16, source=_MSFP, confidence="A"),
        BlockFormat(name="MSFP16", mantissa_bits=7, exponent_bits=8, block=16, source=_MSFP, confidence="A"),
        BlockFormat(name="MXINT8", mantissa_bits=7, exponent_bits=8, block=32, source=_MX, confidence="A"),
        # Elements of fewer bits are floats themselves: their largest, and how far their exponents reach down.
        BlockFormat(
            name="MXFP8_E4M3", mantissa_bits=4, exponent_bits=8, block=32, span=14, largest=1.75, source=_MX,
            confidence="A",
        ),
        BlockFormat(name="MXFP8_E5M2", mantissa_bits=3, exponent_bits=8, block=32, span=29, source=_MX, confidence="A"),
        BlockFormat(name="MXFP6_E3M2", mantissa_bits=3, exponent_bits=8, block=32, span=6, source=_MX, confidence="A"),
        BlockFormat(name="MXFP6_E2M3", mantissa_bits=4, exponent_bits=8, block=32, span=2, source=_MX, confidence="A"),
        BlockFormat(name="MXFP4_E2M1", mantissa_bits=2, exponent_bits=8, block=32, span=2, source=_MX, confidence="A"),
    )
}  # fmt: skip


def preset(name: str) -> BlockFormat:
    """By name. Raises ``BadOption``."""
    found = next((value for key, value in PRESETS.items() if key.lower() == name.lower()), None)
    if found is None:
        raise BadOption(f"there is no number format {name!r}", way_out=f"There are: {', '.join(PRESETS)}.")
    return found
