"""``AciWork``: the steps of which deploying and changing a container group are made."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from windtunnel.adapters.aci_desired import (
    TAG_OWNER,
    TAG_TARGET,
    Desired,
    Pull,
    default_port,
    own_tags,
)
from windtunnel.adapters.groups import ensure_group
from windtunnel.adapters.images import ensure_image
from windtunnel.adapters.registries import Registry
from windtunnel.errors import AlreadyExists, Cancelled, InvalidSpec
from windtunnel.interface import Keys, Progress
from windtunnel.model import Model
from windtunnel.operation import Stop
from windtunnel.records import Record, spec_from_json, spec_to_json
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel.adapters.aci_view import View
    from windtunnel.adapters.clients import Clients
    from windtunnel.adapters.container_groups import ContainerGroups
    from windtunnel.context import Context
    from windtunnel.runtime_check import Runtime
    from windtunnel.spec import Change, Spec

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


class AciWork:
    """Raises the errors of ``windtunnel.errors``."""

    target: ClassVar[Target] = Target.ACI

    def __init__(
        self,
        clients: Clients,
        groups: ContainerGroups,
        settings: Settings,
        runtime: Runtime,
        progress: Callable[[Progress], None],
    ) -> None:
        self._clients = clients
        self._groups = groups
        self._settings = settings
        self._runtime = runtime
        self._progress = progress

    def package(self, spec: Spec) -> tuple[Model, Context]:
        """The model, once it is known to run on this target, and the build context of its image."""
        from windtunnel import packaging  # lazily: what only reads needs none of it

        model = Model.read(spec.model)
        model.check_target(self.target)
        model.check_runtime(self._runtime)
        return model, packaging.build_context(model, spec.effective_model_name, spec.script, self._settings.python)

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

    def create(self, spec: Spec, model: Model, context: Context, record: Record, stop: Stop) -> Desired:
        """What a new service should be, its image built."""
        settings = self._settings
        location = spec.aci.location or settings.location
        expires = datetime.now(UTC) + settings.lifetime if settings.lifetime is not None else None
        registry = self.registry(location)
        image = self.image(registry, spec, context, stop)
        stop.check("the image is in the registry, no service was made")
        own = own_tags(spec, model_digest=model.sha256, owner=settings.owner)
        desired = Desired(
            name=spec.name,
            location=location,
            image=image,
            pull=self.pull(registry),
            cpu=spec.aci.cpu,
            memory_gb=spec.aci.memory_gb,
            port=spec.aci.port,
            dns_name_label=spec.aci.dns_name_label,
            environment=spec.environment,
            keys=record.keys,
            tags={**spec.tags, **own},
        )
        return desired.with_certificate(record.certificate).expiring(expires)

    def make_way(self, now: View, desired: Desired, stop: Stop) -> None:
        """Delete a group that ARM would refuse to change into the desired one."""
        if not now.ours:
            raise AlreadyExists(
                f"container group {now.name!r} exists and was not made by Windtunnel: it is left alone",
                way_out="Use a different service name.",
            )
        same_size = (now.cpu, now.memory_gb) == (desired.cpu, desired.memory_gb)
        if not same_size or now.location.lower() != desired.location.lower():
            self._progress(Progress(step=f"deleting service {now.name}: the change needs a new container group"))
            self._groups.delete(now.name, stop)

    def put(self, desired: Desired, stop: Stop, *, delete_when_cancelled: bool) -> None:
        """Create or update the group, and wait for ARM."""
        self._progress(Progress(step=f"creating container group {desired.name} in {desired.location}"))
        try:
            self._groups.put(desired.name, desired.body(), stop)
        except Cancelled as error:
            if not delete_when_cancelled:
                raise
            self._groups.delete(desired.name, Stop())
            raise Cancelled("cancelled; the container group was deleted again") from error

    def as_is(self, now: View, record: Record) -> Desired:
        """What would leave the group as it is. Raises ``InvalidSpec`` when its secrets are not known here."""
        if now.auth_enabled and record.keys is None:
            raise InvalidSpec(
                f"the keys of service {now.name!r} are not on this machine, and Azure does not give them back",
                way_out=f"Make new ones first: windtunnel keys regenerate {now.name}",
            )
        if now.tls_enabled and record.certificate is None:
            raise InvalidSpec(
                f"the certificate of service {now.name!r} is not on this machine, and Azure does not give it back",
                way_out="Deploy it again with --overwrite and the certificate.",
            )
        chosen = now.port != default_port(tls=now.tls_enabled)
        return Desired(
            name=now.name,
            location=now.location,
            image=now.scoring.image,
            pull=self.pull(self.registry(self._settings.location)),
            cpu=now.cpu,
            memory_gb=now.memory_gb,
            port=now.port if chosen else None,
            dns_name_label=now.dns_name_label,
            environment=now.user_environment,
            keys=record.keys if now.auth_enabled else None,
            certificate=record.certificate if now.tls_enabled else None,
            tags=now.tags,
        )

    def rebuilt(self, desired: Desired, record: Record, change: Change, stop: Stop) -> tuple[Desired, Record]:
        """With another model or script; what is not given stays what the service was deployed from."""
        if not record.spec:
            raise InvalidSpec(
                f"service {desired.name!r} was not deployed from this machine: what it was made of is not known here",
                way_out="Deploy it again with --overwrite.",
            )
        old = spec_from_json(record.spec)
        spec = replace(old, model=change.model or old.model, script=change.script or old.script)
        model, context = self.package(spec)
        image = self.image(self.registry(desired.location), spec, context, stop)
        own = own_tags(spec, model_digest=model.sha256, owner=desired.tags.get(TAG_OWNER, self._settings.owner))
        desired = replace(desired, image=image, tags={**desired.tags, **own})
        return desired, replace(record, spec=spec_to_json(spec), context_digest=context.digest)


def new_keys() -> Keys:
    """Two of them."""
    return Keys(primary=new_key(), secondary=new_key())


def new_key() -> str:
    """As Azure ML's keys look."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_KEY_LENGTH))
