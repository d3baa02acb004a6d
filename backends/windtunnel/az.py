"""The real Azure CLI, pointed at the emulators, with a configuration folder and a cloud of its own.

What is set up, and why: a cloud with our ARM endpoint; no instance discovery, since Microsoft's service does not know
our authority; no telemetry and no version check, since there may be no network.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

from windtunnel.errors import NotFound, WindtunnelError
from windtunnel.jsontypes import as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from windtunnel.emulated import Ready

CLOUD = "Windtunnel"
_NO_LOGIN = frozenset(
    {"login", "logout", "cloud", "config", "configure", "version", "--version", "-v", "upgrade", "cache", "find",
     "feedback", "extension", "--help", "-h", "interactive", "survey", "self-test"}
)  # fmt: skip
"""Groups that need nobody to be logged in."""
_SET_UP_LIMIT_S = 120.0


def find_az(environment: Mapping[str, str]) -> str:
    """The program: ``WINDTUNNEL_AZ``, else ``az`` on the path. Raises ``NotFound``."""
    named = environment.get("WINDTUNNEL_AZ")
    found = shutil.which(named or "az", path=environment.get("PATH"))
    if found is None:
        where = f"WINDTUNNEL_AZ is {named!r}, and that is no program" if named else "there is no `az` on the PATH"
        raise NotFound(
            f"the Azure CLI was not found: {where}",
            way_out="Install it in an environment of its own (uv venv az && uv pip install --python az azure-cli),"
            " and set WINDTUNNEL_AZ=az/bin/az.",
        )
    return found


def run_az(
    arguments: Sequence[str],
    ready: Ready,
    state_dir: Path,
    environment: Mapping[str, str],
    note: Callable[[str], None],
) -> int:
    """Run ``az ARGUMENTS`` in the foreground; its exit code. Sets up and logs in when that was not done yet."""
    program = find_az(environment)
    folder = state_dir / "azure"
    own = az_environment(ready, folder, environment)
    _set_up(program, ready, folder, own, note)
    first = arguments[0] if arguments else "--help"
    if first not in _NO_LOGIN and "--help" not in arguments and "-h" not in arguments and not _logged_in(folder):
        _log_in(program, ready, own, note)
    return subprocess.run([program, *arguments], env=own, check=False).returncode


def az_environment(ready: Ready, folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that az runs with."""
    dropped = {"AZURE_CONFIG_DIR", "ARM_CLOUD_METADATA_URL", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"}
    return {
        **{name: value for name, value in environment.items() if name not in dropped},
        **{name: value for name, value in ready.environment.items() if name not in dropped},
        "AZURE_CONFIG_DIR": str(folder),
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "AZURE_CORE_LOGIN_EXPERIENCE_V2": "off",
        "AZURE_CORE_CHECK_VERSION": "false",
    }


def _set_up(
    program: str, ready: Ready, folder: Path, environment: Mapping[str, str], note: Callable[[str], None]
) -> None:
    """Once per endpoint and tenant; what an earlier one left (its clouds, its tokens) is removed."""
    endpoint = ready.endpoints["resourceManager"]
    mark = hashlib.sha256(f"{endpoint} {ready.environment['AZURE_TENANT_ID']}".encode()).hexdigest()
    marker = folder / "windtunnel-set-up"
    if marker.is_file() and marker.read_text("utf-8") == mark:
        return
    note(f"setting up the Azure CLI for {endpoint} (folder {folder})")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    _quietly([program, "cloud", "register", "-n", CLOUD, "--endpoint-resource-manager", f"{endpoint}/"], environment)
    _quietly([program, "cloud", "set", "-n", CLOUD], environment)
    marker.write_text(mark, "utf-8")


def _logged_in(folder: Path) -> bool:
    try:
        profile = as_object(json.loads((folder / "azureProfile.json").read_text("utf-8-sig")))
    except (FileNotFoundError, ValueError):
        return False
    return bool(as_list(profile.get("subscriptions")))


def _log_in(program: str, ready: Ready, environment: Mapping[str, str], note: Callable[[str], None]) -> None:
    who = ready.environment
    note("logging in as the emulators' service principal")
    # The secret is one of this machine only, made for this state folder.
    _quietly(
        [program, "login", "--service-principal", "--username", who["AZURE_CLIENT_ID"],
         "--password", who["AZURE_CLIENT_SECRET"], "--tenant", who["AZURE_TENANT_ID"]],
        environment,
    )  # fmt: skip


def _quietly(command: Sequence[str], environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, check=False, timeout=_SET_UP_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WindtunnelError(f"the Azure CLI cannot be set up: {error}") from error
    if done.returncode != 0:
        raise WindtunnelError(
            f"the Azure CLI cannot be set up: `az {command[1]}` ended with exit code {done.returncode}:"
            f" {done.stderr.strip()}"
        )
