"""What pip or uv has put into a folder: its distributions as pins, and its programs with the right interpreter."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.images.errors import EnvironmentError_
from windtunnel_emulators.images.interpreter import programs, site_packages
from windtunnel_emulators.images.metadata import parse_metadata
from windtunnel_emulators.images.resolution import Pin
from windtunnel_emulators.images.scripts import with_interpreter, write_console_scripts, write_script

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from windtunnel_emulators.images.wheels import Wheel


class _Source(msgspec.Struct):
    vcs: str = ""
    commit_id: str = ""


class _Origin(msgspec.Struct):
    """PEP 610."""

    url: str = ""
    vcs_info: _Source = msgspec.field(default_factory=_Source)


def read_pins(packages: Path, wheels: Iterable[Wheel]) -> tuple[Pin, ...]:
    """Every distribution of the folder, sorted; those that are in ``wheels`` come from there.

    Raises ``EnvironmentError_`` when one does not say what it is.
    """
    known = {(wheel.metadata.name, wheel.metadata.version): wheel for wheel in wheels}
    pins: list[Pin] = []
    for information in sorted(site_packages(packages).glob("*.dist-info")):
        metadata = parse_metadata((information / "METADATA").read_text("utf-8", "replace"), information.name)
        wheel = known.get((metadata.name, metadata.version))
        url = None if wheel else _url(information)
        pins.append(Pin(name=metadata.name, version=metadata.version, wheel=wheel, url=url))
    return tuple(sorted(pins, key=lambda pin: pin.name))


def settle_programs(packages: Path, home: Path) -> None:
    """Move the programs to where they belong; ``home`` is where ``packages`` will be when they run."""
    made = site_packages(packages) / "bin"
    generated: set[str] = set()
    for information in sorted(site_packages(packages).glob("*.dist-info")):
        generated |= write_console_scripts(information, packages, home)
    for program in sorted(made.iterdir()) if made.is_dir() else []:
        if program.is_file() and program.name not in generated:
            write_script(programs(packages) / program.name, with_interpreter(program.read_bytes(), home))
    shutil.rmtree(made, ignore_errors=True)


def _url(information: Path) -> str | None:
    file = information / "direct_url.json"
    if not file.is_file():
        return None
    try:
        origin = msgspec.json.decode(file.read_bytes(), type=_Origin)
    except msgspec.DecodeError as error:
        raise EnvironmentError_(f"{information.name} has a direct_url.json that is damaged: {error}") from error
    if origin.vcs_info.vcs:
        return f"{origin.vcs_info.vcs}+{origin.url}@{origin.vcs_info.commit_id}"
    return origin.url or None
