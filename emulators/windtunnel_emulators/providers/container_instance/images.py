"""Whether the images of a group can be had, asked at its PUT as the service does.

Only registries that are emulated here are asked, as that takes no time. Any other image is found out when it is
pulled, and the creation fails then.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.images.reference import Reference
from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.registries import Registries

if TYPE_CHECKING:
    from windtunnel_emulators.registry.registries import Registry
    from windtunnel_emulators.runtime.interface import Credentials
    from windtunnel_emulators.world import World

    from .bodies import GroupProperties


class Images:
    """Looks images up in the emulated registries."""

    def __init__(self, world: World) -> None:
        self._content = world.content
        self._registries = Registries(world.resources, world.tenant)

    def check(self, name: str, properties: GroupProperties, credentials: tuple[Credentials, ...]) -> None:
        """Raises ``ArmError`` 400 ``InaccessibleImage`` for an image that is not there or not given out."""
        images = [c.properties.image for c in properties.containers or [] if c.properties is not None]
        images += [c.properties.image for c in properties.init_containers or [] if c.properties is not None]
        for image in dict.fromkeys(image for image in images if image):
            problem = self._problem(Reference.parse(image).with_default_tag(), credentials)
            if problem is not None:
                raise ArmError(
                    400,
                    "InaccessibleImage",
                    f"The image '{image}' in container group '{name}' is not accessible. Please check the image and"
                    f" registry credential. ({problem})",
                )

    def registry(self, server: str) -> Registry | None:
        """An emulated registry by its login server."""
        return self._registries.at(server)

    def _problem(self, image: Reference, credentials: tuple[Credentials, ...]) -> str | None:
        registry = self._registries.at(image.domain)
        if registry is None:
            return None
        given = next((c for c in credentials if self._is(registry, c.server)), None)
        if given is None and not registry.anonymous_pull:
            return f"registry {registry.name} gives out no images without credentials, and there are none for it"
        if given is not None and given.username.lower() == registry.name.lower():
            # The admin user; whoever else it may be is checked when the image is pulled.
            known = [hmac.compare_digest(given.password.encode(), p.encode()) for p in registry.admin_passwords]
            if not any(known):
                return f"registry {registry.name} refuses the password, or its admin user is disabled"
        wanted = image.digest or image.tag or ""
        try:
            found = self._content.manifest(registry.key, image.path, wanted)
        except RegistryError as problem:
            return problem.message
        return None if found is not None else f"registry {registry.name} has no '{wanted}' in '{image.path}'"

    def _is(self, registry: Registry, server: str) -> bool:
        named = self._registries.at(server)
        return named is not None and named.key == registry.key
