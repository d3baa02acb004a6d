"""Which distributions an install comes to, from wheels at hand and what this machine has installed: no network.

It does not search: the first that fits is taken for each name, and when something later does not fit with it, or is
not here, the answer is "not here" and pip has to find a way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel_emulators.images.distributions import NotHere, inspect_installed
from windtunnel_emulators.images.errors import EnvironmentError_
from windtunnel_emulators.images.interpreter import FULL_VERSION
from windtunnel_emulators.images.metadata import Metadata, normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from packaging.requirements import Requirement

    from windtunnel_emulators.images.wheels import Wheel

# With these, where a package comes from or how it was built matters, which what is installed cannot tell.
_PIP_ONLY = frozenset({"--index-url", "--extra-index-url", "--find-links", "--no-binary", "--require-hashes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One distribution of an environment, fixed."""

    name: str
    version: str
    wheel: Wheel | None = None
    """Where it comes from, when it is a wheel of the image."""
    url: str | None = None
    """Where it comes from, when that is an address."""

    @property
    def requirement(self) -> str:
        return f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An install, with the image's files on this machine."""

    requirements: tuple[str, ...] = ()
    """As ``requirements.Wanted`` has them."""
    wheels: tuple[Wheel, ...] = ()
    """Asked for by path."""
    offered: tuple[Wheel, ...] = ()
    """In ``--find-links`` folders."""
    constraints: tuple[str, ...] = ()
    index: bool = True
    dependencies: bool = True
    options: tuple[str, ...] = ()
    present: tuple[Pin, ...] = ()
    """What earlier instructions of the same image have installed."""


def resolve(request: Request, installed: Mapping[str, Path]) -> tuple[Pin, ...]:
    """Everything that the image has after the install, sorted by name.

    ``installed`` is ``distributions.find_installed``'s answer. Raises ``NotHere``, and ``EnvironmentError_`` for what
    is no requirement at all.
    """
    blocking = sorted(_PIP_ONLY.intersection(request.options))
    if blocking and request.index:
        raise NotHere(f"{blocking[0]} leaves the choice to pip")
    search = _Search(request=request, installed=installed if request.index else {})
    for wheel in request.wheels:
        search.choose(wheel.metadata, Pin(name=wheel.metadata.name, version=wheel.metadata.version, wheel=wheel))
        search.follow(wheel.metadata.name, wheel.extras)
    for line in request.requirements:
        requirement = parse_requirement(line)
        if "--hash" in line or requirement.url:
            raise NotHere(f"{line!r} leaves the choice to pip")
        search.require(requirement, "the install")
    search.run()
    pins = {pin.name: pin for pin in request.present} | search.pins
    return tuple(pins[name] for name in sorted(pins))


def parse_requirement(line: str) -> Requirement:
    """Raises ``EnvironmentError_`` with a sentence."""
    from packaging.requirements import InvalidRequirement, Requirement

    text = line.partition(" --")[0].strip()
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise EnvironmentError_(f"{text!r} is not a requirement: {str(error).partition(chr(10))[0]}") from error


@dataclass(slots=True, kw_only=True)
class _Search:
    request: Request
    installed: Mapping[str, Path]
    pins: dict[str, Pin] = field(default_factory=dict[str, Pin])
    _metadata: dict[str, Metadata] = field(default_factory=dict[str, Metadata])
    _followed: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _pending: list[tuple[Requirement, str]] = field(default_factory=list["tuple[Requirement, str]"])

    def choose(self, metadata: Metadata, pin: Pin) -> None:
        """Take a distribution. Raises ``EnvironmentError_`` when it is not for this Python."""
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            fits = SpecifierSet(metadata.requires_python or "").contains(FULL_VERSION, prereleases=True)
        except InvalidSpecifier:
            fits = True  # pip takes an unreadable one for none, too
        if not fits:
            raise EnvironmentError_(
                f"{metadata.name} {metadata.version} needs Python {metadata.requires_python}; this is {FULL_VERSION}"
            )
        self.pins[metadata.name] = pin
        self._metadata[metadata.name] = metadata

    def require(self, requirement: Requirement, whose: str) -> None:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            self._pending.append((requirement, whose))

    def run(self) -> None:
        """Follow all requirements to their end. Raises ``NotHere``."""
        while self._pending:
            requirement, whose = self._pending.pop()
            name = normalise(requirement.name)
            if name not in self.pins:
                self._find(name, requirement)
            version = self.pins[name].version
            for wanted in (requirement, *self._constraints(name)):
                if not wanted.specifier.contains(version, prereleases=True):
                    raise NotHere(f"{whose} needs {wanted}, and here is {name} {version}")
            self.follow(name, sorted(requirement.extras))

    def follow(self, name: str, extras: Iterable[str]) -> None:
        """Require what a chosen distribution requires, with these extras."""
        metadata = self._metadata[name]
        for extra in ("", *map(normalise, extras)):
            if (name, extra) in self._followed:
                continue
            self._followed.add((name, extra))
            if not self.request.dependencies:
                continue
            for line in metadata.requires:
                requirement = parse_requirement(line)
                marker = requirement.marker
                # What has no extra in its marker is required without one; with one, only what the extra adds.
                if marker is None:
                    applies = not extra
                else:
                    applies = marker.evaluate({"extra": extra}) and not (extra and marker.evaluate({"extra": ""}))
                if applies:
                    self._pending.append((requirement, f"{name} {metadata.version}"))

    def _find(self, name: str, requirement: Requirement) -> None:
        """Choose the first that fits: what the image has, then what it offers, then what this machine has."""
        wanted = [requirement, *self._constraints(name)]
        for pin in self.request.present:
            if pin.name == name and _fits(pin.version, wanted):
                self.choose(self._describe(pin), pin)
                return
        for wheel in _newest_first(self.request.offered):
            if wheel.metadata.name == name and _fits(wheel.metadata.version, wanted):
                self.choose(wheel.metadata, Pin(name=name, version=wheel.metadata.version, wheel=wheel))
                return
        metadata = inspect_installed(name, self.installed).metadata
        self.choose(metadata, Pin(name=name, version=metadata.version))

    def _describe(self, pin: Pin) -> Metadata:
        if pin.wheel is not None:
            return pin.wheel.metadata
        metadata = inspect_installed(pin.name, self.installed).metadata
        if metadata.version != pin.version:
            raise NotHere(f"the image has {pin.name} {pin.version}, and this machine {metadata.version}")
        return metadata

    def _constraints(self, name: str) -> list[Requirement]:
        constraints = [parse_requirement(line) for line in self.request.constraints]
        return [
            one
            for one in constraints
            if normalise(one.name) == name and (one.marker is None or one.marker.evaluate({"extra": ""}))
        ]


def _fits(version: str, wanted: Sequence[Requirement]) -> bool:
    return all(one.specifier.contains(version, prereleases=True) for one in wanted)


def _newest_first(wheels: Iterable[Wheel]) -> list[Wheel]:
    from packaging.version import InvalidVersion, Version

    def key(wheel: Wheel) -> Version:
        try:
            return Version(wheel.metadata.version)
        except InvalidVersion:
            return Version("0")

    return sorted(wheels, key=key, reverse=True)
