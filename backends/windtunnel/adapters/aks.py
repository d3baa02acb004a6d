"""``AksAdapter``: services on a Kubernetes cluster of Azure, behind Windtunnel's router.

The cluster is ARM's (``aks_cluster``), what runs on it is Kubernetes' (``kube``): the objects of a service are those
that ``windtunnel_scoring.router.objects`` describes, and the router reads them.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from windtunnel.adapters import kube as kubernetes
from windtunnel.adapters.aks_change import changed, definition_of, version_of, with_version
from windtunnel.adapters.aks_objects import Service, read_service
from windtunnel.adapters.aks_router import Router
from windtunnel.adapters.aks_view import AksView, Info
from windtunnel.adapters.aks_work import AksWork
from windtunnel.adapters.building import new_key, new_keys
from windtunnel.adapters.errors import without_place
from windtunnel.errors import AlreadyExists, InvalidSpec, NotFound, ScoringFailed
from windtunnel.interface import Deployment, Endpoint, KeyName, Keys, Progress, ServiceState, Token
from windtunnel.operation import BackgroundOperation, Stop
from windtunnel.records import Record, Records, spec_from_json, spec_to_json
from windtunnel.scoring_client import ScoringClient
from windtunnel.spec import Change, Target, check_key
from windtunnel_scoring.router import objects, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windtunnel.adapters.aks_cluster import Cluster, Clusters
    from windtunnel.adapters.building import Settings
    from windtunnel.adapters.clients import Clients
    from windtunnel.adapters.kube import Kube
    from windtunnel.context import Context
    from windtunnel.model import Model
    from windtunnel.runtime_check import Runtime
    from windtunnel.spec import Spec

PROBE_TIMEOUT_S = 3.0
_MOST_PROBES = 8


class AksAdapter:
    """Raises the errors of ``windtunnel.errors``."""

    target: ClassVar[Target] = Target.AKS

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        clusters: Clusters,
        records: Records,
        runtime: Runtime,
        progress: Callable[[Progress], None],
    ) -> None:
        self._settings = settings
        self._clusters = clusters
        self._records = records
        self._progress = progress
        self._work = AksWork(clients, settings, runtime, progress)
        self._pending: dict[str, BackgroundOperation[Deployment]] = {}
        self._connections: dict[str, Kube] = {}
        self._lock = threading.Lock()

    # --- deploy

    def deploy(self, spec: Spec) -> BackgroundOperation[Deployment]:
        """The checks are made at once, the work goes on in the background."""
        self._clusters.settings.check_size()
        model, context = self._work.package(spec)
        kubernetes.prefetch()
        operation = BackgroundOperation(
            f"deployment of service {spec.name!r}", lambda stop: self._deploy(spec, model, context, stop)
        )
        with self._lock:
            self._pending[spec.name] = operation
        return operation

    def _deploy(self, spec: Spec, model: Model, context: Context, stop: Stop) -> Deployment:
        found = self._clusters.get(self._clusters.settings.name)
        if found is not None:
            self._refuse_taken_name(spec, self._connect(self._clusters.ensure(stop)))
        # The cluster and the image need nothing of each other, and both take their time.
        with ThreadPoolExecutor(1, thread_name_prefix="windtunnel-cluster") as pool:
            cluster_soon = pool.submit(self._clusters.ensure, stop)
            registry = self._work.registry(self._settings.location)
            image = self._work.image(registry, spec, context, stop)
            cluster = cluster_soon.result()
        stop.check("the image is in the registry and the cluster is there, no service was made")
        kube = self._connect(cluster)
        self._refuse_taken_name(spec, kube)
        before = read_service(kube, spec.name)
        service = self._new(spec, model, image)
        if before is not None and spec.aks.version_name is not None:
            service = with_version(before, service)
        self._work.prepare(kube, service, registry, cluster)
        if before is not None and before.namespace != service.namespace:
            self._work.remove(kube, before)
        self._work.apply(kube, service, replaces=before)
        self._records.save(
            self.target,
            spec.name,
            Record(spec=spec_to_json(spec), context_digest=context.digest, image=image),
        )
        return self.get(spec.name)

    def _refuse_taken_name(self, spec: Spec, kube: Kube) -> None:
        there = None if spec.overwrite else read_service(kube, spec.name, with_secrets=False)
        version = spec.aks.version_name
        if there is not None and (version is None or version in {v.name for v in there.definition.versions}):
            raise AlreadyExists(
                f"Service {spec.name} with the same name already exists, please use a different service name or delete"
                " the existing service.",
                way_out=f"`windtunnel delete {spec.name} --target aks`, or deploy with --overwrite.",
            )

    def _new(self, spec: Spec, model: Model, image: str) -> Service:
        lifetime = self._settings.lifetime
        now = datetime.now(UTC).replace(microsecond=0)
        keys = Keys(primary=spec.keys.primary, secondary=spec.keys.secondary) if spec.keys else new_keys()
        return Service(
            definition=definition_of(spec),
            namespace=spec.aks.namespace or objects.NAMESPACE,
            info=Info(
                model=spec.effective_model_name,
                model_digest=model.sha256,
                owner=self._settings.owner,
                created=now.isoformat(),
                expires="" if lifetime is None else (now + lifetime).isoformat(),
                tags=dict(spec.tags),
            ),
            secrets=objects.Secrets(primary_key=keys.primary, secondary_key=keys.secondary, token_key=new_key()),
            workloads={definition_of(spec).default.name: self._work.workload(spec, image)},
            otlp_endpoint=self._settings.otlp_endpoint,
        )

    # --- update

    def update(self, name: str, change: Change) -> BackgroundOperation[Deployment]:
        """What the offer withholds was refused before."""
        return BackgroundOperation(f"update of service {name!r}", lambda stop: self._update(name, change, stop))

    def _update(self, name: str, change: Change, stop: Stop) -> Deployment:
        cluster, kube = self._reach(name)
        now = self._service(kube, name)
        service = changed(now, change)
        if service.otlp_endpoint is None:
            service = replace(service, otlp_endpoint=self._settings.otlp_endpoint)
        if change.model is not None or change.script is not None:
            service = self._rebuilt(name, service, change, stop)
        self._work.prepare(kube, service, self._work.registry(self._settings.location), cluster)
        self._work.apply(kube, service, replaces=now)
        return self.get(name)

    def _rebuilt(self, name: str, service: Service, change: Change, stop: Stop) -> Service:
        record = self._records.load(self.target, name)
        if record is None or not record.spec:
            raise InvalidSpec(
                f"service {name!r} was not deployed from this machine: what it was made of is not known here",
                way_out="Deploy it again with --overwrite.",
            )
        old = spec_from_json(record.spec)
        spec = replace(old, model=change.model or old.model, script=change.script or old.script)
        model, context = self._work.package(spec)
        image = self._work.image(self._work.registry(self._settings.location), spec, context, stop)
        self._records.save(
            self.target, name, Record(spec=spec_to_json(spec), context_digest=context.digest, image=image)
        )
        changing = version_of(service, change).name
        workloads = {**service.workloads, changing: replace(service.workloads[changing], image=image)}
        info = replace(service.info, model=spec.effective_model_name, model_digest=model.sha256)
        return replace(service, workloads=workloads, info=info)

    def scale(self, name: str, replicas: int) -> BackgroundOperation[Deployment]:
        """Raises ``InvalidSpec`` for a number of replicas that cannot be."""
        from windtunnel.aks_options import AksChange

        change = Change(aks=AksChange(num_replicas=replicas))
        return BackgroundOperation(f"scaling of service {name!r}", lambda stop: self._update(name, change, stop))

    # --- read

    def get(self, name: str) -> Deployment:
        """Raises ``NotFound``; a service that is being made by this process is ``Transitioning``."""
        try:
            cluster, kube = self._reach(name)
            view = self._view(cluster, kube, name)
        except NotFound:
            with self._lock:
                pending = self._pending.get(name)
            if pending is None or pending.done():
                raise _no_service(name, self._clusters.settings.name) from None
            return Deployment(name=name, target=self.target, state=ServiceState.TRANSITIONING)
        return self._deployment(view)

    def list_services(self) -> Sequence[Deployment]:
        """Of the profile's cluster; none when there is no cluster."""
        try:
            cluster, kube = self._reach()
        except NotFound:
            return []
        maps = kube.list_all("ConfigMap", labels=objects.SERVICE_LABEL)
        names = sorted({name for name in (objects.service_of(m) for m in maps) if name})

        def shown(name: str) -> Deployment:
            return self._deployment(self._view(cluster, kube, name))

        with ThreadPoolExecutor(_MOST_PROBES, thread_name_prefix="windtunnel-list") as pool:
            return list(pool.map(shown, names))

    def _deployment(self, view: AksView) -> Deployment:
        answers = False
        if view.scoring_uri is not None and view.replicas:
            client = ScoringClient(self._endpoint(view, None), timeout_s=PROBE_TIMEOUT_S)
            answers = client.alive()
            client.close()
        return view.deployment(answers=answers, now=datetime.now(UTC))

    def logs(self, name: str, tail: int) -> str:
        """The output of all replicas, one after the other; of one that was restarted, that of before too."""
        cluster, kube = self._reach(name)
        return self._work.logs(kube, self._view(cluster, kube, name), tail)

    def endpoint(self, name: str) -> Endpoint:
        """With the primary key, or a token, when the service asks for one."""
        cluster, kube = self._reach(name)
        view = self._view(cluster, kube, name)
        if view.scoring_uri is None:
            service = self._deployment(view)
            raise ScoringFailed(
                "Error attempting to call webservice, scoring_uri unavailable. This could be due to a failed"
                " deployment, or the service is not ready yet."
                f"\nCurrent State: {service.state}\nErrors: {service.error}",
            )
        key = None
        if view.definition.auth_enabled:
            key = self._secrets(kube, view).primary_key
        elif view.definition.aad_auth_enabled:
            key = self.token(name).value
        return self._endpoint(view, key)

    def _endpoint(self, view: AksView, key: str | None) -> Endpoint:
        return Endpoint(
            scoring_uri=view.scoring_uri or "", swagger_uri=view.swagger_uri or "", key=key, service=view.name
        )

    def collected(self, name: str) -> Mapping[str, bytes]:
        """By path below the container ``modeldata``. What was collected outlives the service."""
        return self._work.model_data.read(name)

    # --- keys and tokens

    def keys(self, name: str) -> Keys:
        """Raises ``InvalidSpec`` when the service asks for no keys."""
        cluster, kube = self._reach(name)
        view = self._view(cluster, kube, name)
        if not view.definition.auth_enabled:
            raise InvalidSpec(
                f"service {name!r} has no keys: authentication by keys is off",
                way_out=f"Switch it on: windtunnel update {name} --target aks --auth",
            )
        secrets = self._secrets(kube, view)
        return Keys(primary=secrets.primary_key, secondary=secrets.secondary_key)

    def regenerate_key(self, name: str, which: KeyName, value: str | None) -> BackgroundOperation[Keys]:
        """Holds as soon as the router has seen it; the replicas go on."""
        if value is not None:
            check_key(f"the {which.lower()} key", value)
        return BackgroundOperation(
            f"regeneration of the {which.lower()} key of service {name!r}",
            lambda _: self._regenerate(name, which, value or new_key()),
        )

    def _regenerate(self, name: str, which: KeyName, value: str) -> Keys:
        old = self.keys(name)
        keys = replace(old, primary=value) if which is KeyName.PRIMARY else replace(old, secondary=value)
        _, kube = self._reach(name)
        service = self._service(kube, name)
        secrets = replace(service.secrets, primary_key=keys.primary, secondary_key=keys.secondary)
        kube.apply(objects.secret(name, secrets, service.namespace))
        return keys

    def token(self, name: str) -> Token:
        """Raises ``InvalidSpec`` when the service asks for no tokens."""
        cluster, kube = self._reach(name)
        view = self._view(cluster, kube, name)
        if not view.definition.aad_auth_enabled:
            raise InvalidSpec(
                f"service {name!r} asks for no tokens",
                way_out=f"Switch it on: windtunnel update {name} --target aks --token-auth-enabled",
            )
        found = tokens.issue(self._secrets(kube, view).token_key, name, datetime.now(UTC).timestamp())
        return Token(
            value=found.access_token,
            refresh_after=datetime.fromtimestamp(found.refresh_after, UTC),
            expires=datetime.fromtimestamp(found.expiry_on, UTC),
        )

    def _secrets(self, kube: Kube, view: AksView) -> objects.Secrets:
        found = kube.get("Secret", view.name, view.namespace)
        if found is None:
            raise NotFound(f"the Secret of service {view.name!r} is gone")
        return objects.read_secrets(found)

    # --- delete

    def delete(self, name: str) -> BackgroundOperation[bool]:
        """The result is False when there was none."""
        return BackgroundOperation(f"deletion of service {name!r}", lambda _: self._delete(name))

    def _delete(self, name: str) -> bool:
        try:
            _, kube = self._reach(name)
            service = self._service(kube, name)
        except NotFound:
            self._records.remove(self.target, name)
            return False
        self._progress(Progress(step=f"deleting service {name}"))
        self._work.remove(kube, service)
        self._records.remove(self.target, name)
        return True

    def spec(self, name: str) -> Spec:
        """What the service was deployed from. Raises ``NotFound`` when this machine does not know."""
        record = self._records.load(self.target, name)
        if record is None or not record.spec:
            raise NotFound(
                f"service {name!r} was not deployed from this machine: what it was made of is not known here",
                way_out="Deploy the model itself: windtunnel deploy MODEL.onnx --target aks --profile ...",
            )
        return spec_from_json(record.spec)

    # --- the cluster

    def _reach(self, service: str | None = None) -> tuple[Cluster, Kube]:
        """The profile's cluster and its API. Raises ``NotFound``, which names the service that is looked for."""
        try:
            cluster = self._clusters.require()
        except NotFound as missing:
            if service is None:
                raise
            raise without_place(service, missing) from missing
        return cluster, self._connect(cluster)

    def _connect(self, cluster: Cluster) -> Kube:
        # A cluster that was deleted and made again has other certificates, and another uid.
        key = f"{cluster.id}/{cluster.uid}"
        with self._lock:
            found = self._connections.get(key)
        if found is None:
            found = kubernetes.Kube.connect(self._clusters.kubeconfig(cluster.name))
            with self._lock:
                self._connections[key] = found
        return found

    def _service(self, kube: Kube, name: str) -> Service:
        found = read_service(kube, name)
        if found is None:
            raise _no_service(name, self._clusters.settings.name)
        return found

    def _view(self, cluster: Cluster, kube: Kube, name: str) -> AksView:
        service = read_service(kube, name, with_secrets=False)
        if service is None:
            raise _no_service(name, cluster.name)
        label = f"{objects.SERVICE_LABEL}={name}"
        return AksView(
            namespace=service.namespace,
            definition=service.definition,
            info=service.info,
            deployments=kube.list_all("Deployment", service.namespace, labels=label),
            pods=kube.list_all("Pod", service.namespace, labels=label),
            base=Router(kube).base(),
            cluster_id=cluster.id,
            location=cluster.location,
        )

    def close(self) -> None:
        """Close the connections to clusters."""
        for connection in self._connections.values():
            connection.close()


def _no_service(name: str, cluster: str) -> NotFound:
    return NotFound(
        f"WebserviceNotFound: Webservice with name {name} not found in provided workspace (cluster {cluster!r})",
        way_out="`windtunnel list` shows what there is.",
    )
