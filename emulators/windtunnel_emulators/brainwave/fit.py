"""Whether a model fits a device, in the device's own codes, each with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.devices import Kind
from windtunnel_emulators.brainwave.diagnostics import Code, Diagnostic, error, warning
from windtunnel_emulators.brainwave.layers import Form
from windtunnel_emulators.brainwave.timing.program import mfus_needed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from windtunnel_emulators.brainwave.devices import Device
    from windtunnel_emulators.brainwave.layers import Layer

FIRMWARE_NATIVE_DIM = 128
FIRMWARE_MFUS = 2
_DEPTHWISE = 0.05
"""Below this padding efficiency a layer is worth a warning."""


def needs_spill(layer: Layer, device: Device) -> bool:
    """Whether a layer's maps have to leave the chip.

    They stay when input and output fit the initial vector register file together, or when the rows that one row of
    output needs do: the firmware fuses its early layers in such windows.
    """
    room = device.initial_vrf
    if room is None or layer.form is Form.RECURRENT:
        return False
    return layer.in_vectors + layer.vectors > room.whole and layer.window_vectors > room.whole


def check(layers: Sequence[Layer], device: Device) -> tuple[Diagnostic, ...]:
    """Every finding, errors first."""
    found = [*_machine(layers, device), *_weights(layers, device)]
    for layer in layers:
        found += _registers(layer, device)
        found += _shape(layer, device)
    return tuple(sorted(found, key=lambda d: (d.severity, d.code)))


def _machine(layers: Sequence[Layer], device: Device) -> Iterator[Diagnostic]:
    convolutions = [layer for layer in layers if layer.form is Form.CONVOLUTION]
    native = device.native_dim.whole
    if convolutions and native != FIRMWARE_NATIVE_DIM:
        yield error(
            Code.NATIVE_DIM,
            convolutions[0].name,
            f"convolutions need a native dimension of {FIRMWARE_NATIVE_DIM}, {device.name} has {native}",
            "Use BW_CNN_A10: the firmware for convolutions was made for it.",
        )
    if convolutions and device.mfus.whole < FIRMWARE_MFUS:
        yield error(
            Code.MFUS,
            convolutions[0].name,
            f"convolutions need {FIRMWARE_MFUS} multi-function units, {device.name} has {device.mfus.whole}",
            "Use a device with two.",
        )
    for layer in layers:
        needed = mfus_needed(layer.chain)
        if needed > max(device.mfus.whole, FIRMWARE_MFUS if convolutions else 0):
            yield error(
                Code.MFUS,
                layer.name,
                f"its chain takes {needed} multi-function units, {device.name} has {device.mfus.whole}",
                "Use a device with more, or split the sum.",
            )


def _weights(layers: Sequence[Layer], device: Device) -> Iterator[Diagnostic]:
    capacity = device.mrf_tiles.whole
    total = sum(layer.tiles for layer in layers)
    kept = [layer for layer in layers if layer.form is Form.RECURRENT]
    pinned = sum(layer.tiles for layer in kept)
    if pinned > capacity:
        side = device.native_dim.whole
        yield error(
            Code.MATRIX_RF,
            max(kept, key=lambda layer: layer.tiles).name,
            f"the recurrent layers have {pinned} native tiles of {side} x {side}, {device.name} holds {capacity},"
            " and recurrent weights stay on the chip",
            f"{_largest(kept, device)}Share the layers among several devices, or use one with a larger matrix register"
            " file (BW_S10 holds 306 tiles of 400 x 400).",
        )
    elif total > capacity and device.dram_gbps is None:
        yield error(
            Code.DRAM,
            "",
            f"the weights are {total} native tiles, {device.name} holds {capacity}, and nothing is known of a DRAM"
            " that they could stream from",
            "Use BW_CNN_A10, which streams weights, or make the model smaller.",
        )


def _largest(kept: Sequence[Layer], device: Device) -> str:
    """The widest layer of this kind that would fit, where there is one layer as wide as its input."""
    layer = kept[0]
    if len(kept) > 1 or layer.width != layer.hidden:
        return "Make the hidden size smaller. "
    blocks = layer.rows
    each = layer.tiles / blocks**2
    while blocks and each * blocks**2 > device.mrf_tiles.whole:
        blocks -= 1
    return f"Make the hidden size at most {blocks * device.native_dim.whole}. " if blocks else ""


def _registers(layer: Layer, device: Device) -> Iterator[Diagnostic]:
    half = device.mrf_tiles.whole // 2
    if layer.form in (Form.CONVOLUTION, Form.DENSE) and layer.row_tiles > half and device.kind is Kind.CNN:
        yield error(
            Code.TILE_COLUMNS,
            layer.name,
            f"one row of its output channels has {layer.row_tiles} native tiles, and half of the matrix register file"
            f" holds {half}",
            "Use fewer input channels or a smaller kernel, or put a 1 x 1 convolution before it.",
        )
    room = device.initial_vrf
    if room is not None and layer.window_vectors > room.whole:
        yield error(
            Code.INITIAL_VRF,
            layer.name,
            f"the rows that one row of its output needs are {layer.window_vectors:,} native vectors, the initial"
            f" vector register file holds {room.whole:,}",
            "Use a smaller input or a smaller kernel.",
        )
    bias = device.addsub_vrf_0
    if bias is not None and layer.chain and layer.form is not Form.POOL and layer.rows > bias.whole:
        yield error(
            Code.ADDSUB_VRF,
            layer.name,
            f"its biases are {layer.rows} native vectors, the add-sub register file holds {bias.whole}",
            f"Use at most {bias.whole * device.native_dim.whole} output channels.",
        )
    scale = device.multiply_vrf
    if scale is not None and layer.scaled and layer.rows > scale.whole:
        yield error(
            Code.MULTIPLY_VRF,
            layer.name,
            f"its scales are {layer.rows} native vectors, the multiply register file holds {scale.whole}",
            f"Use at most {scale.whole * device.native_dim.whole} channels, or fold the scale into the weights.",
        )


def _shape(layer: Layer, device: Device) -> Iterator[Diagnostic]:
    partners = device.addsub_vrf_1
    if partners is not None and layer.form is not Form.POOL and layer.partners > partners.whole:
        yield warning(
            Code.ADDSUB_VRF,
            layer.name,
            f"what it adds is {layer.partners:,} native vectors, the second add-sub register file holds"
            f" {partners.whole:,}: it is assumed to run in windows of rows",
            "Add at a smaller map, where that is possible.",
        )
    efficiency = layer.padding_efficiency(device.native_dim.whole)
    if efficiency is not None and efficiency < _DEPTHWISE and layer.form is Form.CONVOLUTION and layer.group > 1:
        yield warning(
            Code.TILE_ROWS,
            layer.name,
            f"{layer.group} groups fill {efficiency:.1%} of their native tiles: the rest of the multiplications are by"
            " zero",
            "Use a full convolution: it costs the same here and can do more.",
        )
