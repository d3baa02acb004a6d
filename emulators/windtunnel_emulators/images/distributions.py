"""The Python distributions that this machine's interpreter has installed, and linking one into a folder of packages.

Linked is exactly what a distribution's RECORD lists, file by file, so that nothing else of the folder it lies in
becomes importable. Compiled modules are linked where there are any; new ones are written beside the links.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.images.errors import EnvironmentError_, ImageProblem
from windtunnel_emulators.images.interpreter import programs, site_packages
from windtunnel_emulators.images.metadata import Metadata, normalise, parse_metadata
from windtunnel_emulators.images.scripts import with_interpreter, write_console_scripts, write_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SUFFIX = ".dist-info"


class NotHere(ImageProblem):
    """What this machine has installed does not do; the sentence says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A distribution that can be linked."""

    information: Path
    """Its dist-info folder."""
    metadata: Metadata

    stamp: str
    """Changes when it is installed anew."""


def find_installed(path: Sequence[str]) -> Mapping[str, Path]:
    """The dist-info folders below the folders of ``path`` by normalised name; the first of a name counts."""
    found: dict[str, Path] = {}
    for folder in path:
        try:
            names = sorted(os.listdir(folder)) if folder else []
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        for name in names:
            if name.endswith(_SUFFIX):
                found.setdefault(normalise(name.removesuffix(_SUFFIX).partition("-")[0]), Path(folder, name))
    return found


def inspect_installed(name: str, installed: Mapping[str, Path]) -> Installed:
    """The distribution of this normalised name, from ``find_installed``'s answer.

    Raises ``NotHere`` when there is none or it cannot be linked: installed in place from a source tree, or unrecorded.
    """
    information = installed.get(name)
    if information is None:
        raise NotHere(f"{name} is not installed on this machine")
    try:
        metadata = parse_metadata((information / "METADATA").read_text("utf-8", "replace"), information.name)
        origin = information / "direct_url.json"
        if origin.is_file() and msgspec.json.decode(origin.read_bytes(), type=_Origin).dir_info.editable:
            raise NotHere(f"{name} is installed in place from its source tree")
        record = (information / "RECORD").stat()
    except (OSError, msgspec.DecodeError, EnvironmentError_) as error:
        raise NotHere(f"{name} is not installed as it should be: {error}") from error
    # Another installation has another record.
    stamp = f"{information}:{record.st_mtime_ns}:{record.st_size}"
    return Installed(information=information, metadata=metadata, stamp=stamp)


class _Folder(msgspec.Struct):
    editable: bool = False


class _Origin(msgspec.Struct):
    """PEP 610."""

    dir_info: _Folder = msgspec.field(default_factory=_Folder)


def link(installed: Installed, packages: Path, home: Path) -> None:
    """Link a distribution into ``packages``, which will be at ``home`` when it is used.

    Raises ``NotHere`` when a file that it lists is missing or lies where it cannot be linked.
    """
    name = installed.metadata.name
    try:
        scripts = _link_files(installed, packages)
        # Scripts name the interpreter that they were made for, so they are made anew.
        generated = write_console_scripts(installed.information, packages, home)
        for script in scripts:
            if script.name not in generated:
                _copy_script(script, programs(packages) / script.name, home)
    except (OSError, EnvironmentError_) as error:
        raise NotHere(f"{name} cannot be linked: {error}") from error


def _link_files(installed: Installed, packages: Path) -> list[Path]:
    """Link all files but programs, which are returned. Strings, not paths: there may be tens of thousands."""
    source, target, root = str(installed.information.parent), str(site_packages(packages)), f"{packages}/"
    bin_folder = str(programs(packages))
    compiled: dict[str, set[str]] = {}
    made: set[str] = set()
    scripts: list[Path] = []
    for relative in _recorded(installed):
        original, place = f"{source}/{relative}", f"{target}/{relative}"
        if ".." in relative:
            place = os.path.normpath(place)
        if "__pycache__/" in relative:
            continue
        folder, name = os.path.split(place)
        if folder == bin_folder:
            scripts.append(Path(original))
            continue
        if not place.startswith(root):
            raise NotHere(f"{installed.metadata.name} has a file outside of its environment: {relative}")
        if not os.path.exists(original):
            raise NotHere(f"{installed.metadata.name} lacks its file {relative}")
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        _link(original, place)
        if name.endswith(".py"):
            _link_compiled(os.path.dirname(original), folder, name, compiled)
    return scripts


def _recorded(installed: Installed) -> list[str]:
    try:
        text = (installed.information / "RECORD").read_text("utf-8")
        return [row[0] for row in csv.reader(io.StringIO(text)) if row and row[0]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NotHere(f"the RECORD of {installed.metadata.name} cannot be read: {error}") from error


def _link(original: str, place: str) -> None:
    """A second name of the same file, which stays when this machine upgrades; a symbolic link to another disk."""
    for _ in range(2):
        try:
            if os.path.islink(original):
                os.symlink(original, place)
            else:
                _second_name(original, place)
        except FileExistsError:
            # As with pip, the last of several packages that have the same file wins.
            os.unlink(place)
        else:
            return


def _second_name(original: str, place: str) -> None:
    try:
        os.link(original, place)
    except FileExistsError:
        raise
    except OSError:
        # Another file system, one without links, or files of another owner (Linux: fs.protected_hardlinks).
        os.symlink(original, place)


def _link_compiled(source: str, target: str, name: str, compiled: dict[str, set[str]]) -> None:
    """The compiled form for this interpreter, where there is one: it holds as long as the source is the same."""
    cache = f"{source}/__pycache__"
    if cache not in compiled:
        compiled[cache] = set(os.listdir(cache)) if os.path.isdir(cache) else set()
    file = f"{name.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
    if file in compiled[cache]:
        os.makedirs(f"{target}/__pycache__", exist_ok=True)
        _link(f"{cache}/{file}", f"{target}/__pycache__/{file}")


def _copy_script(original: Path, place: Path, home: Path) -> None:
    """A program that is no console script: with the environment's interpreter, or linked when it needs none."""
    content = original.read_bytes()
    changed = with_interpreter(content, home)
    if changed != content:
        write_script(place, changed)
    else:
        _link(str(original), str(place))
