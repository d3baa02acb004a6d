"""What repositories and tags may be called (OCI distribution specification 1.1, "Pulling manifests")."""

from __future__ import annotations

import re

from windtunnel_emulators.registry.errors import name_invalid, tag_invalid

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_LONGEST = 255


def check_repository(name: str) -> str:
    """The name if it is one of a repository; raises ``RegistryError`` NAME_INVALID otherwise."""
    if len(name) > _LONGEST:
        raise name_invalid(
            name[:64] + "...", f"a repository name has at most {_LONGEST} characters, this has {len(name)}"
        )
    if not _REPOSITORY.fullmatch(name):
        raise name_invalid(
            name,
            f"invalid repository name {name!r}: lower-case letters and digits, separated by '.', '_', '__' or dashes,"
            " in parts separated by '/'",
        )
    return name


def check_tag(tag: str) -> str:
    """The tag if it is one; raises ``RegistryError`` TAG_INVALID otherwise."""
    if not _TAG.fullmatch(tag):
        raise tag_invalid(tag[:160])
    return tag
