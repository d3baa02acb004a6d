"""Reading settings from environment variables: each value is checked once, and a wrong one is named with the way out.

Nothing here reads ``os.environ``; the mapping is passed in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from windtunnel_scoring.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE = frozenset(("true", "1", "yes", "on"))
_FALSE = frozenset(("false", "0", "no", "off", ""))


class Environment:
    """Environment variables with types. A variable that is set to nothing counts as not set."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def text(self, name: str, default: str = "") -> str:
        """The value, or the default."""
        return self._variables.get(name) or default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """true/false, 1/0, yes/no, on/off without case; raises ``SettingError``."""
        value = self._variables.get(name)
        if value is None:
            return default
        if value.strip().lower() in _TRUE:
            return True
        if value.strip().lower() in _FALSE:
            return False
        raise SettingError(name, value, "true or false is needed")

    def whole(self, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
        """A whole number within limits; raises ``SettingError``."""
        value = self.text(name)
        if not value:
            return default
        limits = f"a whole number from {least}" + (f" to {most}" if most is not None else "") + " is needed"
        if not (value.isascii() and value.strip().isdigit() and len(value) <= 18):
            raise SettingError(name, value, limits)
        number = int(value)
        if number < least or (most is not None and number > most):
            raise SettingError(name, value, limits)
        return number

    def decimal(self, name: str, default: float | None, *, above: float = 0.0) -> float | None:
        """A finite number above a limit; raises ``SettingError``."""
        value = self.text(name)
        if not value:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (number > above and math.isfinite(number)):
            raise SettingError(name, value, f"a number above {above:g} is needed")
        return number

    def port(self, name: str, default: int) -> int:
        """A port; 0 lets the system choose one. Raises ``SettingError``."""
        return self.whole(name, default, most=65535)

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        """One of a few words; raises ``SettingError``."""
        value = self.text(name, default)
        if value not in allowed:
            raise SettingError(name, value, f"one of {', '.join(allowed)} is needed")
        return value
