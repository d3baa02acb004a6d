"""Loading a device by its name, or from a file of the user's."""

from __future__ import annotations

import math
import tomllib
from dataclasses import MISSING, fields
from functools import cache
from importlib import resources
from pathlib import Path

from windtunnel_emulators.brainwave.devices.device import Device, Kind
from windtunnel_emulators.brainwave.devices.quantity import Confidence, Quantity
from windtunnel_emulators.brainwave.errors import BadDevice

_TEXTS = ("name", "title", "kind", "base")
_OPTIONAL = {f.name for f in fields(Device) if f.default is not MISSING}
_NUMBERS = {f.name for f in fields(Device)} - set(_TEXTS)
_WHOLE = {"native_dim", "lanes", "engines", "mrf_tiles", "mfus", "mantissa_bits", "exponent_bits", "batch", "cores"}
_MAY_BE_ZERO = {"multiply_vrf", "read_cycles", "depth_cycles", "invoke_us", "chain_invoke_us"}


def names() -> list[str]:
    """The devices that come with the simulator, without those that only check it."""
    return [name for name in _files() if _built_in(name).kind is not Kind.CHECK]


@cache
def _files() -> tuple[str, ...]:
    folder = resources.files("windtunnel_emulators.brainwave.devices")
    found = (entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(sorted(name.removesuffix(".toml").upper() for name in found))


def load_device(wanted: str) -> Device:
    """By name (upper and lower case are the same), or from a file that ends in .toml. Raises ``BadDevice``."""
    if wanted.lower().endswith(".toml"):
        path = Path(wanted)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise BadDevice(f"the device file {wanted!r} cannot be read: {problem}") from problem
        return _parse(text, wanted, custom=True)
    if wanted.upper() not in _files():
        raise BadDevice(
            f"there is no device {wanted!r}",
            way_out=f"Use one of {', '.join(names())}, or the path of a .toml file that describes your own.",
        )
    return _built_in(wanted.upper())


@cache
def _built_in(name: str) -> Device:
    file = resources.files("windtunnel_emulators.brainwave.devices").joinpath(f"{name.lower()}.toml")
    return _parse(file.read_text("utf-8"), name, custom=False)


def _parse(text: str, origin: str, *, custom: bool) -> Device:
    try:
        content: dict[str, object] = dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as problem:
        raise BadDevice(f"the device file {origin!r} is no TOML: {problem}") from problem
    unknown = sorted(set(content) - _NUMBERS - set(_TEXTS))
    if unknown:
        raise BadDevice(
            f"the device file {origin!r} has a key that no device has: {unknown[0]!r}",
            way_out=f"The keys are: {', '.join(sorted(_NUMBERS | set(_TEXTS)))}.",
        )
    numbers: dict[str, Quantity] = {}
    kind = Kind.CNN
    base = content.get("base")
    if isinstance(base, str):
        if base.upper() not in _files():
            raise BadDevice(
                f"the device file {origin!r} builds on {base!r}, which is no device",
                way_out=f"base is one of {', '.join(names())}.",
            )
        parent = _built_in(base.upper())
        numbers, kind = dict(parent.quantities()), parent.kind
    for key in _NUMBERS & set(content):
        numbers[key] = _quantity(key, content[key], origin, custom=custom)
    missing = sorted(_NUMBERS - _OPTIONAL - set(numbers))
    if missing:
        raise BadDevice(
            f"the device file {origin!r} lacks {missing[0]!r}",
            way_out='Give it, or start from a device that has it: base = "BW_CNN_A10".',
        )
    return Device(
        name=_text(content, "name", origin),
        title=_text(content, "title", origin) if "title" in content else _text(content, "name", origin),
        kind=_kind(content.get("kind"), kind, origin),
        **numbers,
    )


def _kind(value: object, default: Kind, origin: str) -> Kind:
    if value is None:
        return default
    try:
        return Kind(str(value))
    except ValueError as problem:
        raise BadDevice(
            f"the device file {origin!r} has the kind {value!r}", way_out="kind is rnn, cnn or check."
        ) from problem


def _text(content: dict[str, object], key: str, origin: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BadDevice(f"the device file {origin!r} needs {key!r}: a text that is not empty")
    return value


def _quantity(key: str, value: object, origin: str, *, custom: bool) -> Quantity:
    entry: dict[str, object] = {"value": value}
    if isinstance(value, dict):
        entry = {str(name): content for name, content in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    number, source, letter = entry.get("value"), entry.get("source"), entry.get("confidence")
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise BadDevice(f"{key} in the device file {origin!r} is {number!r}", way_out=f"{key} is a number.")
    if number < 0 or (number == 0 and key not in _MAY_BE_ZERO):
        raise BadDevice(f"{key} in the device file {origin!r} is {number}", way_out=f"{key} is greater than zero.")
    if key in _WHOLE and number != int(number):
        raise BadDevice(f"{key} in the device file {origin!r} is {number}", way_out=f"{key} is a whole number.")
    if custom:
        source, letter = source or f"given in {Path(origin).name}", letter or "C"
    if not isinstance(source, str) or letter not in list(Confidence):
        raise BadDevice(f"{key} in the device file {origin!r} needs a source and a confidence from A to D")
    return Quantity(
        value=float(number),
        confidence=Confidence(str(letter)),
        source=source,
        low=_bound(entry, "low"),
        high=_bound(entry, "high"),
    )


def _bound(entry: dict[str, object], key: str) -> float | None:
    value = entry.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
