"""Environment variables in the syntax of a shell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SHELLS = ("sh", "fish", "powershell")


def exports(environment: Mapping[str, str], shell: str) -> str:
    """One statement per variable; every value is quoted."""
    lines: list[str] = []
    for name, value in sorted(environment.items()):
        match shell:
            case "fish":
                # In fish's single quotes only these two are special.
                escaped = value.replace("\\", "\\\\").replace("'", "\\'")
                lines.append(f"set -gx {name} '{escaped}'")
            case "powershell":
                escaped = value.replace("'", "''")
                lines.append(f"$env:{name} = '{escaped}'")
            case _:
                lines.append(f"export {name}={shlex.quote(value)}")
    return "".join(f"{line}\n" for line in lines)
