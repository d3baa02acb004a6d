"""The seam to the numerics: a study of what fewer mantissa bits do to a model's answers.

``windtunnel_emulators.brainwave.numerics.study`` has a function ``precision_study`` of the type ``PrecisionStudier``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module, util
from typing import TYPE_CHECKING, Protocol, cast

from windtunnel_emulators.brainwave.errors import NotAvailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.brainwave.devices import Device

MODULE = "windtunnel_emulators.brainwave.numerics.study"
FUNCTION = "precision_study"
BITS = (2, 3, 4, 5, 6, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionRow:
    """One layer (or, with an empty name, the model's output) at one width."""

    layer: str
    mantissa_bits: int
    snr_db: float
    """Of the block-floating-point answer against fp32."""
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionStudy:
    """All layers at all widths, and the end metric by width when labels were given."""

    rows: Sequence[PrecisionRow]
    metric: str | None = None
    """As in "accuracy"."""
    fp32: float | None = None
    """The metric without block floating point."""
    by_bits: Mapping[int, float] = field(default_factory=dict[int, float])
    note: str = ""
    """What the inputs were."""


class PrecisionStudier(Protocol):
    """What the numerics offer. ``data`` is an .npz with the model's inputs by name and, if any, ``labels``."""

    def __call__(
        self,
        model: Path,
        *,
        device: Device,
        bits: Sequence[int],
        data: Path | None,
        shapes: Mapping[str, Sequence[int]],
    ) -> PrecisionStudy: ...


def studier() -> PrecisionStudier:
    """Raises ``NotAvailable`` when the numerics are not installed."""
    try:
        found = util.find_spec(MODULE)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise NotAvailable(
            "the precision study needs the block-floating-point numerics, which are not in this installation",
            way_out="Leave --precision out.",
        )
    return cast("PrecisionStudier", getattr(import_module(MODULE), FUNCTION))
