"""The folders behind a group's volumes: made anew for each deployment, and gone with the group.

VolumeProblem    a volume that cannot be had, and why

Azure Files cannot be mounted here: such a group fails, as it does on Azure when the share cannot be reached.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .bodies import GitRepoVolume, GroupProperties, Volume
    from .stored import Secrets

_CLONE_LIMIT_S = 120.0


class VolumeProblem(Exception):
    """A volume that cannot be had; the message is a sentence for the user."""


async def prepare(folder: Path, properties: GroupProperties, secrets: Secrets) -> dict[str, Path]:
    """Make the folders of all volumes below ``folder``, by name. Raises ``VolumeProblem``."""
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    folders = existing(folder, properties)
    for volume in properties.volumes or []:
        name = volume.name or ""
        folders[name].mkdir(parents=True)
        if volume.azure_file is not None:
            raise _no_azure_files(volume)
        if volume.secret is not None:
            _write_secret(folders[name], secrets.volumes.get(name, {}))
        if volume.git_repo is not None:
            await clone(name, volume.git_repo, folders[name])
    return folders


def existing(folder: Path, properties: GroupProperties) -> dict[str, Path]:
    """Where ``prepare`` makes the folders."""
    return {volume.name or "": folder / (volume.name or "") for volume in properties.volumes or []}


def _no_azure_files(volume: Volume) -> VolumeProblem:
    share = volume.azure_file
    return VolumeProblem(
        f"volume '{volume.name}' cannot be mounted: the share '{share.share_name if share else ''}' of storage account"
        f" '{share.storage_account_name if share else ''}' cannot be reached, as Azure Files is not emulated; use an"
        " emptyDir or a secret volume"
    )


def _write_secret(folder: Path, files: dict[str, str]) -> None:
    for name, value in files.items():
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(base64.b64decode(value))


async def clone(name: str, git: GitRepoVolume, folder: Path, *, protocol: str = "https") -> None:
    """As a kubelet does: into ``directory``, else into a folder named after the repository.

    Raises ``VolumeProblem``. No other protocol is spoken, also when the repository refers to one.
    """
    repository = git.repository or ""
    target = folder / (git.directory or repository.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git"))
    program = shutil.which("git")
    if program is None:
        raise VolumeProblem(f"git volume '{name}' cannot be cloned: there is no git on this machine")
    # No questions asked, no settings and no hooks of this machine's user.
    settings = (
        "protocol.allow=never",
        f"protocol.{protocol}.allow=always",
        "credential.helper=",
        "core.hooksPath=/dev/null",
    )
    safe = (program, *(part for setting in settings for part in ("-c", setting)))
    steps = [(*safe, "clone", "--quiet", "--", repository, str(target))]
    if git.revision:
        steps.append((*safe, "-C", str(target), "checkout", "--quiet", "--detach", git.revision, "--"))
    try:
        async with asyncio.timeout(_CLONE_LIMIT_S):
            for step in steps:
                await _run(name, step, folder)
    except TimeoutError as late:
        raise VolumeProblem(f"git volume '{name}' was not cloned within {_CLONE_LIMIT_S:g} s") from late


async def _run(name: str, command: tuple[str, ...], home: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ASKPASS": "",
        "HOME": str(home),
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # git's helpers too
            await process.wait()
    if process.returncode != 0:
        said = errors.decode("utf-8", "replace").strip().splitlines()
        raise VolumeProblem(f"git volume '{name}' cannot be cloned: {said[-1] if said else 'git failed'}")
