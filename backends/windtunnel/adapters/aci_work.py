"""``AciWork``: the steps of which deploying and changing a container group are made."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from windtunnel.adapters.aci_desired import TAG_OWNER, Desired, default_port, own_tags
from windtunnel.adapters.building import Building
from windtunnel.errors import AlreadyExists, Cancelled, InvalidSpec
from windtunnel.interface import Progress
from windtunnel.operation import Stop
from windtunnel.records import Record, spec_from_json, spec_to_json
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel.adapters.aci_view import View
    from windtunnel.adapters.building import Settings
    from windtunnel.adapters.clients import Clients
    from windtunnel.adapters.container_groups import ContainerGroups
    from windtunnel.context import Context
    from windtunnel.model import Model
    from windtunnel.runtime_check import Runtime
    from windtunnel.spec import Change, Spec


class AciWork(Building):
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
        super().__init__(clients, settings, runtime, progress)
        self._groups = groups

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
