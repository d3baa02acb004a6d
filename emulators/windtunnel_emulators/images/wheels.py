"""Wheels: what one says of itself, and unpacking it into a folder of packages (PyPA's binary distribution format).

Every file must be in the wheel's RECORD with the right hash, and lands below the folder of packages or is refused.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.images.archive import clean_path
from windtunnel_emulators.images.errors import ArchiveError, EnvironmentError_
from windtunnel_emulators.images.interpreter import VERSION, programs, site_packages
from windtunnel_emulators.images.metadata import Metadata, parse_metadata
from windtunnel_emulators.images.scripts import with_interpreter, write_console_scripts, write_script
from windtunnel_emulators.images.slices import Slice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LARGEST_TEXT = 16 << 20
_LARGEST_SCRIPT = 64 << 20
_MOST_FILES = 100_000
_MOST_BYTES = 16 << 30
_CHUNK = 1 << 20
_INFORMATION = re.compile(r"([^/]+\.dist-info)/METADATA")
_HASHES = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
_UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel on this machine."""

    file: Path
    sha256: str
    metadata: Metadata
    extras: tuple[str, ...] = ()
    """Of those that it offers, which are asked for."""


def inspect(file: Path, extras: tuple[str, ...] = ()) -> Wheel:
    """Raises ``EnvironmentError_`` when it is no wheel or not one for this interpreter and machine."""
    check_tags(file.name)
    with _opened(file) as archive:
        information = _information(archive, file.name)
        text = _member(archive, f"{information}/METADATA", file.name)
    value = hashlib.sha256()
    Slice.whole(file).copy(value.update)
    metadata = parse_metadata(text.decode("utf-8", "replace"), file.name)
    return Wheel(file=file, sha256=value.hexdigest(), metadata=metadata, extras=extras)


def check_tags(name: str) -> None:
    """Raises ``EnvironmentError_`` when the name of a wheel says that it is not for this interpreter and machine."""
    from packaging.tags import sys_tags
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        tags = parse_wheel_filename(name)[3]
    except InvalidWheelFilename as error:
        raise EnvironmentError_(f"{name!r} is not a wheel's name: {error}") from error
    # Listing this machine's tags takes 10 ms, which a wheel for every machine need not.
    if not any(str(tag) == "py3-none-any" for tag in tags) and tags.isdisjoint(sys_tags()):
        raise EnvironmentError_(
            f"{name} is not a wheel for this machine's Python {VERSION}: it is for {', '.join(sorted(map(str, tags)))}"
        )


def unpack(file: Path, sha256: str, packages: Path, home: Path) -> None:
    """Install the wheel into ``packages``, which will be at ``home`` when it is used. Raises ``EnvironmentError_``."""
    value = hashlib.sha256()
    Slice.whole(file).copy(value.update)
    if value.hexdigest() != sha256:
        raise EnvironmentError_(f"{file.name} has the SHA-256 {value.hexdigest()} instead of {sha256}")
    with _opened(file) as archive:
        information = _information(archive, file.name)
        recorded = _record(_member(archive, f"{information}/RECORD", file.name), file.name)
        rows: list[tuple[str, str, str]] = []
        for member, path in _files(archive, file.name):
            place, script = _place(path, information, packages, file.name)
            hashed = _write(archive, member, place, recorded.get(path), file.name)
            if script:
                if member.file_size > _LARGEST_SCRIPT:
                    raise EnvironmentError_(f"{file.name} has the script {path!r}, which is too large")
                write_script(place, with_interpreter(place.read_bytes(), home))
            elif member.external_attr >> 16 & 0o111:
                place.chmod(0o755)
            if path != f"{information}/RECORD":
                rows.append((_relative(place, packages), hashed, str(member.file_size)))
    folder = site_packages(packages) / information
    write_record(folder, rows)
    write_console_scripts(folder, packages, home)


def write_record(information: Path, rows: list[tuple[str, str, str]]) -> None:
    """A distribution's RECORD: what is installed, as ``importlib.metadata`` reads it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*rows, (f"{information.name}/RECORD", "", "")])
    (information / "RECORD").write_text(text.getvalue(), "utf-8")


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise EnvironmentError_(f"{file.name} is not a wheel: {error}") from error


def _information(archive: zipfile.ZipFile, name: str) -> str:
    folders = {found[1] for entry in archive.namelist() if (found := _INFORMATION.fullmatch(entry))}
    if len(folders) != 1:
        raise EnvironmentError_(f"{name} is not a wheel: it has {len(folders)} folders of metadata instead of one")
    return folders.pop()


def _member(archive: zipfile.ZipFile, path: str, name: str) -> bytes:
    try:
        member = archive.getinfo(path)
        if member.file_size > _LARGEST_TEXT:
            raise EnvironmentError_(f"{name} has {path!r} of {member.file_size:,} bytes, which is too large")
        return archive.read(member)
    except KeyError as error:
        raise EnvironmentError_(f"{name} is not a wheel: it has no {path}") from error
    except _DAMAGE as error:
        raise EnvironmentError_(f"{name} is damaged: {error}") from error


# What the zipfile module raises for damaged, encrypted and unusual content.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError, OSError)


def _files(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > _MOST_FILES or sum(member.file_size for member in members) > _MOST_BYTES:
        raise EnvironmentError_(f"{name} has more than {_MOST_FILES:,} files or {_MOST_BYTES:,} bytes")
    for member in members:
        try:
            yield member, clean_path(member.filename, what=f"{name} has the path")
        except ArchiveError as error:
            raise EnvironmentError_(str(error)) from error


def _record(text: bytes, name: str) -> dict[str, tuple[str, str]]:
    """Paths, with the algorithm and the value of their hash."""
    found: dict[str, tuple[str, str]] = {}
    try:
        for row in csv.reader(io.StringIO(text.decode())):
            if len(row) >= 2:
                algorithm, _, value = row[1].partition("=")
                found[row[0]] = (algorithm, value)
    except (UnicodeDecodeError, csv.Error) as error:
        raise EnvironmentError_(f"{name} has a RECORD that is damaged: {error}") from error
    return found


def _place(path: str, information: str, packages: Path, name: str) -> tuple[Path, bool]:
    """Where a file goes, and whether it is a script."""
    data = information.removesuffix(".dist-info") + ".data"
    if not path.startswith(f"{data}/"):
        return site_packages(packages) / path, False
    _, scheme, *rest = path.split("/", 2)
    if not rest:
        raise EnvironmentError_(f"{name} has {path!r}, which belongs to no scheme of installation")
    match scheme:
        case "purelib" | "platlib":
            return site_packages(packages) / rest[0], False
        case "scripts":
            return programs(packages) / rest[0], True
        case "data":
            return packages / rest[0], False
        case "headers":
            return packages / "include" / rest[0], False
        case _:
            raise EnvironmentError_(f"{name} has {path!r}, whose scheme {scheme!r} is unknown")


def _write(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path, expected: tuple[str, str] | None, name: str
) -> str:
    """Write the member and return its hash as RECORD has it."""
    algorithm, value = expected or ("", "")
    checked = not member.filename.endswith(tuple(f".dist-info/{file}" for file in _UNRECORDED))
    if checked and algorithm not in _HASHES:
        raise EnvironmentError_(f"{name} has {member.filename!r}, for which its RECORD has no hash")
    hasher = _HASHES[algorithm if checked else "sha256"]()
    written = 0
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # As with pip, the last of several packages that have the same file wins; a link is never written through.
        place.unlink(missing_ok=True)
        with archive.open(member) as source, place.open("xb") as target:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                if written > member.file_size:
                    raise EnvironmentError_(f"{name} is damaged: {member.filename!r} is larger than it says")
                hasher.update(chunk)
                target.write(chunk)
    except _DAMAGE as error:
        raise EnvironmentError_(f"{name} cannot be unpacked: {error}") from error
    encoded = base64.urlsafe_b64encode(hasher.digest()).rstrip(b"=").decode()
    if checked and encoded != value.rstrip("="):
        raise EnvironmentError_(f"{name} has {member.filename!r} with another hash than its RECORD says")
    return f"{algorithm or 'sha256'}={encoded}"


def _relative(place: Path, packages: Path) -> str:
    """From site-packages, as RECORD has it."""
    home = site_packages(packages)
    return (
        place.relative_to(home).as_posix()
        if place.is_relative_to(home)
        else f"../../../{place.relative_to(packages).as_posix()}"
    )
