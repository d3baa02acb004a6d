"""Rules of registry credentials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import not_implemented

from .terms import invalid, repeated

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.bodies import (
        GroupProperties,
        Identity,
        ImageRegistryCredential,
    )

_SERVER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")


def check_registry_credentials(name: str, properties: GroupProperties, identity: Identity | None) -> None:
    """No more than containers, each for another server, by password or by an identity of the group."""
    credentials = properties.image_registry_credentials or []
    containers = len(properties.containers or []) + len(properties.init_containers or [])
    if len(credentials) > containers:
        raise invalid(
            "MoreImageRegistryCredentialsThanContainers",
            f"More image registry credentials provided than containers in container group '{name}'.",
            "properties.imageRegistryCredentials",
        )
    for index, credential in enumerate(credentials):
        _check(name, credential, identity, f"properties.imageRegistryCredentials[{index}]")
    twice = repeated(credential.server for credential in credentials)
    if twice is not None:
        raise invalid(
            "DuplicateImageRegistryCredentials",
            f"The server '{twice}' is there more than once in the 'imageRegistryCredentials' of container group"
            f" '{name}'.",
            "properties.imageRegistryCredentials",
        )


def _check(name: str, credential: ImageRegistryCredential, identity: Identity | None, path: str) -> None:
    server = credential.server or ""
    if _SERVER.fullmatch(server) is None:
        raise invalid(
            "InvalidImageRegistryServer",
            f"The server '{server}' in the 'imageRegistryCredentials' of container group '{name}' is invalid. It"
            " should be a valid host name without protocol.",
            f"{path}.server",
        )
    if credential.password_reference is not None:
        raise not_implemented(
            f"The 'passwordReference' for server '{server}' of container group '{name}' (secrets of a key vault)",
            "Send the password.",
        )
    if credential.identity is not None:
        known = {i.lower() for i in (identity.user_assigned_identities or {})} if identity else set[str]()
        if credential.identity.lower() not in known:
            raise invalid(
                "InvalidImageRegistryIdentity",
                f"The identity in the 'imageRegistryCredentials' of container group '{name}' not found in container"
                " group identity list",
                f"{path}.identity",
            )
        return
    for field, value in (("username", credential.username), ("password", credential.password)):
        if not value:
            raise invalid(
                "InvalidImageRegistryCredentials",
                f"The '{field}' for server '{server}' in the 'imageRegistryCredentials' of container group '{name}' is"
                " missing.",
                f"{path}.{field}",
            )
