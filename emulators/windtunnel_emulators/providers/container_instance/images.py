"""Whether the images of a group can be had, asked at its PUT as the service does.

Only registries that are emulated here are asked, as that takes no time. Any other image is found out when it is
pulled, and the creation fails then.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.images.reference import Reference
from windtunnel_emulators.registry.access import NULL_USER, Access
from windtunnel_emulators.registry.callers import AzureCallers
from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.registries import Registries
from windtunnel_emulators.runtime.interface import Credentials

if TYPE_CHECKING:
    from windtunnel_emulators.registry.registries import Registry
    from windtunnel_emulators.world import World

    from .bodies import GroupProperties
    from .stored import Secrets

_TOKEN_LIFETIME_S = 366 * 24 * 3600


class Images:
    """Looks images up in the emulated registries."""

    def __init__(self, world: World) -> None:
        self._content = world.content
        self._tokens = world.tokens
        self._clock = world.clock
        self._registries = Registries(world.resources, world.tenant)

    def credentials(self, properties: GroupProperties, secrets: Secrets) -> tuple[Credentials, ...]:
        """What images are pulled with: passwords, and tokens for the identities of the group.

        A token holds as long as a deployment may run, and is kept nowhere.
        """
        found: list[Credentials] = []
        for given in properties.image_registry_credentials or []:
            server = given.server or ""
            registry = self._registries.at(server) if given.identity is not None else None
            if server in secrets.registries:
                password = secrets.registries[server]
                found.append(Credentials(server=server, username=given.username or "", password=password))
            elif registry is not None:
                token = self._access().issue_refresh(registry, given.identity or "", _TOKEN_LIFETIME_S)
                found.append(Credentials(server=server, username=NULL_USER, password=token))
        return tuple(found)

    def check(self, name: str, properties: GroupProperties, secrets: Secrets) -> None:
        """Raises ``ArmError`` 400 ``InaccessibleImage`` for an image that is not there or not given out."""
        images = [c.properties.image for c in properties.containers or [] if c.properties is not None]
        images += [c.properties.image for c in properties.init_containers or [] if c.properties is not None]
        for image in dict.fromkeys(image for image in images if image):
            problem = self._problem(Reference.parse(image).with_default_tag(), properties, secrets)
            if problem is not None:
                raise ArmError(
                    400,
                    "InaccessibleImage",
                    f"The image '{image}' in container group '{name}' is not accessible. Please check the image and"
                    f" registry credential. ({problem})",
                )

    def _access(self) -> Access:
        tokens = self._tokens
        return Access(tokens, AzureCallers(tokens), self._clock)

    def _problem(self, image: Reference, properties: GroupProperties, secrets: Secrets) -> str | None:
        registry = self._registries.at(image.domain)
        if registry is None:
            return None
        credentials = properties.image_registry_credentials or []
        given = next((c for c in credentials if self._is(registry, c.server or "")), None)
        if given is None and not registry.anonymous_pull:
            return f"registry {registry.name} gives out no images without credentials, and there are none for it"
        if given is not None and (given.username or "").lower() == registry.name.lower():
            # The admin user; whoever else it may be is checked when the image is pulled.
            password = secrets.registries.get(given.server or "", "").encode("utf-8", "surrogatepass")
            known = [hmac.compare_digest(password, p.encode()) for p in registry.admin_passwords]
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
