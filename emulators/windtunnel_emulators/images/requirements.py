"""What a ``pip install`` asks for: its arguments, and the requirements files that they name, as one value.

Options that change nothing here (caches, progress, warnings) are dropped; those that say where packages come from are
passed on; those that would put packages somewhere else are refused. Format of the files: pip's "Requirements File
Format".
"""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from windtunnel_emulators.images.errors import WAY_OUT, EnvironmentError_

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DEEPEST = 10
_COMMENT = re.compile(r"(^|\s)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_WHEEL = re.compile(r"(?P<path>.+\.whl)(?:\[(?P<extras>[\w.,\s-]*)\])?")
_PER_REQUIREMENT = re.compile(r"\s--(?:hash|config-settings?|global-option)\b")

# Options of pip install, and of uv pip install where they differ. A base has no packages that --upgrade could mean.
_CHANGE_NOTHING = """
    --no-cache-dir --no-cache --disable-pip-version-check --quiet --verbose --no-input --no-color --prefer-binary
    --no-warn-script-location --no-warn-conflicts --no-python-version-warning --compile --no-compile --compile-bytecode
    --break-system-packages --system --force-reinstall --ignore-installed --no-progress --upgrade
"""
_CHANGE_NOTHING_WITH_VALUE = """
    --progress-bar --root-user-action --timeout --default-timeout --retries --cache-dir --log --upgrade-strategy
"""
_IGNORED = frozenset(_CHANGE_NOTHING.split())
_IGNORED_WITH_VALUE = frozenset(_CHANGE_NOTHING_WITH_VALUE.split())
_PASSED_ON = frozenset({"--pre", "--require-hashes", "--no-build-isolation"})
_PASSED_ON_WITH_VALUE = frozenset(
    {"--index-url", "--extra-index-url", "--trusted-host", "--no-binary", "--only-binary"}
)
_WITH_VALUE = frozenset({"--requirement", "--constraint", "--find-links"}) | _IGNORED_WITH_VALUE | _PASSED_ON_WITH_VALUE
_SHORT = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-f": "--find-links",
    "-i": "--index-url",
    "-U": "--upgrade",
    "-q": "--quiet",
    "-v": "--verbose",
    "-e": "--editable",
    "-t": "--target",
    "-I": "--ignore-installed",
}
_LONG = {"--requirements": "--requirement", "--constraints": "--constraint", "--pypi-url": "--index-url"}


class ImageFiles(Protocol):
    """The files of an image that is being built."""

    def read_text(self, path: str) -> str:
        """Raises ``EnvironmentError_`` when it is not there or not text."""
        ...

    def exists(self, path: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelPath:
    """A wheel that is asked for by its path in the image."""

    path: str
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an install asks for."""

    requirements: tuple[str, ...] = ()
    """As written, with their ``--hash`` options, without those about wheels in the image."""
    wheels: tuple[WheelPath, ...] = ()
    constraints: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """``--find-links``: folders of the image with wheels."""
    index: bool = True
    """Whether packages may come from elsewhere than the wheels; ``--no-index`` says no."""
    dependencies: bool = True
    options: tuple[str, ...] = ()
    """For pip and uv alike: where packages come from, and which kinds."""


@dataclass(slots=True)
class _Reader:
    """Collects what it reads. Paths start from the working directory, those of nested files from the file's folder."""

    files: ImageFiles
    folder: str
    variables: Mapping[str, str]
    requirements: list[str] = field(default_factory=list[str])
    wheels: list[WheelPath] = field(default_factory=list[WheelPath])
    constraints: list[str] = field(default_factory=list[str])
    folders: list[str] = field(default_factory=list[str])
    options: list[str] = field(default_factory=list[str])
    index: bool = True
    dependencies: bool = True

    def environment(self) -> None:
        """``PIP_SOME_OPTION`` variables, each of which is the option of that name."""
        for variable in sorted(self.variables):
            name = "--" + variable.removeprefix("PIP_").lower().replace("_", "-")
            value = self.variables[variable]
            if not variable.startswith("PIP_") or not value:
                continue
            if name in _WITH_VALUE:
                # Options that may be given several times have their values separated by blanks.
                for one in value.split():
                    self.option(name, one, self.folder, 0)
            elif value.lower() not in {"0", "false", "no", "off"}:
                self.option(name, "", self.folder, 0)

    def arguments(self, words: Sequence[str], base: str, depth: int = 0) -> None:
        """Options and requirements, as on a command line; ``base`` is the folder that has them."""
        pending = list(words)[::-1]
        while pending:
            word = pending.pop()
            if not word.startswith("-") or word == "-":
                self.requirement(word)
                continue
            if re.fullmatch(r"-[qvUI]{2,}", word):
                pending += [f"-{letter}" for letter in word[:0:-1]]
                continue
            name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
            name = _LONG.get(_SHORT.get(name, name), _SHORT.get(name, name))
            if name in _WITH_VALUE and not equals:
                if not pending:
                    raise EnvironmentError_(f"pip install has the option {name} without its value")
                value = pending.pop()
            self.option(name, value, base, depth)

    def option(self, name: str, value: str, base: str, depth: int) -> None:
        if name == "--requirement":
            self.file(_path(base, value), depth + 1, constraints=False)
        elif name == "--constraint":
            self.file(_path(base, value), depth + 1, constraints=True)
        elif name == "--find-links" and "://" not in value:
            beside = _path(base, value)
            self.folders.append(beside if self.files.exists(beside) else _path(self.folder, value))
        elif name == "--find-links" or name in _PASSED_ON_WITH_VALUE:
            self.options += [name, value]
        elif name in _PASSED_ON:
            self.options.append(name)
        elif name == "--no-index":
            self.index = False
        elif name == "--no-deps":
            self.dependencies = False
        elif name not in _IGNORED | _IGNORED_WITH_VALUE:
            raise EnvironmentError_(f"pip install with the option {name} is not supported without Docker; {WAY_OUT}")

    def file(self, path: str, depth: int, *, constraints: bool) -> None:
        """A requirements or constraints file."""
        if depth > _DEEPEST:
            raise EnvironmentError_(f"requirements files name one another more than {_DEEPEST} deep: {path}")
        for line in _lines(self.files.read_text(path), self.variables):
            if line.startswith("-"):
                self.arguments(_words(line), posixpath.dirname(path), depth)
            elif constraints:
                self.constraints.append(_PER_REQUIREMENT.split(line)[0].strip())
            else:
                self.requirement(line)

    def requirement(self, text: str) -> None:
        bare = _PER_REQUIREMENT.split(text)[0].strip()
        name, at, url = bare.partition("@")
        place = url.strip() if at and "/" not in name else bare
        if place.startswith("file:"):
            place = unquote(urlsplit(place).path)
        wheel = _WHEEL.fullmatch(place)
        if wheel and "://" not in place:
            named = re.search(r"\[(.*)\]", name) if at else None
            extras = (named[1] if named else wheel["extras"]) or ""
            self.wheels.append(
                WheelPath(
                    path=_path(self.folder, wheel["path"]),
                    extras=tuple(extra.strip() for extra in extras.split(",") if extra.strip()),
                )
            )
        elif "://" not in place and (place.startswith((".", "/")) or "/" in place or place.endswith((".gz", ".zip"))):
            raise EnvironmentError_(
                f"pip install of {place!r}, which is a project's folder or source archive, is not supported without"
                f" Docker; build a wheel of it and COPY that, or {WAY_OUT}"
            )
        else:
            self.requirements.append(text)


def read_arguments(words: Sequence[str], folder: str, files: ImageFiles, variables: Mapping[str, str]) -> Wanted:
    """What the words after ``pip install`` ask for; ``folder`` is the working directory in the image.

    Raises ``EnvironmentError_`` with a sentence.
    """
    reader = _Reader(files=files, folder=folder, variables=variables)
    reader.environment()
    reader.arguments(words, folder)
    if not reader.requirements and not reader.wheels:
        raise EnvironmentError_("pip install names no package; give requirements, wheels or -r and a file")
    return Wanted(
        requirements=tuple(dict.fromkeys(reader.requirements)),
        wheels=tuple(dict.fromkeys(reader.wheels)),
        constraints=tuple(dict.fromkeys(reader.constraints)),
        folders=tuple(dict.fromkeys(reader.folders)),
        index=reader.index,
        dependencies=reader.dependencies,
        options=tuple(reader.options),
    )


def _lines(text: str, variables: Mapping[str, str]) -> list[str]:
    """Joined at backslashes, without comments, with ``${NAME}`` replaced where it is set."""
    lines: list[str] = []
    pending = ""
    for raw in text.removeprefix("\ufeff").splitlines():
        line = _COMMENT.sub("", raw) if not raw.endswith("\\") or raw.lstrip().startswith("#") else raw
        if line.endswith("\\"):
            pending += line[:-1].strip() + " "
            continue
        whole = (pending + line.strip()).strip()
        pending = ""
        if whole:
            lines.append(_VARIABLE.sub(lambda found: variables.get(found[1], found[0]), whole))
    return [*lines, pending.strip()] if pending.strip() else lines


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise EnvironmentError_(f"a requirements file has the line {line[:200]!r}: {error}") from error


def _path(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))
