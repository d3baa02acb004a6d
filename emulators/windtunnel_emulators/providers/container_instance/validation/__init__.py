"""The rules of a container group's body, in the order in which they are asked; the first one broken is the answer.

Codes and sentences are the real service's where they are public (issues of azure-cli, terraform-provider-azurerm,
virtual-kubelet and docker/compose-cli quote them); the others are worded alike. Each names the value, and its path as
the error's target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .containers import check_containers
from .features import check_features
from .group import check_group_name, check_words
from .identities import check_identity
from .init_containers import check_init_containers
from .network import check_network
from .registries import check_registry_credentials
from .resources import check_resources
from .terms import invalid
from .volumes import check_volumes

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.bodies import GroupBody, GroupProperties
    from windtunnel_emulators.providers.container_instance.capabilities import Ceiling

__all__ = ["check_body", "check_group_name"]


def check_body(name: str, body: GroupBody, ceiling: Ceiling) -> GroupProperties:
    """The properties of a body that obeys every rule. Raises ``ArmError`` for the first one that it breaks.

    ``ceiling`` is what one group may ask for in its location.
    """
    properties = body.properties
    if properties is None:
        raise invalid(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: the body of container group"
            f" '{name}' has no 'properties'.",
            "properties",
        )
    check_words(name, properties)
    check_features(name, body, properties)
    check_volumes(name, properties.volumes or [])
    check_containers(name, properties)
    check_init_containers(name, properties)
    check_resources(name, properties, body.location or "", ceiling)
    check_network(name, properties)
    check_identity(name, body.identity)
    check_registry_credentials(name, properties, body.identity)
    return properties
