"""Image references as Docker reads them: ``[domain[:port]/]path[:tag][@digest]``.

The grammar is that of the Docker project's reference library: a first part without ``.``, ``:`` or capitals that is not
``localhost`` belongs to the path, a path of one part on Docker Hub is below ``library/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from windtunnel_emulators.images.errors import ReferenceProblem

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"

_LONGEST = 1_000
_LONGEST_NAME = 255
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::[0-9]+)?")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image's name, normalised: the domain is always there. Built by ``Reference.parse``."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises ``ReferenceProblem`` with a sentence."""
        if len(text) > _LONGEST:
            raise ReferenceProblem(f"{text[:80]!r}... is not an image reference: it has over {_LONGEST} characters")
        name, at, digest = text.partition("@")
        if at:
            _check_digest(digest, text)
        name, tag = _split_tag(name)
        if tag is not None and not _TAG.fullmatch(tag):
            raise ReferenceProblem(
                f"{text!r} is not an image reference: the tag {tag!r} must be 1 to 128 letters, digits, '_', '.' and"
                " '-', and must not start with '.' or '-'"
            )
        domain, path = _split_domain(name)
        _check_name(domain, path, text)
        return cls(domain=domain, path=path, tag=tag, digest=digest if at else None)

    @property
    def name(self) -> str:
        """Domain and path, as in ``docker.io/library/python``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """As people write it: ``python:3.11-slim``."""
        name = self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path
        # Without its domain, the rest must still read as the same path.
        return (name if _split_domain(name) == (self.domain, self.path) else self.name) + self._rest()

    def with_default_tag(self) -> Reference:
        """With ``latest`` when it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def __str__(self) -> str:
        return self.name + self._rest()

    def _rest(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def _split_tag(name: str) -> tuple[str, str | None]:
    """A colon after the last slash starts a tag; one before it a port."""
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, None)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (set(".:[") & set(first) or first == "localhost" or first != first.lower()):
        domain, path = DOCKER_HUB, name
    else:
        domain, path = first, rest
    if domain in {"index.docker.io", "registry-1.docker.io"}:
        domain = DOCKER_HUB
    if domain == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return domain, path


def _check_name(domain: str, path: str, text: str) -> None:
    shown = path.removeprefix("library/")
    if not _DOMAIN.fullmatch(domain):
        raise ReferenceProblem(f"{text!r} is not an image reference: {domain!r} is not a registry's host[:port]")
    if not shown:
        raise ReferenceProblem(f"{text!r} is not an image reference: it names no repository")
    if path != path.lower():
        raise ReferenceProblem(f"{text!r} is not an image reference: the repository {shown!r} must be lower case")
    if not _PATH.fullmatch(path):
        raise ReferenceProblem(
            f"{text!r} is not an image reference: the repository {shown!r} must be parts of lower-case letters and"
            " digits, each joined by '.', '_', '__' or '-', with '/' between parts"
        )
    if len(path) > _LONGEST_NAME:
        raise ReferenceProblem(
            f"{text[:80]!r}... is not an image reference: a repository has at most {_LONGEST_NAME} characters"
        )
    if len(shown) == 64 and _HEX.fullmatch(shown):
        raise ReferenceProblem(
            f"{text!r} is not an image reference: 64 hexadecimal digits are an image's id, and a repository"
            " must not look like one"
        )


def _check_digest(digest: str, text: str) -> None:
    algorithm, _, encoded = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm)
    if length is None or len(encoded) != length or not _HEX.fullmatch(encoded):
        raise ReferenceProblem(
            f"{text!r} is not an image reference: after '@' comes a digest such as sha256:<64 lower-case hexadecimal"
            " digits>"
        )
