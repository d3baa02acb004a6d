"""The services of the cluster, kept up to date from its objects.

An object that does not follow the layout changes nothing: the router logs why, once per version of the object, and goes
on with what it knew. Two ConfigMaps of one service in two namespaces: the one seen first holds until it goes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from windtunnel_scoring.errors import SettingError
from windtunnel_scoring.router import objects
from windtunnel_scoring.router.definition import LayoutError
from windtunnel_scoring.router.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_scoring.jsontypes import JsonObject
    from windtunnel_scoring.router.definition import ServiceDefinition
    from windtunnel_scoring.router.objects import Deployment, Pod, Secrets
    from windtunnel_scoring.router.service import Environs

logger = logging.getLogger("windtunnel")
T = TypeVar("T")


class Known(Generic[T]):
    """The objects of one kind, read; told by one watch, or by one for each namespace."""

    def __init__(self, kind: str, read: Callable[[JsonObject], T], changed: Callable[[set[str]], None]) -> None:
        self._kind = kind
        self._read = read
        self._changed = changed
        self._items: dict[str, dict[str, T]] = {}
        """By service, then by ``namespace/name``."""

    def of(self, service: str) -> dict[str, T]:
        """Those of one service, by ``namespace/name``."""
        return self._items.get(service, {})

    def of_namespace(self, namespace: str) -> Part[T]:
        """What the watch of a namespace tells; an empty one is all of them."""
        return Part(self, namespace)

    def replace(self, listed: Iterable[JsonObject], namespace: str) -> None:
        """All that there are in the namespace."""
        given = {objects.key_of(item): item for item in listed}
        scope = f"{namespace}/" if namespace else ""
        touched: set[str] = set()
        for service, items in self._items.items():
            for key in [key for key in items if key not in given and key.startswith(scope)]:
                del items[key]
                touched.add(service)
        for item in given.values():
            touched |= self._put(item)
        self._changed(touched)

    def put(self, item: JsonObject) -> None:
        """A new or changed one."""
        self._changed(self._put(item))

    def remove(self, item: JsonObject) -> None:
        """It is gone."""
        service = objects.service_of(item)
        if self._items.get(service, {}).pop(objects.key_of(item), None) is not None:
            self._changed({service})

    def _put(self, item: JsonObject) -> set[str]:
        service, key = objects.service_of(item), objects.key_of(item)
        touched = {service}
        for other, items in self._items.items():
            if other != service and items.pop(key, None) is not None:
                touched.add(other)
        try:
            self._items.setdefault(service, {})[key] = self._read(item)
        except (LayoutError, SettingError) as error:
            logger.error("%s %s cannot be used and changes nothing: %s", self._kind, key, error)
        return touched


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """The sink of one watch."""

    known: Known[T]
    namespace: str

    def replace(self, listed: Iterable[JsonObject]) -> None:
        self.known.replace(listed, self.namespace)

    def put(self, item: JsonObject) -> None:
        self.known.put(item)

    def remove(self, item: JsonObject) -> None:
        self.known.remove(item)


class Directory:
    """All services, by name."""

    def __init__(self, environs: Environs) -> None:
        self._environs = environs
        self.services: dict[str, Service] = {}
        self.definitions: Known[ServiceDefinition] = Known("ConfigMap", objects.read_definition, self._refresh)
        self.secrets: Known[Secrets] = Known("Secret", objects.read_secrets, self._refresh)
        self.pods: Known[Pod] = Known("Pod", objects.read_pod, self._refresh)
        self.deployments: Known[Deployment] = Known("Deployment", objects.read_deployment, self._refresh)

    def close(self) -> None:
        """Give up the connections that wait."""
        for service in self.services.values():
            service.close()

    def _refresh(self, names: set[str]) -> None:
        for name in names:
            try:
                self._refresh_service(name)
            except SettingError as error:
                logger.error("service %s keeps its settings: %s", name, error)

    def _refresh_service(self, name: str) -> None:
        definitions, service = self.definitions.of(name), self.services.get(name)
        if service is not None and f"{service.namespace}/{name}" not in definitions:
            self.services.pop(name).close()
            logger.info("service %s is gone", name)
            service = None
        if not definitions:
            return
        if service is None:
            key = min(definitions)
            service = Service(key.partition("/")[0], definitions[key], self._environs)
            self.services[name] = service
            logger.info("service %s of namespace %s", name, service.namespace)
        namespace = service.namespace
        if len(definitions) > 1:
            logger.warning("service %s is in several namespaces; that of %s holds", name, namespace)
        if (definition := definitions[f"{namespace}/{name}"]) != service.definition:
            service.redefine(definition)
        secrets = self.secrets.of(name).get(f"{namespace}/{name}")
        service.set_secrets(secrets or objects.Secrets())
        service.set_pods(pod for pod in self.pods.of(name).values() if pod.namespace == namespace)
        service.set_deployments(d for d in self.deployments.of(name).values() if d.namespace == namespace)
