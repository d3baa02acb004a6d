"""How a service of Azure ML is expressed in Kubernetes objects: the contract between the adapter and the router.

Layout version 1. Whoever deploys writes these objects; the router reads them, and writes only ``spec.replicas`` of a
Deployment, through its scale subresource. All are in one namespace per service (the router's, ``azureml``, unless the
service names another one); a service's name is unique in the cluster, since it is the router's path.

==========================  ===================================================================================
ConfigMap ``<service>``     ``data["service.json"]``: everything of ``definition.ServiceDefinition``, versions and
                            their traffic included, so that one write changes the split. ``resourceVersion`` makes
                            concurrent writers safe.
Secret ``<service>``        ``primaryKey``, ``secondaryKey`` (either opens the service), ``tokenKey`` (signs its
                            tokens, see ``tokens.py``). Changed keys hold as soon as the router sees them.
Deployment, one per         named by ``deployment_name``; its pods serve HTTP at the port named ``scoring``. With
version                     ``autoScaler.autoscaleEnabled`` the router owns ``spec.replicas`` (apply without it, so
                            that an update does not undo the scaling); else ``numReplicas`` is written there.
==========================  ===================================================================================

Labels (on every object of a service, and on the pods): ``windtunnel.dev/service``; on Deployments and pods
``windtunnel.dev/version``; on everything ``app.kubernetes.io/managed-by: windtunnel``. The router's selector is
``windtunnel.dev/service``. Annotation ``windtunnel.dev/layout: "1"`` on the ConfigMap: another value is refused, and
the router goes on with what it knew.

A replica is a pod with both labels, condition Ready, no ``deletionTimestamp`` and an address: annotation
``windtunnel.dev/address`` when present (pods that are processes), else ``status.podIP``; the port is that of the
container port named ``scoring``, else 5001. A terminating pod gets nothing new and finishes what it has: its
``preStop`` sleep (``manifests.py``) keeps it serving until every router has seen the change.

State, for the adapter: *Healthy* is a Deployment whose ``observedGeneration`` is current and whose updated, ready
replicas are as many as ``spec.replicas``; a pod that stays Pending with ``Insufficient ...`` is *Unschedulable*; one
that cannot start (``CrashLoopBackOff``, ``ImagePullBackOff``) makes the service *Failed*. The router's own view is
at its inner port: ``GET /services``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from windtunnel_scoring.router.definition import LayoutError, ServiceDefinition

if TYPE_CHECKING:
    from windtunnel_scoring.jsontypes import Json, JsonObject

LAYOUT: Final = "1"
NAMESPACE: Final = "azureml"
SERVICE_LABEL: Final = "windtunnel.dev/service"
VERSION_LABEL: Final = "windtunnel.dev/version"
MANAGED_LABEL: Final = "app.kubernetes.io/managed-by"
LAYOUT_ANNOTATION: Final = "windtunnel.dev/layout"
ADDRESS_ANNOTATION: Final = "windtunnel.dev/address"
DEFINITION: Final = "service.json"
ROUTER_SELECTOR: Final = "app.kubernetes.io/name=azureml-fe"
PORT_NAME: Final = "scoring"
SCORING_PORT: Final = 5001
_LONGEST = 46
"""Of a Deployment's name, so that the names of its pods stay host names (63, less two suffixes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What opens a service. Never shown."""

    primary_key: str = field(default="", repr=False)
    secondary_key: str = field(default="", repr=False)
    token_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod of a service, or of the router."""

    uid: str
    name: str
    namespace: str
    service: str
    version: str
    address: str
    """Empty until it has one."""
    port: int
    ready: bool
    """Ready, and not on its way out."""
    terminating: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """How many replicas a version is to have."""

    name: str
    namespace: str
    service: str
    version: str
    replicas: int


def deployment_name(service: str, version: str) -> str:
    """A legal name, different for different pairs: the service's own for the version that is named like it."""
    if version == service:
        return service
    # ``a`` with version ``b-c`` and ``a-b`` with version ``c`` must differ.
    digest = hashlib.sha256(f"{service}/{version}".encode()).hexdigest()[:8]
    return f"{service}-{version}"[: _LONGEST - 9].rstrip("-") + f"-{digest}"


def labels(service: str, version: str = "") -> dict[str, Json]:
    """Of an object of a service."""
    found: dict[str, Json] = {MANAGED_LABEL: "windtunnel", SERVICE_LABEL: service}
    if version:
        found[VERSION_LABEL] = version
    return found


def config_map(definition: ServiceDefinition, namespace: str = NAMESPACE) -> JsonObject:
    """The ConfigMap of a service."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": definition.name,
            "namespace": namespace,
            "labels": labels(definition.name),
            "annotations": {LAYOUT_ANNOTATION: LAYOUT},
        },
        "data": {DEFINITION: json.dumps(definition.to_json(), sort_keys=True)},
    }


def read_definition(config: JsonObject) -> ServiceDefinition:
    """Out of a ConfigMap. Raises ``LayoutError``."""
    layout = _text(_inner(_inner(config, "metadata"), "annotations"), LAYOUT_ANNOTATION)
    if layout != LAYOUT:
        raise LayoutError(f"annotation {LAYOUT_ANNOTATION} is {layout!r}; this router reads layout {LAYOUT!r}")
    try:
        value: Json = json.loads(_text(_inner(config, "data"), DEFINITION))
    except ValueError as error:
        raise LayoutError(f"{DEFINITION} is no JSON ({error})") from error
    definition = ServiceDefinition.parse(value)
    label, name = service_of(config), _text(_inner(config, "metadata"), "name")
    if not definition.name == label == name:
        raise LayoutError(
            f"{DEFINITION} is of {definition.name!r}, label {SERVICE_LABEL} says {label!r} and the object's name is"
            f" {name!r}; they must be the same"
        )
    return definition


def secret(service: str, secrets: Secrets, namespace: str = NAMESPACE) -> JsonObject:
    """The Secret of a service."""
    values = {
        "primaryKey": secrets.primary_key,
        "secondaryKey": secrets.secondary_key,
        "tokenKey": secrets.token_key,
    }
    data: JsonObject = {name: base64.b64encode(value.encode()).decode() for name, value in values.items() if value}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": service, "namespace": namespace, "labels": labels(service)},
        "data": data,
    }


def read_secrets(obj: JsonObject) -> Secrets:
    """Out of a Secret. Raises ``LayoutError``, which never holds a value."""
    data = _inner(obj, "data")

    def value(name: str) -> str:
        try:
            return base64.b64decode(_text(data, name), validate=True).decode()
        except ValueError:
            raise LayoutError(f"data/{name} of the Secret is no base64 of text") from None

    return Secrets(primary_key=value("primaryKey"), secondary_key=value("secondaryKey"), token_key=value("tokenKey"))


def read_pod(obj: JsonObject) -> Pod:
    """Out of a Pod; what is missing is empty, as it is in a new one."""
    metadata, status = _inner(obj, "metadata"), _inner(obj, "status")
    conditions = _objects(status, "conditions")
    terminating = metadata.get("deletionTimestamp") is not None
    ready = any(_text(c, "type") == "Ready" and _text(c, "status") == "True" for c in conditions)
    address = _text(_inner(metadata, "annotations"), ADDRESS_ANNOTATION) or _text(status, "podIP")
    found = _inner(metadata, "labels")
    return Pod(
        uid=_text(metadata, "uid"),
        name=_text(metadata, "name"),
        namespace=_text(metadata, "namespace"),
        service=_text(found, SERVICE_LABEL),
        version=_text(found, VERSION_LABEL),
        address=address,
        port=port_of(obj, PORT_NAME, SCORING_PORT),
        ready=ready and not terminating and bool(address),
        terminating=terminating,
    )


def port_of(pod: JsonObject, name: str, default: int) -> int:
    """The container port of this name."""
    for container in _objects(_inner(pod, "spec"), "containers"):
        for port in _objects(container, "ports"):
            number = port.get("containerPort")
            if _text(port, "name") == name and isinstance(number, int):
                return number
    return default


def with_port(pod: Pod, port: int) -> Pod:
    """The same pod at another port."""
    return replace(pod, port=port)


def read_deployment(obj: JsonObject) -> Deployment:
    """Out of a Deployment."""
    metadata = _inner(obj, "metadata")
    found = _inner(metadata, "labels")
    replicas = _inner(obj, "spec").get("replicas", 1)
    return Deployment(
        name=_text(metadata, "name"),
        namespace=_text(metadata, "namespace"),
        service=_text(found, SERVICE_LABEL),
        version=_text(found, VERSION_LABEL),
        replicas=replicas if isinstance(replicas, int) else 1,
    )


def service_of(obj: JsonObject) -> str:
    """The service that an object belongs to."""
    return _text(_inner(_inner(obj, "metadata"), "labels"), SERVICE_LABEL)


def key_of(obj: JsonObject) -> str:
    """``namespace/name``."""
    metadata = _inner(obj, "metadata")
    return f"{_text(metadata, 'namespace')}/{_text(metadata, 'name')}"


def _inner(obj: JsonObject, name: str) -> JsonObject:
    value = obj.get(name)
    return value if isinstance(value, dict) else {}


def _objects(obj: JsonObject, name: str) -> list[JsonObject]:
    value = obj.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(obj: JsonObject, name: str) -> str:
    value = obj.get(name)
    return value if isinstance(value, str) else ""
