"""The build arguments of a whole build: those given, those declared before the first FROM, those predefined.

Source: Dockerfile reference, "ARG": a value counts from where a stage declares it; the proxies' need no declaration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.images.oci import architecture

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNDECLARED = frozenset(
    name
    for word in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (word, word.lower())
) | {"SOURCE_DATE_EPOCH"}


class BuildArguments:
    """Given values and global ones."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = dict(given)
        self._used: set[str] = set()
        platform = {"OS": "linux", "ARCH": architecture(), "PLATFORM": f"linux/{architecture()}", "VARIANT": ""}
        self._global = {f"{where}{what}": value for where in ("TARGET", "BUILD") for what, value in platform.items()}

    def declare_global(self, name: str, default: str | None) -> None:
        """ARG before the first FROM."""
        value = self.given(name, default)
        if value is not None:
            self._global[name] = value

    def declare(self, name: str, default: str | None) -> str | None:
        """ARG in a stage; returns its value."""
        return self.given(name, self._global.get(name) if default is None else default)

    def given(self, name: str, default: str | None) -> str | None:
        self._used.add(name)
        return self._given.get(name, default)

    def global_value(self, name: str) -> str | None:
        """For FROM."""
        return self._global.get(name)

    @property
    def predefined(self) -> dict[str, str]:
        """Those of every stage."""
        return {name: value for name, value in self._given.items() if name in _UNDECLARED}

    @property
    def unused(self) -> list[str]:
        return sorted(self._given.keys() - self._used - _UNDECLARED)

    @property
    def time(self) -> int | None:
        """``SOURCE_DATE_EPOCH``: seconds since 1970; None when it was not given. Raises ``ValueError``."""
        text = self._given.get("SOURCE_DATE_EPOCH")
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 11):
            raise ValueError(f"the build argument SOURCE_DATE_EPOCH is {text!r}; it takes seconds since 1970")
        return int(text)
