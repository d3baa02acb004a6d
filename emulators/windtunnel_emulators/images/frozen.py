"""What an image keeps of its ``RUN pip install``: every distribution with its version, and the wheels themselves.

    /.windtunnel/python/packages.json
    /.windtunnel/python/wheels/<name>.whl

So the same environment can be made again wherever the image is pulled, also after this machine has other versions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.images.errors import EnvironmentError_
from windtunnel_emulators.images.interpreter import VERSION
from windtunnel_emulators.images.metadata import Metadata
from windtunnel_emulators.images.resolution import Pin
from windtunnel_emulators.images.wheels import Wheel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FOLDER = ".windtunnel/python"
PACKAGES = f"{FOLDER}/packages.json"
WHEELS = f"{FOLDER}/wheels"

_WHEEL_NAME = re.compile(r"[\w.+!-]+\.whl")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Package(msgspec.Struct, kw_only=True, omit_defaults=True):
    name: str
    version: str
    wheel: str | None = None
    sha256: str | None = None
    url: str | None = None


class _Packages(msgspec.Struct, kw_only=True):
    python: str
    packages: list[_Package]


def encode(pins: Sequence[Pin]) -> bytes:
    """The content of ``packages.json``."""
    packages = [
        _Package(
            name=pin.name,
            version=pin.version,
            wheel=pin.wheel.file.name if pin.wheel else None,
            sha256=pin.wheel.sha256 if pin.wheel else None,
            url=pin.url,
        )
        for pin in pins
    ]
    return msgspec.json.format(msgspec.json.encode(_Packages(python=VERSION, packages=packages)), indent=1) + b"\n"


def read(root: Path) -> tuple[Pin, ...]:
    """The packages of an image that is unpacked at ``root``; none when it has no such file.

    The wheels are not opened. Raises ``EnvironmentError_`` when the file is damaged or made for another Python.
    """
    file = root / PACKAGES
    if not file.is_file():
        return ()
    return decode(file.read_bytes(), root / WHEELS)


def decode(content: bytes, wheels: Path) -> tuple[Pin, ...]:
    """The packages of a ``packages.json`` whose wheels are in the folder ``wheels``. Raises ``EnvironmentError_``."""
    try:
        found = msgspec.json.decode(content, type=_Packages)
    except msgspec.DecodeError as error:
        raise EnvironmentError_(f"the image's /{PACKAGES} is damaged: {error}") from error
    if found.python != VERSION:
        raise EnvironmentError_(
            f"the image was built for Python {found.python}, and the emulators run on Python {VERSION}; build it again"
        )
    return tuple(_pin(package, wheels) for package in found.packages)


def _pin(package: _Package, wheels: Path) -> Pin:
    if package.wheel is None:
        return Pin(name=package.name, version=package.version, url=package.url)
    if not _WHEEL_NAME.fullmatch(package.wheel) or not _SHA256.fullmatch(package.sha256 or ""):
        raise EnvironmentError_(f"the image's /{PACKAGES} is damaged: it has the wheel {package.wheel!r}")
    metadata = Metadata(name=package.name, version=package.version)
    wheel = Wheel(file=wheels / package.wheel, sha256=package.sha256 or "", metadata=metadata)
    return Pin(name=package.name, version=package.version, wheel=wheel)
