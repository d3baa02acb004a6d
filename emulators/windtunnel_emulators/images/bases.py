"""Base images that builds can start from without Docker, and what they promise; ``bases.toml`` lists them.

Nothing of a base is in an image that is built here: its manifest names the base (the OCI annotation
``org.opencontainers.image.base.name``), and whoever runs it keeps the base's promise.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.images.errors import WAY_OUT, BaseError
from windtunnel_emulators.images.interpreter import FULL_VERSION, VERSION
from windtunnel_emulators.images.reference import Reference
from windtunnel_emulators.jsontypes import JsonObject, as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Mapping

ANNOTATION = "org.opencontainers.image.base.name"
SCRATCH = "scratch"

_TAG = re.compile(r"(?P<version>\d+\.\d+)(?:\.(?P<patch>\d+))?(?:-(?P<variant>.+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What an image starts from."""

    name: str
    """As the annotation has it."""
    promise: str
    """In words."""
    python: bool
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    command: tuple[str, ...] = ()
    directories: Mapping[str, int] = field(default_factory=dict[str, int])
    """Clean paths of directories that are there, with their modes."""
    links: Mapping[str, str] = field(default_factory=dict[str, str])
    users: Mapping[str, int] = field(default_factory=dict[str, int])
    groups: Mapping[str, int] = field(default_factory=dict[str, int])


EMPTY = Base(
    name=SCRATCH,
    promise="Nothing: the image has only what is copied into it.",
    python=False,
    # Docker's, for images that set none.
    environment={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
)


def find_base(reference: Reference) -> Base:
    """The base of this name. Raises ``BaseError`` when it is unknown or its promise cannot be kept here."""
    known = next((one for one in _known() if reference.name in one.repositories), None)
    if known is None:
        raise BaseError(
            f"the base image {reference.familiar} is not known here; known are {_offered()}, and images of the"
            f" registry itself. To build on any image, {WAY_OUT}"
        )
    found = _TAG.fullmatch(reference.tag or "")
    if found is None:
        raise BaseError(
            f"the base image {reference.familiar} does not say which Python it has; name the tag {VERSION}-slim,"
            f" for instance, or {WAY_OUT}"
        )
    if found["version"] != VERSION:
        raise BaseError(
            f"the base image {reference.familiar} promises Python {found['version']}, and the emulators run on Python"
            f" {VERSION}; build on python:{VERSION}-slim, run the emulators with Python {found['version']},"
            f" or {WAY_OUT}"
        )
    if (found["variant"] or "") not in known.variants:
        raise BaseError(
            f"the base image {reference.familiar} is of the variant {found['variant']!r}; known are"
            f" {', '.join(variant or VERSION for variant in known.variants)}. To build on any image, {WAY_OUT}"
        )
    return Base(
        name=str(reference),
        promise=known.promise.format(python=VERSION),
        python=True,
        environment=known.environment,
        command=tuple(known.command),
        directories={path: known.modes.get(path, 0o755) for path in known.directories},
        links=known.links,
        users=known.users,
        groups=known.groups,
    )


def note_on(reference: Reference) -> str | None:
    """What a build's log should say when a base is taken for another patch release or cannot be compared by digest."""
    found = _TAG.fullmatch(reference.tag or "")
    if found and found["patch"] and f"{found['version']}.{found['patch']}" != FULL_VERSION:
        return f"{reference.familiar} names another patch release: containers will run on Python {FULL_VERSION}"
    if reference.digest:
        return f"{reference.familiar} is taken by its tag: its digest cannot be compared without pulling it"
    return None


def base_of(manifest: JsonObject) -> Base:
    """The base of an image that was built here. Raises ``BaseError`` for any other image."""
    name = as_str(as_object(manifest.get("annotations")).get(ANNOTATION))
    if not name:
        raise BaseError(
            "the image was not built by the emulated registry's tasks, so what it needs is not known here; build it"
            f" there (az acr build), or {WAY_OUT}"
        )
    return EMPTY if name == SCRATCH else find_base(Reference.parse(name))


class _Known(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    repositories: list[str]
    variants: list[str]
    promise: str
    environment: dict[str, str]
    command: list[str]
    directories: list[str]
    modes: dict[str, int]
    links: dict[str, str]
    users: dict[str, int]
    groups: dict[str, int]


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    base: list[_Known]


@cache
def _known() -> list[_Known]:
    text = resources.files("windtunnel_emulators.images").joinpath("bases.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _File).base


def _offered() -> str:
    names = [Reference.parse(name).familiar for known in _known() for name in known.repositories]
    return ", ".join(f"{name}:{VERSION}-slim" for name in names)
