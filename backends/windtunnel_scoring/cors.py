"""Cross-origin answers, as ``AML_CORS_ORIGINS`` turns them on.

The list is separated by commas. An entry is an origin, ``*``, or a regular expression (an entry with any of
``*\\]?$^[]()`` in it), compared without case: the rules of flask-cors, which the documented server uses. GET and POST
are allowed, with any header.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_scoring.errors import SettingError

if TYPE_CHECKING:
    from windtunnel_scoring.asgi import Headers

METHODS = ("GET", "POST")
_PATTERN_HINTS = frozenset("*\\]?$^[()")


class Cors:
    """The origins that may call this service from a browser."""

    def __init__(self, origins: str) -> None:
        """Raises ``SettingError`` for an entry that is no regular expression though it looks like one."""
        entries = [entry.strip() for entry in origins.split(",") if entry.strip()]
        self._all = "*" in entries
        self._literal = sorted(entry for entry in entries if not _PATTERN_HINTS & set(entry))
        self._folded = {entry.lower() for entry in self._literal}
        self._patterns: list[re.Pattern[str]] = []
        for entry in entries:
            if entry != "*" and _PATTERN_HINTS & set(entry):
                try:
                    self._patterns.append(re.compile(entry, re.IGNORECASE))
                except re.error as error:
                    raise SettingError(
                        "AML_CORS_ORIGINS", entry, f"neither an origin nor a regular expression ({error})"
                    ) from error

    def headers(self, method: str, headers: Headers) -> tuple[tuple[str, str], ...]:
        """What the answer to this request carries; nothing for an origin that is not allowed."""
        origin = headers.get("origin")
        if origin:
            if not self._allows(origin):
                return ()
            allowed = origin
        elif self._all:
            allowed = "*"
        elif self._literal:
            allowed = self._literal[0]
        else:
            return ()
        pairs = [("access-control-allow-origin", allowed)]
        if method == "OPTIONS" and (headers.get("access-control-request-method") or "").upper() in METHODS:
            wanted = headers.get("access-control-request-headers")
            if wanted:
                names = sorted(name.strip() for name in wanted.split(","))
                pairs.append(("access-control-allow-headers", ", ".join(names)))
            pairs.append(("access-control-allow-methods", ", ".join(METHODS)))
        if allowed != "*":
            pairs.append(("vary", "Origin"))
        return tuple(pairs)

    def _allows(self, origin: str) -> bool:
        return self._all or origin.lower() in self._folded or any(pattern.match(origin) for pattern in self._patterns)
