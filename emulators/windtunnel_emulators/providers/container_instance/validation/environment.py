"""Rules of environment variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .terms import invalid

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.container_bodies import EnvironmentVariable

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_VARIABLE = 63


def check_environment(name: str, container: str, variables: list[EnvironmentVariable], path: str) -> None:
    """Names are identifiers and differ; each has a value or a secure value."""
    for index, variable in enumerate(variables):
        own = variable.name or ""
        if _VARIABLE.fullmatch(own) is None or len(own) > _MAX_VARIABLE:
            raise invalid(
                "InvalidContainerEnvironmentVariable",
                f"The environment variable name in container '{container}' of container group '{name}' is invalid."
                " A valid environment variable name must start with alphabetic character or '_', followed by a string"
                " of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName'), and is at most"
                f" {_MAX_VARIABLE} characters long: '{own}' is not.",
                f"{path}[{index}].name",
            )
        if variable.secure_value_reference is not None:
            raise invalid(
                "InvalidContainerEnvironmentVariable",
                f"The environment variable '{own}' in container '{container}' of container group '{name}' refers to a"
                " secret that the group does not have.",
                f"{path}[{index}].secureValueReference",
            )
        if (variable.value is None) == (variable.secure_value is None):
            problem = "neither a" if variable.value is None else "both a"
            joint = "nor a" if variable.value is None else "and a"
            raise invalid(
                "InvalidContainerEnvironmentVariable",
                f"The environment variable '{own}' in container '{container}' of container group '{name}' has"
                f" {problem} 'value' {joint} 'secureValue'; it must have exactly one of them.",
                f"{path}[{index}]",
            )
        if "\0" in (variable.value or variable.secure_value or ""):
            raise invalid(
                "InvalidContainerEnvironmentVariable",
                f"The value of the environment variable '{own}' in container '{container}' of container group"
                f" '{name}' has a null character.",
                f"{path}[{index}]",
            )
    names = [variable.name or "" for variable in variables]
    for index, own in enumerate(names):
        if own in names[:index]:
            raise invalid(
                "DuplicateEnvironmentVariable",
                f"The environment variable '{own}' is there more than once in container '{container}' of container"
                f" group '{name}'.",
                f"{path}[{index}].name",
            )
