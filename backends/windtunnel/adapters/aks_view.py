"""``AksView``: a service as the cluster's objects describe it, and the service state that this means.

all updated replicas are ready, and the router answers for it     Healthy
a pod finds no node with room                                     Unschedulable, after five minutes Failed
a container of the newest replicas crashes                        Failed
an image cannot be had                                            Transitioning, after a minute Failed
replicas ready, but fewer than asked for                          Healthy as long as one is, of the newest
nothing ready yet                                                 Transitioning at first, Unhealthy later
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from windtunnel.adapters.times import read_time
from windtunnel.interface import Deployment, ServiceState
from windtunnel.jsontypes import as_list, as_object, as_str
from windtunnel.spec import RESERVED_ENVIRONMENT, Target
from windtunnel_scoring.router import objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel.jsontypes import Json, JsonObject
    from windtunnel_scoring.router.definition import ServiceDefinition, VersionDefinition

INFO_ANNOTATION = "windtunnel.dev/info"
"""On the ConfigMap: what a service is and whose, as JSON of ``Info``."""
HASH_LABEL = "pod-template-hash"
REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
UNSCHEDULABLE_S = 300.0
"""Azure ML gives up after five minutes (how-to-troubleshoot-deployment)."""
STARTING_S = 120.0
PULLING_S = 60.0
"""How long an image may fail to come before the service counts as failed."""
_OWN_ENVIRONMENT = frozenset(
    {
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "SERVICE_PATH_PREFIX",
        "AML_CORS_ORIGINS",
        "AML_MODEL_DC_STORAGE_ENABLED",
        "AML_APP_INSIGHTS_ENABLED",
    }
)
"""Variables that ``manifests.version_deployment`` sets by itself."""
_NO_START = frozenset(
    {"CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "InvalidImageName", "RunContainerError"}
)
_NO_IMAGE = frozenset({"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What the adapter notes about a service."""

    model: str = ""
    model_digest: str = ""
    owner: str = ""
    created: str = ""
    expires: str = ""
    tags: Mapping[str, str] | None = None

    @classmethod
    def parse(cls, text: str) -> Info:
        """What is broken or missing is empty."""
        try:
            found = as_object(json.loads(text))
        except ValueError:
            found = {}
        tags = {key: as_str(value) for key, value in as_object(found.get("tags")).items()}
        names = ("model", "model_digest", "owner", "created", "expires")
        return cls(**{name: as_str(found.get(name)) for name in names}, tags=tags)

    def text(self) -> str:
        """What ``parse`` reads."""
        return json.dumps(
            {
                "model": self.model,
                "model_digest": self.model_digest,
                "owner": self.owner,
                "created": self.created,
                "expires": self.expires,
                "tags": dict(self.tags or {}),
            },
            sort_keys=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AksView:
    """One service."""

    namespace: str
    definition: ServiceDefinition
    info: Info
    deployments: Sequence[JsonObject]
    pods: Sequence[JsonObject]
    base: str | None
    """Of the router, without a slash at the end; None as long as it has no address."""
    cluster_id: str
    location: str

    @property
    def name(self) -> str:
        """Of the service."""
        return self.definition.name

    @property
    def scoring_uri(self) -> str | None:
        """Where predictions are asked for."""
        return None if self.base is None else f"{self.base}/api/v1/service/{self.name}/score"

    @property
    def swagger_uri(self) -> str | None:
        """Where the service describes itself."""
        return None if self.base is None else f"{self.base}/api/v1/service/{self.name}/swagger.json"

    def deployment_of(self, version: VersionDefinition) -> JsonObject:
        """Of one version; empty when it is not there."""
        name = objects.deployment_name(self.name, version.name)
        for deployment in self.deployments:
            if _name(deployment) == name:
                return deployment
        return {}

    @property
    def main(self) -> JsonObject:
        """The Deployment of the default version."""
        return self.deployment_of(self.definition.default)

    @property
    def container(self) -> JsonObject:
        """The scoring server, of the default version."""
        return container_of(self.main)

    @property
    def replicas(self) -> int:
        """Ready ones, of all versions."""
        return sum(_whole(as_object(d.get("status")).get("readyReplicas")) for d in self.deployments)

    def deployment(self, *, answers: bool, now: datetime) -> Deployment:
        """``answers`` says whether the router answers for it."""
        state, error = self._state(answers=answers, now=now)
        requests = as_object(as_object(self.container.get("resources")).get("requests"))
        return Deployment(
            name=self.name,
            target=Target.AKS,
            id=f"{self.cluster_id}/namespaces/{self.namespace}/services/{self.name}",
            state=state,
            error=error,
            scoring_uri=self.scoring_uri,
            swagger_uri=self.swagger_uri,
            auth_enabled=self.definition.auth_enabled or self.definition.aad_auth_enabled,
            tls_enabled=self.base is not None and self.base.startswith("https:"),
            tags=self.info.tags or {},
            owner=self.info.owner or None,
            created=read_time(self.info.created),
            expires=read_time(self.info.expires),
            model_name=self.info.model or None,
            model_digest=self.info.model_digest or None,
            image=as_str(self.container.get("image")) or None,
            location=self.location,
            cpu=cores(as_str(requests.get("cpu"))),
            memory_gb=gigabytes(as_str(requests.get("memory"))),
            restarts=sum(_whole(s.get("restartCount")) for p in self.pods for s in _statuses(p)),
            replicas=self.replicas,
        )

    def _state(self, *, answers: bool, now: datetime) -> tuple[ServiceState, str | None]:
        missing = [v.name for v in self.definition.versions if not self.deployment_of(v)]
        if missing:
            return ServiceState.FAILED, f"the Deployment of version {', '.join(missing)} is gone"
        current = [p for p in self.pods if self._is_current(p) and not _deleted(p)]
        for pod in current:
            if (error := _crash(pod)) is not None:
                return ServiceState.FAILED, error
            if (error := _no_image(pod)) is not None:
                # A kubelet tries again, and often has it then: a registry was busy, an image still on its way.
                late = (now - _created(pod)).total_seconds() > PULLING_S
                return (ServiceState.FAILED if late else ServiceState.TRANSITIONING), error
        for pod in current:
            found = _unschedulable(pod)
            if found is not None:
                since, why = found
                late = since is not None and (now - since).total_seconds() > UNSCHEDULABLE_S
                return (ServiceState.FAILED if late else ServiceState.UNSCHEDULABLE), why
        rolled_out = all(_rolled_out(d) for d in self.deployments)
        if rolled_out and answers:
            return ServiceState.HEALTHY, None
        started = [t for t in (_started(p) for p in current) if t is not None]
        if rolled_out and self.base is None:
            return ServiceState.TRANSITIONING, "the router has no address yet"
        if started and (now - min(started)).total_seconds() > STARTING_S:
            return ServiceState.UNHEALTHY, "the containers run, but the endpoint does not answer"
        return ServiceState.TRANSITIONING, None

    def _is_current(self, pod: JsonObject) -> bool:
        """Whether the pod is of its Deployment's newest template: the youngest hash of its version."""
        labels = as_object(as_object(pod.get("metadata")).get("labels"))
        version = labels.get(objects.VERSION_LABEL)
        mine = [p for p in self.pods if _label(p, objects.VERSION_LABEL) == version]
        youngest = max(mine, key=lambda p: as_str(as_object(p.get("metadata")).get("creationTimestamp")))
        return labels.get(HASH_LABEL) == _label(youngest, HASH_LABEL)


def container_of(deployment: JsonObject) -> JsonObject:
    """The scoring server of a Deployment."""
    template = as_object(as_object(deployment.get("spec")).get("template"))
    containers = as_list(as_object(template.get("spec")).get("containers"))
    return as_object(containers[0]) if containers else {}


def user_environment(container: JsonObject) -> dict[str, str]:
    """The variables that the user gave."""
    variables = [as_object(v) for v in as_list(container.get("env"))]
    pairs = {as_str(v.get("name")): as_str(v.get("value")) for v in variables if "value" in v}
    return {name: value for name, value in pairs.items() if name not in RESERVED_ENVIRONMENT | _OWN_ENVIRONMENT}


_FACTORS = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


def cores(text: str) -> float | None:
    """Of a Kubernetes quantity of CPU, however the API writes it; None for nothing."""
    number = _quantity(text)
    return None if number is None else round(number, 3)


def gigabytes(text: str) -> float | None:
    """Of a Kubernetes quantity of memory; 1024 Mi are one, as when they were written."""
    number = _quantity(text)
    return None if number is None else round(number / 2**30, 3)


def _quantity(text: str) -> float | None:
    found = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]?i?)", text)
    if found is None or found[2] not in _FACTORS:
        return None
    return float(found[1]) * _FACTORS[found[2]]


def _rolled_out(deployment: JsonObject) -> bool:
    """As ``kubectl rollout status`` judges it."""
    metadata, spec = as_object(deployment.get("metadata")), as_object(deployment.get("spec"))
    status = as_object(deployment.get("status"))
    if _whole(status.get("observedGeneration")) < _whole(metadata.get("generation")):
        return False
    wanted = _whole(spec.get("replicas"), 1)
    updated = _whole(status.get("updatedReplicas"))
    ready, total = _whole(status.get("availableReplicas")), _whole(status.get("replicas"))
    return updated >= wanted and total == updated and ready >= updated and wanted > 0


def _crash(pod: JsonObject) -> str | None:
    for status in _statuses(pod):
        state, past = as_object(status.get("state")), as_object(status.get("lastState"))
        waiting = as_object(state.get("waiting"))
        reason = as_str(waiting.get("reason"))
        ended = as_object(state.get("terminated")) or as_object(past.get("terminated"))
        if status.get("ready") is True or not (ended or reason in _NO_START):
            continue
        if as_object(state.get("running")) and _whole(ended.get("exitCode")) in (0, 137, 143):
            continue  # ended from outside, as when a node went away; it is on its way up again
        if not ended:
            return f"Error: {reason}: {as_str(waiting.get('message'))}"
        code = _whole(ended.get("exitCode"))
        why = as_str(ended.get("reason"))
        detail = f" ({why})" if why not in ("", "Error", "Completed") else ""
        hint = " Did your init method fail?" if code == 3 else ""
        return f"Error: container {as_str(status.get('name'))!r} has crashed with exit code {code}{detail}.{hint}"
    return None


def _no_image(pod: JsonObject) -> str | None:
    for status in _statuses(pod):
        waiting = as_object(as_object(status.get("state")).get("waiting"))
        reason = as_str(waiting.get("reason"))
        if reason in _NO_IMAGE:
            return f"Error: {reason}: {as_str(waiting.get('message'))}"
    return None


def _created(pod: JsonObject) -> datetime:
    created = read_time(as_str(as_object(pod.get("metadata")).get("creationTimestamp")))
    return datetime.fromtimestamp(0, UTC) if created is None else created


def _unschedulable(pod: JsonObject) -> tuple[datetime | None, str] | None:
    for condition in (as_object(c) for c in as_list(as_object(pod.get("status")).get("conditions"))):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return read_time(as_str(condition.get("lastTransitionTime"))), as_str(condition.get("message"))
    return None


def _started(pod: JsonObject) -> datetime | None:
    for status in _statuses(pod):
        running = as_object(as_object(status.get("state")).get("running"))
        if running:
            return read_time(as_str(running.get("startedAt")))
    return None


def _statuses(pod: JsonObject) -> list[JsonObject]:
    return [as_object(s) for s in as_list(as_object(pod.get("status")).get("containerStatuses"))]


def _deleted(pod: JsonObject) -> bool:
    return as_object(pod.get("metadata")).get("deletionTimestamp") is not None


def _label(item: JsonObject, name: str) -> str:
    return as_str(as_object(as_object(item.get("metadata")).get("labels")).get(name))


def _name(item: JsonObject) -> str:
    return as_str(as_object(item.get("metadata")).get("name"))


def _whole(value: Json, default: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
