"""Rules of volumes: exactly one kind each, and nothing in them that could lead outside of their folder."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import not_implemented

from .terms import NAME_RULE, invalid, is_name, repeated

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.bodies import AzureFileVolume, GitRepoVolume, Volume

MAX_VOLUMES = 20
_FILE = re.compile(r"[A-Za-z0-9._-]{1,253}")
_DIRECTORY = re.compile(r"[^\x00-\x1f\x7f\\:]{1,255}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,255}")
_REPOSITORY = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]+)?/[^\x00-\x20\x7f]+")


def check_volumes(name: str, volumes: list[Volume]) -> None:
    """At most twenty, with names of their own."""
    if len(volumes) > MAX_VOLUMES:
        raise invalid(
            "TooManyVolumes",
            f"Container group '{name}' has {len(volumes)} volumes; at most {MAX_VOLUMES} are allowed.",
            "properties.volumes",
        )
    for index, volume in enumerate(volumes):
        _check_volume(name, volume, f"properties.volumes[{index}]")
    twice = repeated(volume.name for volume in volumes)
    if twice is not None:
        raise invalid(
            "DuplicateVolumeName",
            f"The volume name '{twice}' is there more than once in container group '{name}'.",
            "properties.volumes",
        )


def _check_volume(name: str, volume: Volume, path: str) -> None:
    if not is_name(volume.name):
        raise invalid(
            "InvalidVolumeName",
            f"The volume name '{volume.name or ''}' in container group '{name}' is invalid. {NAME_RULE}",
            f"{path}.name",
        )
    own = volume.name or ""
    kinds = [
        kind
        for kind, value in (
            ("azureFile", volume.azure_file),
            ("emptyDir", volume.empty_dir),
            ("secret", volume.secret),
            ("secretReference", volume.secret_reference),
            ("gitRepo", volume.git_repo),
        )
        if value is not None
    ]
    if len(kinds) != 1:
        raise invalid(
            "InvalidVolume",
            f"The volume '{own}' in container group '{name}' must have exactly one of 'azureFile', 'emptyDir',"
            f" 'secret' and 'gitRepo'; it has '{','.join(kinds)}'.",
            path,
        )
    if volume.secret_reference is not None:
        raise not_implemented(
            f"The 'secretReference' of volume '{own}' in container group '{name}' (secrets of a key vault)",
            "Send the values as a secret volume.",
        )
    if volume.secret is not None:
        _check_secret(name, own, volume.secret, f"{path}.secret")
    if volume.azure_file is not None:
        _check_azure_file(name, own, volume.azure_file, f"{path}.azureFile")
    if volume.git_repo is not None:
        _check_git_repo(name, own, volume.git_repo, f"{path}.gitRepo")


def _check_secret(name: str, volume: str, secret: dict[str, str], path: str) -> None:
    if not secret:
        raise invalid(
            "InvalidSecretVolume", f"The secret volume '{volume}' in container group '{name}' cannot be empty.", path
        )
    for file, value in secret.items():
        if _FILE.fullmatch(file) is None or file in (".", ".."):
            raise invalid(
                "InvalidSecretVolume",
                f"The secret '{file}' of volume '{volume}' in container group '{name}' is invalid: it becomes a file,"
                " whose name consists of letters, digits, '-', '_' or '.'.",
                path,
            )
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as problem:
            raise invalid(
                "InvalidSecretVolume",
                f"The value of secret '{file}' of volume '{volume}' in container group '{name}' is not valid base64.",
                f"{path}.{file}",
            ) from problem


def _check_azure_file(name: str, volume: str, share: AzureFileVolume, path: str) -> None:
    for field, value in (("shareName", share.share_name), ("storageAccountName", share.storage_account_name)):
        if not value:
            raise invalid(
                "InvalidAzureFileVolume",
                f"The '{field}' of Azure File volume '{volume}' in container group '{name}' is missing.",
                f"{path}.{field}",
            )


def _check_git_repo(name: str, volume: str, git: GitRepoVolume, path: str) -> None:
    def refuse(field: str, problem: str) -> None:
        raise invalid(
            "InvalidGitRepoVolume",
            f"The '{field}' of git volume '{volume}' in container group '{name}' is invalid: {problem}",
            f"{path}.{field}",
        )

    if not git.repository:
        refuse("repository", "it is missing.")
    elif _REPOSITORY.fullmatch(git.repository) is None:
        refuse("repository", f"'{git.repository}' is no https URL, and only https can be cloned here.")
    if git.directory is not None:
        parts = git.directory.split("/")
        if _DIRECTORY.fullmatch(git.directory) is None or git.directory.startswith("/") or ".." in parts:
            refuse(
                "directory", f"'{git.directory}' must be below the volume: it cannot start with '/' or contain '..'."
            )
        if any(part.lower() == ".git" or part.startswith("-") for part in parts):
            refuse("directory", f"'{git.directory}' has a part that is '.git' or starts with '-'.")
    if git.revision is not None and _REVISION.fullmatch(git.revision) is None:
        refuse("revision", f"'{git.revision}' names no commit, tag or branch.")
