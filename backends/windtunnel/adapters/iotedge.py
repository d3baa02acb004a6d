"""``EdgeAdapter``: services as modules of IoT Edge devices.

The image is built as for any container; the hub is ARM's (``iothub``), what a device runs is in its twins
(``iotedge_deployment``). A service is known by its module: its name is the module's, and what Windtunnel notes about
it is in the module's environment, so that any machine can see it.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from windtunnel.adapters.aci_desired import TAG_OWNER, TAG_TARGET
from windtunnel.adapters.errors import without_place
from windtunnel.adapters.iotedge_deployment import EdgeDeployment, EdgeService, Info
from windtunnel.adapters.iotedge_view import EdgeView
from windtunnel.adapters.iotedge_work import EdgeWork
from windtunnel.adapters.iothub import AGENT, IotHubs
from windtunnel.adapters.iothub_events import HubEvents
from windtunnel.errors import AlreadyExists, NotConfigured, NotFound, Unsupported
from windtunnel.interface import Capability, Deployment, Endpoint, Protocol, ServiceState
from windtunnel.jsontypes import as_object, as_str
from windtunnel.operation import BackgroundOperation, Stop
from windtunnel.records import Record, Records, spec_from_json, spec_to_json
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from windtunnel.adapters.building import Settings
    from windtunnel.adapters.clients import Clients
    from windtunnel.adapters.iothub import Hub
    from windtunnel.context import Context
    from windtunnel.interface import EventReading, KeyName, Keys, Progress
    from windtunnel.model import Model
    from windtunnel.runtime_check import Runtime
    from windtunnel.spec import Change, Spec

DEFAULT_DEVICE = "windtunnel-edge"


class EdgeAdapter:
    """Raises the errors of ``windtunnel.errors``."""

    target: ClassVar[Target] = Target.IOT_EDGE

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        records: Records,
        runtime: Runtime,
        progress: Callable[[Progress], None],
        *,
        hub: str | None,
        device: str | None,
    ) -> None:
        self._clients = clients
        self._settings = settings
        self._records = records
        self._hub = hub
        self._device = device or DEFAULT_DEVICE
        self._work = EdgeWork(clients, settings, runtime, progress)
        tags = {TAG_TARGET: self.target.value, TAG_OWNER: settings.owner}
        self._hubs = IotHubs(
            clients, group=settings.resource_group, location=settings.location, tags=tags, progress=progress
        )
        self._known: dict[str, Hub] = {}
        self._pending: dict[str, BackgroundOperation[Deployment]] = {}
        self._lock = threading.Lock()

    # --- deploy

    def deploy(self, spec: Spec) -> BackgroundOperation[Deployment]:
        """The checks are made at once, the work goes on in the background."""
        hub = self._hub_name(spec.edge.hub)
        model, context = self._work.package(spec)
        operation = BackgroundOperation(
            f"deployment of service {spec.name!r}", lambda stop: self._deploy(spec, hub, model, context, stop)
        )
        with self._lock:
            self._pending[spec.name] = operation
        return operation

    def _deploy(self, spec: Spec, hub_name: str, model: Model, context: Context, stop: Stop) -> Deployment:
        device = spec.edge.device or self._device
        there = self._hubs.get(hub_name)
        if there is not None:
            there.has_device(device)  # one that is no edge device is refused before an image is built for it
            self._refuse_taken_name(spec, there, device)
        registry = self._work.registry(self._settings.location)
        if registry.admin is None:
            raise NotConfigured(
                f"container registry {registry.name!r} has no admin account: an edge device could not pull from it",
                way_out=f"Enable it: az acr update -n {registry.name} --admin-enabled true",
            )
        # The hub and the image need nothing of each other, and both take their time.
        with ThreadPoolExecutor(1, thread_name_prefix="windtunnel-hub") as pool:
            hub_soon = pool.submit(self._place, hub_name, device)
            image = self._work.image(registry, spec, context, stop)
            hub = hub_soon.result()
        self._work.online(hub, device, stop)
        now = datetime.now(UTC).replace(microsecond=0)
        lifetime = self._settings.lifetime
        service = EdgeService(
            name=spec.name,
            image=image,
            server=registry.login_server,
            admin=registry.admin,
            environment=dict(spec.environment),
            routes=spec.edge.routes_of(spec.name),
            modules=dict(spec.edge.modules),
            variables={name: dict(values) for name, values in spec.edge.variables.items()},
            create_options=spec.edge.create_options,
            info=Info(
                model=spec.effective_model_name,
                model_digest=model.sha256,
                owner=self._settings.owner,
                created=now.isoformat(),
                expires="" if lifetime is None else (now + lifetime).isoformat(),
                tags=dict(spec.tags),
            ),
        )

        def put(deployment: EdgeDeployment) -> EdgeDeployment:
            if not spec.overwrite and deployment.info(spec.name) is not None:
                raise _taken(spec.name)
            return deployment.with_service(service)

        stop.check("the image is in the registry, no service was made")
        self._work.change(hub, device, put, stop)
        chosen = replace(spec, edge=replace(spec.edge, hub=hub_name, device=device))
        self._records.save(
            self.target,
            spec.name,
            Record(spec=spec_to_json(chosen), context_digest=context.digest, image=image),
        )
        return self._view_on(hub, device, spec.name).deployment(datetime.now(UTC))

    def _place(self, hub_name: str, device: str) -> Hub:
        """The hub, with the device."""
        hub = self._hubs.ensure(hub_name)
        self._work.device(hub, device)
        return hub

    def _refuse_taken_name(self, spec: Spec, hub: Hub, device: str) -> None:
        """Names are the hub's, not a device's: commands name a service and nothing else."""
        there = self._found(hub).get(spec.name)
        if there is not None and (not spec.overwrite or there != device):
            raise _taken(spec.name, f" (on device {there!r})")

    def _hub_name(self, given: str | None) -> str:
        name = given or self._hub
        if not name:
            raise NotConfigured(
                "no IoT hub is named (iot_hub)",
                way_out="Name one, which is made if it is not there: --hub NAME, --set iot_hub=NAME, WINDTUNNEL_IOT_HUB"
                " or iot_hub = ... in the profile. Its name is part of a host name, and must be free in all of Azure.",
            )
        return name

    # --- read

    def get(self, name: str) -> Deployment:
        """Raises ``NotFound``; a service that is being made by this process is ``Transitioning``."""
        try:
            return self._view(name).deployment(datetime.now(UTC))
        except NotFound:
            with self._lock:
                pending = self._pending.get(name)
            if pending is None or pending.done():
                raise
            return Deployment(name=name, target=self.target, state=ServiceState.TRANSITIONING)

    def list_services(self) -> Sequence[Deployment]:
        """Of all devices of the profile's hub; none when there is no hub."""
        hub = self._hubs.get(self._hub) if self._hub else None
        if hub is None:
            return []
        now = datetime.now(UTC)
        return [self._view_on(hub, device, name).deployment(now) for name, device in sorted(self._found(hub).items())]

    def logs(self, name: str, tail: int) -> str:
        """By the agent's own method; a device that is offline cannot be asked."""
        view = self._view(name)
        return self._work.logs(self._hub_of(name), view.device, name, tail)

    def endpoint(self, name: str) -> Endpoint:
        """The module's direct methods, with a token of the hub's that is good for an hour."""
        view = self._view(name)
        ca_file = self._clients.cloud.ca_file
        return Endpoint(
            scoring_uri=view.scoring_uri,
            swagger_uri="",
            key=self._hub_of(name).scoring_token(),
            certificate=None if ca_file is None else ca_file.read_text("ascii", "ignore"),
            protocol=Protocol.METHOD,
            service=name,
        )

    def events(self, hub_name: str | None, since: datetime | None, group: str) -> AbstractContextManager[EventReading]:
        """Of the profile's hub, unless another is named. Raises ``NotFound``, ``MissingExtra``."""
        hub = self._hubs.require(self._hub_name(hub_name))
        return HubEvents(self._clients.cloud, hub.events_string()).open(since=since, group=group)

    def device_of(self, name: str) -> tuple[str, str]:
        """Hub and device of a service. Raises ``NotFound``."""
        view = self._view(name)
        return self._hub_of(name).name, view.device

    def spec(self, name: str) -> Spec:
        """What the service was deployed from. Raises ``NotFound`` when this machine does not know."""
        record = self._records.load(self.target, name)
        if record is None or not record.spec:
            raise NotFound(
                f"service {name!r} was not deployed from this machine: what it was made of is not known here",
                way_out="Deploy the model itself: windtunnel deploy MODEL.onnx --target iotedge --profile ...",
            )
        return spec_from_json(record.spec)

    # --- what an IoT Edge service does not have: its offer withholds it, so nobody comes here

    def update(self, name: str, change: Change) -> BackgroundOperation[Deployment]:
        """Raises ``Unsupported``."""
        del name, change
        raise self._withheld(Capability.UPDATE)

    def keys(self, name: str) -> Keys:
        """Raises ``Unsupported``."""
        del name
        raise self._withheld(Capability.KEYS)

    def regenerate_key(self, name: str, which: KeyName, value: str | None) -> BackgroundOperation[Keys]:
        """Raises ``Unsupported``."""
        del name, which, value
        raise self._withheld(Capability.KEYS)

    def _withheld(self, capability: Capability) -> Unsupported:
        return Unsupported(
            backend=self._clients.cloud.name,
            target=self.target,
            capability=capability,
            reason="Class does not implement it yet.",
        )

    # --- delete

    def delete(self, name: str) -> BackgroundOperation[bool]:
        """The result is False when there was none."""
        return BackgroundOperation(f"deletion of service {name!r}", lambda _: self._delete(name))

    def _delete(self, name: str) -> bool:
        try:
            view, hub = self._view(name), self._hub_of(name)
            gone = self._work.change(hub, view.device, lambda deployment: deployment.without_service(name))
            self._work.removed(hub, view.device, frozenset((name, *view.info.modules)))
        except NotFound:
            gone = False
        self._records.remove(self.target, name)
        return gone

    # --- where a service is

    def _hub_of(self, name: str) -> Hub:
        """That of this machine's record, else the profile's. Raises ``NotFound``."""
        record = self._records.load(self.target, name)
        noted = as_str(as_object(record.spec.get("edge")).get("hub")) if record is not None else ""
        hub_name = noted or self._hub_name(None)
        with self._lock:
            known = self._known.get(hub_name)
        if known is None:
            try:
                known = self._hubs.require(hub_name)
            except NotFound as missing:
                raise without_place(name, missing) from missing
            with self._lock:
                self._known[hub_name] = known
        return known

    def _view(self, name: str) -> EdgeView:
        """Raises ``NotFound``."""
        record = self._records.load(self.target, name)
        noted = as_str(as_object(record.spec.get("edge")).get("device")) if record is not None else ""
        hub = self._hub_of(name)
        for device in dict.fromkeys((noted or self._device, self._device)):
            try:
                return self._view_on(hub, device, name)
            except NotFound:
                continue
        device = self._found(hub).get(name, "")
        if not device:
            raise _no_service(name, hub.name)
        return self._view_on(hub, device, name)

    def _view_on(self, hub: Hub, device: str, name: str) -> EdgeView:
        agent = hub.module_twin(device, AGENT)
        deployment = EdgeDeployment.read(agent, {})
        info = deployment.info(name)
        if info is None:
            raise _no_service(name, hub.name)
        return EdgeView(
            name=name,
            device=device,
            hub_id=hub.id,
            host=hub.host,
            location=hub.location,
            module=as_object(deployment.modules.get(name)),
            info=info,
            agent=agent,
            twin=hub.module_twin(device, name),
        )

    @staticmethod
    def _found(hub: Hub) -> dict[str, str]:
        """The device of each service of the hub."""
        found: dict[str, str] = {}
        for agent in hub.agents():
            deployment = EdgeDeployment.read(agent, {})
            for name in deployment.modules:
                if deployment.info(name) is not None:
                    found[name] = as_str(agent.get("deviceId"))
        return found


def _taken(name: str, where: str = "") -> AlreadyExists:
    return AlreadyExists(
        f"Service {name} with the same name already exists{where}, please use a different service name or delete the"
        " existing service.",
        way_out=f"`windtunnel delete {name} --target iotedge`, or deploy with --overwrite.",
    )


def _no_service(name: str, hub: str) -> NotFound:
    return NotFound(
        f"WebserviceNotFound: Webservice with name {name} not found in provided workspace (IoT hub {hub!r})",
        way_out="`windtunnel list` shows what there is.",
    )
