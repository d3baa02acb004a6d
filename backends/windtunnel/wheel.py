"""What is installed in images, as wheels that are the same on any machine: the scoring server, or the FPGA simulator.

Its metadata pins what it needs to the versions installed here, and ``pins`` names the whole closure, so that an image
runs what was tested on this machine.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from windtunnel import __version__
from windtunnel.errors import MissingExtra

REQUIREMENTS = ("numpy", "onnxruntime", "uvicorn", "httptools")
"""What ``windtunnel_scoring`` imports: the ``scoring`` extra and numpy."""
_SKIPPED = {"__pycache__"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a wheel is made of: one package and what it imports."""

    name: str
    package: str
    """With dots where it is a part of another one; nothing else of that goes into the wheel but its first file."""
    summary: str
    requirements: tuple[str, ...]
    extra: str
    """What installs it here."""


SCORING = Contents(
    name="windtunnel_scoring",
    package="windtunnel_scoring",
    summary="The scoring server of Windtunnel: what runs inside a deployed container.",
    requirements=REQUIREMENTS,
    extra="scoring",
)
BRAINWAVE = Contents(
    name="windtunnel_brainwave",
    package="windtunnel_emulators.brainwave",
    summary="The FPGA simulator of Windtunnel: what runs inside an accelerated image.",
    requirements=("numpy", "onnx", "onnxruntime", "grpcio", "protobuf", "pillow"),
    extra="fpga",
)


def wheel_name(contents: Contents = SCORING) -> str:
    """The file name of the wheel."""
    return f"{contents.name}-{__version__}-py3-none-any.whl"


def build_wheel(contents: Contents = SCORING) -> bytes:
    """The wheel's bytes. Raises ``MissingExtra`` when something that it needs is not installed."""
    top, *inner = contents.package.split(".")
    root = _package_folder(top, contents.extra)
    folder = root.joinpath(*inner)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {
        f"{top}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in [*paths, root / "__init__.py"]
        if not _skipped(path.relative_to(root)) and path.suffix != ".pyc"
    }
    info = f"{contents.name}-{__version__}.dist-info"
    files[f"{info}/METADATA"] = _metadata(contents).encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: windtunnel\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{name},sha256={_hash(data)},{len(data)}\n" for name, data in sorted(files.items()))
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    out = io.BytesIO()
    # Stored, not deflated: compressors differ between zlib versions.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            item = zipfile.ZipInfo(name, date_time=_EPOCH)
            item.create_system = 3
            item.external_attr = 0o100644 << 16
            archive.writestr(item, data)
    return out.getvalue()


@cache
def wheel_digest(contents: Contents = SCORING) -> str:
    """The beginning of the wheel's SHA-256: another one for any change of what images run."""
    return hashlib.sha256(build_wheel(contents)).hexdigest()[:12]


def _skipped(path: Path) -> bool:
    """Caches, of Python and of whatever else keeps one in a source folder."""
    return any(part in _SKIPPED or part.startswith(".") for part in path.parts)


def pins(python: str, names: tuple[str, ...] = REQUIREMENTS, extra: str = "scoring") -> dict[str, str]:
    """Version by canonical name, of the named distributions and all that they need on Linux.

    Raises ``MissingExtra`` for the first that is not installed.
    """
    environment = {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux", "os_name": "posix",
        "platform_system": "Linux", "platform_machine": "x86_64", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "extra": "",
    }  # fmt: skip
    found: dict[str, str] = {}
    todo: list[tuple[str, frozenset[str]]] = [(canonicalize_name(name), frozenset()) for name in names]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        name, extras = item = todo.pop()
        if item in seen:
            continue
        seen.add(item)
        distribution = _distribution(name, extra)
        found[name] = distribution.version
        for text in distribution.requires or ():
            needed = Requirement(text)
            wanted = needed.marker is None or any(
                needed.marker.evaluate({**environment, "extra": chosen}) for chosen in ("", *sorted(extras))
            )
            if wanted:
                todo.append((canonicalize_name(needed.name), frozenset(needed.extras)))
    return dict(sorted(found.items()))


def _distribution(name: str, extra: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise MissingExtra("packaging a model", extra, name) from error


def _package_folder(package: str, extra: str) -> Path:
    found = util.find_spec(package)
    if found is None or found.origin is None:
        raise MissingExtra("packaging a model", extra, package)
    return Path(found.origin).parent


def _metadata(contents: Contents) -> str:
    needed = "".join(
        f"Requires-Dist: {name}=={_distribution(name, contents.extra).version}\n"
        for name in sorted(contents.requirements)
    )
    return (
        "Metadata-Version: 2.1\n"
        f"Name: {canonicalize_name(contents.name)}\n"
        f"Version: {__version__}\n"
        f"Summary: {contents.summary}\n"
        f"{needed}"
    )


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
