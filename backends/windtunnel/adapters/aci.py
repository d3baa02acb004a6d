"""``AciAdapter``: services as container groups of Azure Container Instances."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from windtunnel.adapters.aci_desired import TAG, TAG_TARGET
from windtunnel.adapters.aci_view import View
from windtunnel.adapters.aci_work import AciWork
from windtunnel.adapters.building import new_key, new_keys
from windtunnel.adapters.container_groups import ContainerGroups
from windtunnel.errors import AlreadyExists, InvalidSpec, NotFound, ScoringFailed, WindtunnelError
from windtunnel.interface import Capability, Deployment, Endpoint, KeyName, Keys, Progress, ServiceState
from windtunnel.operation import BackgroundOperation, Stop
from windtunnel.records import Certificate, Record, Records, spec_from_json, spec_to_json
from windtunnel.scoring_client import ScoringClient
from windtunnel.spec import Target, check_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windtunnel.adapters.aci_desired import Desired
    from windtunnel.adapters.building import Settings
    from windtunnel.adapters.clients import Clients
    from windtunnel.context import Context
    from windtunnel.model import Model
    from windtunnel.runtime_check import Runtime
    from windtunnel.spec import Change, Spec

PROBE_TIMEOUT_S = 3.0
_MOST_PROBES = 8


class AciAdapter:
    """Raises the errors of ``windtunnel.errors``. The FPGA target is made of the same parts (``adapters.fpga``)."""

    target: ClassVar[Target] = Target.ACI
    views: ClassVar[type[View]] = View
    works: ClassVar[type[AciWork]] = AciWork

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        records: Records,
        runtime: Runtime,
        progress: Callable[[Progress], None],
    ) -> None:
        self._settings = settings
        self._records = records
        self._progress = progress
        self._groups = ContainerGroups(clients, settings.resource_group)
        self._work = self.works(clients, self._groups, settings, runtime, progress)
        self._pending: dict[str, BackgroundOperation[Deployment]] = {}
        self._lock = threading.Lock()

    # --- deploy

    def deploy(self, spec: Spec) -> BackgroundOperation[Deployment]:
        """The checks are made at once, the work goes on in the background."""
        model, context = self._work.package(spec)
        record = Record(
            spec=spec_to_json(spec),
            context_digest=context.digest,
            image="",
            keys=self._keys_of(spec),
            certificate=Certificate.read(spec.tls) if spec.tls is not None else None,
        )
        operation = BackgroundOperation(
            f"deployment of service {spec.name!r}", lambda stop: self._deploy(spec, model, context, record, stop)
        )
        with self._lock:
            self._pending[spec.name] = operation
        return operation

    def _keys_of(self, spec: Spec) -> Keys | None:
        if not spec.authenticates:
            return None
        return Keys(primary=spec.keys.primary, secondary=spec.keys.secondary) if spec.keys else new_keys()

    def _deploy(self, spec: Spec, model: Model, context: Context, record: Record, stop: Stop) -> Deployment:
        existing = self._groups.get(spec.name)
        if existing is not None and not spec.overwrite:
            raise AlreadyExists(
                f"Service {spec.name} with the same name already exists, please use a different service name or delete"
                " the existing service.",
                way_out=f"`windtunnel delete {spec.name}`, or deploy with --overwrite.",
            )
        self._check_quota(spec)
        desired = self._work.create(spec, model, context, record, stop)
        if existing is not None:
            self._work.make_way(self.views.parse(existing), desired, stop)
        before = self._records.load(self.target, spec.name)
        # Before the request: the keys of a group that is there must not be lost with this process.
        self._records.save(self.target, spec.name, replace(record, image=desired.image))
        try:
            self._work.put(desired, stop, delete_when_cancelled=existing is None)
        except WindtunnelError:
            self._restore(spec.name, before)
            raise
        return self.get(spec.name)

    def _check_quota(self, spec: Spec) -> None:
        """Of what the platform itself does not count; the quota of container groups is ARM's to refuse."""

    def _restore(self, name: str, before: Record | None) -> None:
        if before is None:
            self._records.remove(self.target, name)
        else:
            self._records.save(self.target, name, before)

    # --- update

    def update(self, name: str, change: Change) -> BackgroundOperation[Deployment]:
        """What the offer withholds was refused before."""
        what = f"update of service {name!r}"
        if change.only_tags:
            return BackgroundOperation(what, lambda _: self._tag(name, change.tags or {}))
        return BackgroundOperation(what, lambda stop: self._update(name, change, stop))

    def _tag(self, name: str, tags: Mapping[str, str]) -> Deployment:
        self._groups.tag(name, _with_user_tags(self._view(name).tags, tags))
        return self.get(name)

    def _update(self, name: str, change: Change, stop: Stop) -> Deployment:
        now = self._view(name)
        record = self._record(name)
        desired = self._work.as_is(now, record)
        if change.model is not None or change.script is not None:
            desired, record = self._work.rebuilt(desired, record, change, stop)
        if change.environment is not None:
            desired = replace(desired, environment=change.environment)
        if change.tags is not None:
            desired = replace(desired, tags=_with_user_tags(desired.tags, change.tags))
        desired = self._secured(desired, record, change)
        self._work.put(desired, stop, delete_when_cancelled=False)
        record = replace(record, image=desired.image, keys=desired.keys, certificate=desired.certificate)
        self._records.save(self.target, name, record)
        return self.get(name)

    def _secured(self, desired: Desired, record: Record, change: Change) -> Desired:
        if change.auth_enabled is not None:
            desired = replace(desired, keys=(record.keys or new_keys()) if change.auth_enabled else None)
        if change.tls is not None:
            desired = desired.with_certificate(Certificate.read(change.tls))
        return desired

    # --- read

    def get(self, name: str) -> Deployment:
        """Raises ``NotFound``; a service that is being made by this process is ``Transitioning``."""
        try:
            view = self._view(name)
        except NotFound:
            with self._lock:
                pending = self._pending.get(name)
            if pending is None or pending.done():
                raise
            return Deployment(name=name, target=self.target, state=ServiceState.TRANSITIONING)
        return self._deployment(view)

    def list_services(self) -> Sequence[Deployment]:
        """Each group is read by itself: ARM's list leaves out how they are."""
        names = sorted(name for name, tags in self._groups.tags().items() if self.owns(tags))
        with ThreadPoolExecutor(_MOST_PROBES, thread_name_prefix="windtunnel-list") as pool:
            found = pool.map(self._groups.get, names)
            views = [self.views.parse(group) for group in found if group is not None]
            return list(pool.map(self._deployment, views))

    def owns(self, tags: Mapping[str, str]) -> bool:
        """Whether a container group with these tags is a service of this target."""
        return tags.get(TAG_TARGET) == self.target

    def _deployment(self, view: View) -> Deployment:
        answers = False
        if view.provisioning == "Succeeded" and view.state == "Running" and view.base_uri is not None:
            answers = self._answers(self._endpoint(view, None))
        return view.deployment(answers=answers, now=datetime.now(UTC))

    def _answers(self, endpoint: Endpoint) -> bool:
        client = ScoringClient(endpoint, timeout_s=PROBE_TIMEOUT_S)
        answers = client.alive()
        client.close()
        return answers

    def _view(self, name: str) -> View:
        group = self._groups.get(name)
        view = self.views.parse(group) if group is not None else None
        if view is None or not view.ours:
            raise NotFound(
                f"WebserviceNotFound: Webservice with name {name} not found in provided workspace"
                f" (resource group {self._settings.resource_group!r})",
                way_out="`windtunnel list` shows what there is.",
            )
        return view

    def logs(self, name: str, tail: int) -> str:
        """The scoring server's output."""
        view = self._view(name)
        return self._groups.log(view.name, view.scoring.name, tail)

    def endpoint(self, name: str) -> Endpoint:
        """With the primary key, when there are keys."""
        view = self._view(name)
        if view.base_uri is None:
            service = self._deployment(view)
            raise ScoringFailed(
                "Error attempting to call webservice, scoring_uri unavailable. This could be due to a failed"
                " deployment, or the service is not ready yet."
                f"\nCurrent State: {service.state}\nErrors: {service.error}",
            )
        return self._endpoint(view, self.keys(name).primary if view.auth_enabled else None)

    def _endpoint(self, view: View, key: str | None) -> Endpoint:
        base = view.base_uri or ""
        record = self._records.load(self.target, view.name) if view.tls_enabled else None
        certificate = record.certificate.certificate if record is not None and record.certificate is not None else None
        return Endpoint(
            scoring_uri=f"{base}/score",
            swagger_uri=f"{base}/swagger.json",
            key=key,
            address=view.ip,
            certificate=certificate,
        )

    # --- keys

    def keys(self, name: str) -> Keys:
        """Raises ``InvalidSpec`` when authentication is off, ``NotFound`` when they are not on this machine."""
        self._require_auth(self._view(name))
        keys = self._record(name).keys
        if keys is None:
            raise NotFound(
                f"the keys of service {name!r} are not on this machine, and Azure does not give them back",
                way_out=f"Make new ones: windtunnel keys regenerate {name}",
            )
        return keys

    def regenerate_key(self, name: str, which: KeyName, value: str | None) -> BackgroundOperation[Keys]:
        """The group starts again with the new key and the old other one; where none is known, both are new."""
        if value is not None:
            check_key(f"the {which.lower()} key", value)
        return BackgroundOperation(
            f"regeneration of the {which.lower()} key of service {name!r}",
            lambda stop: self._regenerate(name, which, value or new_key(), stop),
        )

    def _regenerate(self, name: str, which: KeyName, value: str, stop: Stop) -> Keys:
        now = self._view(name)
        self._require_auth(now)
        record = self._record(name)
        old = record.keys or new_keys()
        keys = replace(old, primary=value) if which is KeyName.PRIMARY else replace(old, secondary=value)
        record = replace(record, keys=keys)
        self._work.put(self._work.as_is(now, record), stop, delete_when_cancelled=False)
        self._records.save(self.target, name, record)
        return keys

    def _require_auth(self, view: View) -> None:
        if not view.auth_enabled:
            raise InvalidSpec(
                f"service {view.name!r} has no keys: authentication is off",
                way_out=f"Switch it on: windtunnel update {view.name} --auth",
            )

    def _record(self, name: str) -> Record:
        return self._records.load(self.target, name) or Record(spec={}, context_digest="", image="")

    # --- delete

    def delete(self, name: str) -> BackgroundOperation[bool]:
        """The result is False when there was none."""
        return BackgroundOperation(f"deletion of service {name!r}", lambda stop: self._delete(name, stop))

    def _delete(self, name: str, stop: Stop) -> bool:
        try:
            self._view(name)
        except NotFound:
            self._records.remove(self.target, name)
            return False
        self._progress(Progress(step=f"deleting container group {name}"))
        deleted = self._groups.delete(name, stop)
        self._records.remove(self.target, name)
        return deleted

    def spec(self, name: str) -> Spec:
        """What the service was deployed from. Raises ``NotFound`` when this machine does not know."""
        record = self._record(name)
        if not record.spec:
            raise NotFound(
                f"service {name!r} was not deployed from this machine: what it was made of is not known here",
                way_out="Deploy the model itself: windtunnel deploy MODEL.onnx --profile ...",
            )
        return spec_from_json(record.spec)


def needed(spec: Spec) -> set[Capability]:
    """The capabilities that a spec asks for."""
    asked = {
        Capability.SCRIPT: spec.script is not None,
        Capability.KEYS: spec.authenticates,
        Capability.TOKENS: spec.aks.token_auth_enabled,
        Capability.TLS: spec.tls is not None,
        Capability.DNS_LABEL: spec.aci.dns_name_label is not None,
        Capability.AUTOSCALE: spec.autoscale or bool(spec.aks.autoscale_enabled),
        Capability.APP_INSIGHTS: spec.app_insights,
        Capability.DATA_COLLECTION: spec.collect_model_data,
    }
    return {capability for capability, wanted in asked.items() if wanted}


def _with_user_tags(tags: Mapping[str, str], user: Mapping[str, str]) -> dict[str, str]:
    """Windtunnel's own tags of ``tags``, and the user's."""
    return {**user, **{name: value for name, value in tags.items() if name.startswith(TAG)}}
