"""What a Python distribution says of itself: name, version, requirements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.errors import MessageError
from email.parser import HeaderParser

from windtunnel_emulators.images.errors import EnvironmentError_

_SEPARATORS = re.compile(r"[-_.]+")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.!+_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Of one distribution; ``name`` is normalised."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    requires_python: str | None = None


def normalise(name: str) -> str:
    """A project's name as it is compared (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def parse_metadata(text: str, what: str) -> Metadata:
    """A METADATA file. Raises ``EnvironmentError_`` that names ``what`` it belongs to."""
    # The description after the first empty line may be long, and is of no use here.
    head = text.replace("\r\n", "\n").partition("\n\n")[0]
    try:
        fields = HeaderParser().parsestr(head)
        name, version = fields.get("Name", ""), fields.get("Version", "")
        requires = tuple(fields.get_all("Requires-Dist") or ())
        python = fields.get("Requires-Python")
    except (MessageError, ValueError) as error:
        raise EnvironmentError_(f"the metadata of {what} cannot be read: {error}") from error
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise EnvironmentError_(f"the metadata of {what} has no usable name and version: {name!r}, {version!r}")
    return Metadata(
        name=normalise(name),
        version=version,
        requires=tuple(str(line) for line in requires),
        requires_python=None if python is None else str(python),
    )
