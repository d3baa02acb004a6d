"""The order in which weights pass through the matrix register file: groups that fit one half of it.

As in Microsoft's firmware: consecutive layers are packed greedily; a layer that is larger than a half is split by whole
rows of output channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.brainwave.layers import Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of a layer in a group."""

    layer: int
    fraction: float
    """Of the layer's work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What is loaded at once."""

    tiles: int
    shares: tuple[Share, ...]


def groups(layers: Sequence[Layer], half: int) -> tuple[Group, ...]:
    """Layers without weights belong to the group that is there when they run."""
    done: list[Group] = []
    tiles, shares = 0, list[Share]()

    def close() -> None:
        nonlocal tiles, shares
        if shares:
            done.append(Group(tiles=tiles, shares=tuple(shares)))
        tiles, shares = 0, []

    for index, layer in enumerate(layers):
        if layer.tiles > half:
            close()
            for piece in _pieces(layer, half):
                done.append(Group(tiles=piece, shares=(Share(layer=index, fraction=piece / layer.tiles),)))
            continue
        if tiles + layer.tiles > half:
            close()
        tiles += layer.tiles
        shares.append(Share(layer=index, fraction=1.0))
    close()
    return tuple(done)


def _pieces(layer: Layer, half: int) -> list[int]:
    rows_at_once = max(1, half // max(1, layer.row_tiles))
    size = min(rows_at_once * layer.row_tiles, half)
    whole, rest = divmod(layer.tiles, size)
    return [size] * whole + ([rest] if rest else [])


def boundaries(found: Sequence[Group]) -> list[int]:
    """Where groups begin, counted in tiles, as the firmware's tables give them."""
    places = [0]
    for group in found[:-1]:
        places.append(places[-1] + group.tiles)
    return places
