"""Real pip, or uv where it is on the PATH, for packages that this machine has not installed.

Where packages come from is the user's own setting (pip.conf, uv.toml, ``PIP_*`` and ``UV_*``); pip's variables for an
index are handed to uv, too.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from typing import TYPE_CHECKING

from windtunnel_emulators.images import children
from windtunnel_emulators.images.errors import EnvironmentError_
from windtunnel_emulators.images.interpreter import base_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from windtunnel_emulators.images.resolution import Request

LIMIT_S = 900.0

# Would put packages somewhere else than asked for.
_DROPPED = frozenset(
    {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"}
    | {"PIP_DRY_RUN", "PIP_NO_DEPS", "UV_TARGET", "UV_PREFIX", "UV_SYSTEM_PYTHON", "UV_PYTHON", "PYTHONSTARTUP"}
)
_FOR_UV = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_FIND_LINKS": "UV_FIND_LINKS"}
_OPTIONS_OF_UV = {"--pre": "--prerelease=allow", "--trusted-host": "--allow-insecure-host"}


async def install(
    request: Request,
    target: Path,
    scratch: Path,
    *,
    environment: Mapping[str, str],
    log: Callable[[str], None],
    limit_s: float = LIMIT_S,
) -> None:
    """Install into the folder ``target``; its programs come to ``target/bin``. Raises ``EnvironmentError_``."""
    tool, command = _tool(environment)
    (scratch / "requirements.txt").write_text("".join(f"{line}\n" for line in _lines(request)), "utf-8")
    command += ["--target", str(target), "--requirement", str(scratch / "requirements.txt")]
    if request.constraints:
        (scratch / "constraints.txt").write_text("".join(f"{line}\n" for line in request.constraints), "utf-8")
        command += ["--constraint", str(scratch / "constraints.txt")]
    for folder in sorted({str(wheel.file.parent) for wheel in request.offered}):
        command += ["--find-links", folder]
    command += [] if request.index else ["--no-index"]
    command += [] if request.dependencies else ["--no-deps"]
    command += [_OPTIONS_OF_UV.get(option, option) if tool == "uv" else option for option in request.options]
    outcome = await children.run(command, _environment(tool, environment), log, limit_s=limit_s)
    if outcome.code is None:
        raise EnvironmentError_(f"{tool} did not install the packages within {limit_s:g} seconds")
    if outcome.code != 0:
        said = " ".join(line.strip() for line in outcome.last_lines) or "nothing"
        raise EnvironmentError_(f"{tool} could not install the packages (exit code {outcome.code}). It said: {said}")


def _tool(environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """uv or pip, and how its install command starts."""
    uv = shutil.which("uv", path=environment.get("PATH"))
    if uv:
        return "uv", [uv, "pip", "install", "--color", "never", "--python", sys.executable]
    quiet = ["--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar", "off"]
    interpreter = sys.executable if importlib.util.find_spec("pip") else str(base_interpreter())
    return "pip", [interpreter, "-m", "pip", "install", "--no-color", *quiet]


def _environment(tool: str, environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if name not in _DROPPED}
    if tool == "uv":
        for name, own in _FOR_UV.items():
            if name in kept:
                kept.setdefault(own, kept[name])
    return kept


def _lines(request: Request) -> list[str]:
    hashed = "--require-hashes" in request.options or any("--hash" in line for line in request.requirements)
    lines = list(request.requirements)
    for wheel in request.wheels:
        extras = f"[{','.join(wheel.extras)}]" if wheel.extras else ""
        digest = f" --hash=sha256:{wheel.sha256}" if hashed else ""
        lines.append(f"{wheel.metadata.name}{extras} @ {wheel.file.as_uri()}{digest}")
    return lines
