"""``EdgeDeployment``: what a device is to run, and how one service is put into it and taken out again.

Everything that others have put there stays as it is. A service is one module, the modules that were asked for with
it, its routes, and the credentials of its registry; which of them are its own is noted in its module's environment.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from windtunnel.errors import AlreadyExists, InvalidSpec
from windtunnel.jsontypes import Json, JsonObject, as_list, as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel.adapters.registries import Admin

INFO: Final = "WINDTUNNEL_SERVICE"
"""The variable of a service's module that says what it is and whose."""
MOST_OF_A_VALUE: Final = 4096
"""Bytes of a twin's value."""
_CHUNK = 512
_CHUNKS = 100
_AGENT_IMAGE = "mcr.microsoft.com/azureiotedge-agent:1.5"
_HUB_IMAGE = "mcr.microsoft.com/azureiotedge-hub:1.5"
_PORTS = ("5671", "8883", "443")
_TTL_S = 7200


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What is noted about a service."""

    model: str = ""
    model_digest: str = ""
    owner: str = ""
    created: str = ""
    expires: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    routes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    """Further ones, that came with it."""
    credentials: str = ""
    """The key of its registry's credentials, where they came with it."""

    @classmethod
    def of(cls, module: JsonObject) -> Info | None:
        """None for a module that is no service of Windtunnel's."""
        text = as_object(as_object(module.get("env")).get(INFO)).get("value")
        if not isinstance(text, str):
            return None
        try:
            found = as_object(json.loads(text))
        except ValueError:
            return None
        names = ("model", "model_digest", "owner", "created", "expires", "credentials")
        return cls(
            **{name: as_str(found.get(name)) for name in names},
            tags={key: as_str(value) for key, value in as_object(found.get("tags")).items()},
            routes=tuple(as_str(name) for name in as_list(found.get("routes"))),
            modules=tuple(as_str(name) for name in as_list(found.get("modules"))),
        )

    def text(self) -> str:
        """What ``of`` reads. Raises ``InvalidSpec`` when a twin could not hold it."""
        text = json.dumps(
            {
                "model": self.model,
                "model_digest": self.model_digest,
                "owner": self.owner,
                "created": self.created,
                "expires": self.expires,
                "credentials": self.credentials,
                "tags": dict(self.tags),
                "routes": list(self.routes),
                "modules": list(self.modules),
            }
        )
        if len(text.encode()) > MOST_OF_A_VALUE:
            raise InvalidSpec(
                f"the tags of the service are too long for IoT Edge: with them {len(text.encode())} bytes have to be"
                f" kept in a value of {MOST_OF_A_VALUE}",
                way_out="Give fewer or shorter tags.",
            )
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeService:
    """A service to put on a device."""

    name: str
    image: str
    server: str
    """The login server of its registry."""
    admin: Admin
    environment: Mapping[str, str]
    routes: Mapping[str, str]
    modules: Mapping[str, str]
    create_options: str | None
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, "Mapping[str, str]"])
    """Of ``modules``, by name."""
    info: Info


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeDeployment:
    """The desired properties of ``$edgeAgent`` and ``$edgeHub``."""

    agent: JsonObject
    hub: JsonObject

    @classmethod
    def read(cls, agent_twin: JsonObject, hub_twin: JsonObject) -> EdgeDeployment:
        """Of a device that has none yet: a new one, without modules."""
        agent, hub = _desired(agent_twin), _desired(hub_twin)
        return cls(
            agent=agent if agent.get("modules") is not None else {**_new_agent(), **agent}, hub=hub or _new_hub()
        )

    @property
    def modules(self) -> JsonObject:
        """By name, without the system's."""
        return as_object(self.agent.get("modules"))

    @property
    def routes(self) -> JsonObject:
        """By name."""
        return as_object(self.hub.get("routes"))

    def info(self, name: str) -> Info | None:
        """Of a service; None when there is none of that name."""
        return Info.of(as_object(self.modules.get(name)))

    def with_service(self, service: EdgeService) -> EdgeDeployment:
        """With the service; one of its name is replaced. Raises ``AlreadyExists`` for what is others'."""
        base = self.without_service(service.name) if self.info(service.name) is not None else self
        for name in (service.name, *service.modules):
            if name in base.modules:
                raise AlreadyExists(
                    f"the device has a module {name!r} already, which is not this service's",
                    way_out="Choose another name, or remove that module.",
                )
        for name, route in service.routes.items():
            if name in base.routes and _text_of(base.routes[name]) != route:
                raise AlreadyExists(
                    f"the device has a route {name!r} already, which is not this service's:"
                    f" {_text_of(base.routes[name])}",
                    way_out="Choose another name for the route.",
                )
        key, credentials = base._credentials(service)
        new = tuple(name for name in service.routes if name not in base.routes)
        info = replace(service.info, routes=new, modules=tuple(service.modules), credentials=key)
        modules: JsonObject = {
            **base.modules,
            **{name: _module(image, service.variables.get(name, {}), None) for name, image in service.modules.items()},
            service.name: _module(service.image, {**service.environment, INFO: info.text()}, service.create_options),
        }
        routes: JsonObject = {**base.routes, **service.routes}
        return base._changed(modules=modules, routes=routes, credentials=credentials)

    def without_service(self, name: str) -> EdgeDeployment:
        """Without its modules and routes, and without its registry's credentials if no other image needs them."""
        info = self.info(name)
        if info is None:
            return self
        modules = {key: value for key, value in self.modules.items() if key not in (name, *info.modules)}
        routes = {key: value for key, value in self.routes.items() if key not in info.routes}
        credentials = dict(self._registries())
        address = as_str(as_object(credentials.get(info.credentials)).get("address"))
        images = [
            _image(as_object(value))
            for value in (*modules.values(), *as_object(self.agent.get("systemModules")).values())
        ]
        if info.credentials and address and not any(image.startswith(f"{address}/") for image in images):
            credentials.pop(info.credentials, None)
        return self._changed(modules=modules, routes=routes, credentials=credentials)

    def content(self) -> JsonObject:
        """As ``applyConfigurationContent`` takes it."""
        return {
            "$edgeAgent": {"properties.desired": self.agent},
            "$edgeHub": {"properties.desired": self.hub},
        }

    def _registries(self) -> JsonObject:
        settings = as_object(as_object(self.agent.get("runtime")).get("settings"))
        return as_object(settings.get("registryCredentials"))

    def _credentials(self, service: EdgeService) -> tuple[str, JsonObject]:
        """The key under which the service's registry is, and all credentials with it."""
        known = dict(self._registries())
        entry: JsonObject = {
            "address": service.server,
            "username": service.admin.username,
            "password": service.admin.password,
        }
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", service.admin.username) or "registry"
        for key, value in known.items():
            if as_str(as_object(value).get("address")) == service.server:
                known[key] = entry
                return key, known
        key, number = base, 2
        while key in known:
            key, number = f"{base}-{number}", number + 1
        return key, {**known, key: entry}

    def _changed(self, *, modules: JsonObject, routes: JsonObject, credentials: JsonObject) -> EdgeDeployment:
        runtime = as_object(self.agent.get("runtime"))
        settings: JsonObject = {**as_object(runtime.get("settings")), "registryCredentials": credentials}
        if not credentials:
            settings.pop("registryCredentials")
        agent: JsonObject = {**self.agent, "modules": modules, "runtime": {**runtime, "settings": settings}}
        return EdgeDeployment(agent=agent, hub={**self.hub, "routes": routes})


def _desired(twin: JsonObject) -> JsonObject:
    desired = as_object(as_object(twin.get("properties")).get("desired"))
    return {key: value for key, value in desired.items() if not key.startswith("$")}


def _new_agent() -> JsonObject:
    bindings: JsonObject = {f"{port}/tcp": [{"HostPort": port}] for port in _PORTS}
    options = json.dumps({"HostConfig": {"PortBindings": bindings}})
    return {
        "schemaVersion": "1.1",
        "runtime": {"type": "docker", "settings": {"minDockerVersion": "v1.25", "loggingOptions": ""}},
        "systemModules": {
            "edgeAgent": {"type": "docker", "settings": {"image": _AGENT_IMAGE, "createOptions": "{}"}},
            "edgeHub": {
                "type": "docker",
                "status": "running",
                "restartPolicy": "always",
                "settings": {"image": _HUB_IMAGE, "createOptions": options},
            },
        },
        "modules": {},
    }


def _new_hub() -> JsonObject:
    return {
        "schemaVersion": "1.1",
        "routes": {},
        "storeAndForwardConfiguration": {"timeToLiveSecs": _TTL_S},
    }


def _module(image: str, environment: Mapping[str, str], create_options: str | None) -> JsonObject:
    settings: JsonObject = {"image": image, **_chunks(create_options or "{}")}
    env: JsonObject = {name: {"value": value} for name, value in environment.items()}
    return {
        "version": "1.0",
        "type": "docker",
        "status": "running",
        "restartPolicy": "always",
        "settings": settings,
        **({"env": env} if env else {}),
    }


def _chunks(text: str) -> JsonObject:
    """Docker's options in pieces, as a twin holds them (DockerConfig.cs)."""
    pieces = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    if len(pieces) > _CHUNKS:
        raise InvalidSpec(f"create_options has {len(text)} characters; at most {_CHUNK * _CHUNKS} are possible")
    return {"createOptions" if n == 0 else f"createOptions{n:02}": piece for n, piece in enumerate(pieces)}


def _image(module: JsonObject) -> str:
    return as_str(as_object(module.get("settings")).get("image"))


def _text_of(route: Json) -> str:
    return route if isinstance(route, str) else as_str(as_object(route).get("route"))
