"""``Building``: from a spec to an image in the registry, the same for every target that runs containers."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from windtunnel.adapters.aci_desired import TAG_OWNER, TAG_TARGET, Pull
from windtunnel.adapters.groups import ensure_group
from windtunnel.adapters.images import ensure_image
from windtunnel.adapters.registries import Registry
from windtunnel.interface import Keys, Progress
from windtunnel.model import Model
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from windtunnel.adapters.clients import Clients
    from windtunnel.context import Context
    from windtunnel.operation import Stop
    from windtunnel.runtime_check import Runtime
    from windtunnel.spec import Spec

_KEY_LENGTH = 32
"""Keys of Azure ML services are 32 letters and digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the adapter takes from a profile."""

    resource_group: str
    location: str
    registry: str
    owner: str
    lifetime: timedelta | None
    registry_identity: str | None = None
    fpga_quota: int = 1
    """FPGA services in the resource group; Azure ML's workspaces had one until more was asked for."""
    python: str | None = None
    base_image: str | None = None
    """What images start from; None for Docker Hub's Python."""
    storage: str | None = None
    """The storage account for collected inputs and predictions."""
    otlp_endpoint: str | None = None
    """Where telemetry goes, by OTLP over HTTP."""
    workspace: str = ""
    """What stands for Azure ML's workspace in the paths of collected data."""


class Building:
    """Raises the errors of ``windtunnel.errors``."""

    target: ClassVar[Target] = Target.ACI

    def __init__(
        self, clients: Clients, settings: Settings, runtime: Runtime, progress: Callable[[Progress], None]
    ) -> None:
        self._clients = clients
        self._settings = settings
        self._runtime = runtime
        self._progress = progress

    def package(self, spec: Spec) -> tuple[Model, Context]:
        """The model, once it is known to run on this target, and the build context of its image."""
        from windtunnel import packaging  # lazily: what only reads needs none of it

        model = Model.read(spec.model)
        model.check_target(self.target)
        model.check_runtime(self._runtime)
        return model, packaging.build_context(
            model,
            spec.effective_model_name,
            spec.script,
            self._settings.python,
            also=self.also_needed(spec),
            base=self._settings.base_image,
        )

    def also_needed(self, spec: Spec) -> tuple[str, ...]:
        """Further packages of the image."""
        del spec
        return ()

    def registry(self, location: str) -> Registry:
        """The registry, there with its resource group."""
        settings = self._settings
        tags = {TAG_TARGET: self.target.value, TAG_OWNER: settings.owner}
        if ensure_group(self._clients, settings.resource_group, location, tags):
            self._progress(Progress(step=f"created resource group {settings.resource_group}"))
        return Registry.ensure(
            self._clients,
            settings.resource_group,
            settings.registry,
            location,
            tags=tags,
            identity=settings.registry_identity,
        )

    def image(self, registry: Registry, spec: Spec, context: Context, stop: Stop) -> str:
        """The full reference of the context's image, there in the registry."""
        from windtunnel import packaging

        name = packaging.image_name(context, spec.effective_model_name)
        ensure_image(self._clients, registry, context, name, progress=self._progress, waiting=stop)
        return registry.reference(name)

    def pull(self, registry: Registry) -> Pull:
        """How a group gets its image."""
        identity = self._settings.registry_identity
        return Pull(server=registry.login_server, admin=None if identity else registry.admin, identity=identity)


def new_keys() -> Keys:
    """Two of them."""
    return Keys(primary=new_key(), secondary=new_key())


def new_key() -> str:
    """As Azure ML's keys look."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_KEY_LENGTH))
