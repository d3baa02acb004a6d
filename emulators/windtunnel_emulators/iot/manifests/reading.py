"""The desired properties of ``$edgeAgent`` and ``$edgeHub``, as the device reads them: laxer than the service.

What the agent requires and what it fills in is as in edge-agent's ``DeploymentConfig``, ``DockerDesiredModule`` and
``DockerConfig``; names of enumerations are read without case, as it reads them.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from windtunnel_emulators.images.errors import ReferenceProblem
from windtunnel_emulators.images.reference import Reference
from windtunnel_emulators.iot.manifests.deployment import (
    DEFAULT_TTL_S,
    LAST,
    AgentDeployment,
    Credentials,
    DesiredStatus,
    HubDeployment,
    Module,
    PullPolicy,
    RestartPolicy,
    Runtime,
)
from windtunnel_emulators.iot.manifests.errors import (
    EmptyDeployment,
    FormatProblem,
    HubFormatProblem,
    VersionProblem,
)

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

E = TypeVar("E", bound=Enum)
S = TypeVar("S", bound=msgspec.Struct)
MODULE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})(?:\.([0-9]{1,9}))?(?:\.[0-9]{1,9})?")
_CHUNK = re.compile(r"createoptions([0-9]{0,2})")


class _Registry(msgspec.Struct):
    address: str
    username: str
    password: str


class _RuntimeSettings(msgspec.Struct, rename="camel"):
    min_docker_version: str | None = None
    logging_options: str | None = None
    registry_credentials: dict[str, _Registry] | None = None


class _Runtime(msgspec.Struct):
    type: str
    settings: _RuntimeSettings | None = None


class _EnvVal(msgspec.Struct):
    value: str | int | float | bool | None = None


class _Module(msgspec.Struct, rename="camel"):
    type: str
    settings: dict[str, Any]
    version: str | None = None
    status: str | None = None
    restart_policy: str | None = None
    image_pull_policy: str | None = None
    startup_order: int | None = None
    env: dict[str, _EnvVal] | None = None


class _SystemModules(msgspec.Struct, rename="camel"):
    edge_agent: dict[str, Any] | None = None
    edge_hub: dict[str, Any] | None = None


class _Agent(msgspec.Struct, rename="camel"):
    schema_version: str
    runtime: _Runtime
    system_modules: _SystemModules
    modules: dict[str, dict[str, Any]] | None = None


class _StoreLimits(msgspec.Struct, rename="camel"):
    max_size_bytes: int | None = None


class _StoreAndForward(msgspec.Struct, rename="camel"):
    time_to_live_secs: int | None = None
    store_limits: _StoreLimits | None = None


class _Route(msgspec.Struct, rename="camel"):
    route: str
    priority: int | None = None
    time_to_live_secs: int | None = None


class _Hub(msgspec.Struct, rename="camel"):
    schema_version: str
    routes: dict[str, Any] | None = None
    store_and_forward_configuration: _StoreAndForward | None = None


def parse_agent(desired: JsonObject) -> AgentDeployment:
    """The desired properties of ``$edgeAgent``, with their ``$version``.

    Raises ``EmptyDeployment``, ``VersionProblem``, ``FormatProblem``.
    """
    if not _plain(desired):
        raise EmptyDeployment
    schema = desired.get("schemaVersion")
    if isinstance(schema, str) and not _is_known(schema):
        raise VersionProblem(schema)
    read = _convert(desired, _Agent, "")
    if read.runtime.type != "docker":
        raise FormatProblem(f"runtime.type is '{read.runtime.type[:100]}'; it is docker")
    system = read.system_modules
    return AgentDeployment(
        version=_version(desired),
        schema_version=read.schema_version,
        runtime=_runtime(read.runtime),
        agent=None if system.edge_agent is None else _module("edgeAgent", system.edge_agent, "systemModules"),
        hub=None if system.edge_hub is None else _module("edgeHub", system.edge_hub, "systemModules"),
        modules={name: _module(name, one, "modules") for name, one in (read.modules or {}).items()},
    )


def parse_hub(desired: JsonObject) -> HubDeployment:
    """The desired properties of ``$edgeHub``, with their ``$version``. Raises ``HubFormatProblem``."""
    try:
        read = _convert(desired, _Hub, "")
        if not _is_known(read.schema_version, minor=3):
            raise VersionProblem(read.schema_version)
        routes = {name: _route(name, one) for name, one in (read.routes or {}).items()}
    except (FormatProblem, VersionProblem) as problem:
        raise HubFormatProblem(str(problem)) from problem
    store = read.store_and_forward_configuration or _StoreAndForward()
    ttl = DEFAULT_TTL_S if store.time_to_live_secs is None else float(store.time_to_live_secs)
    limits = store.store_limits
    return HubDeployment(
        version=_version(desired),
        schema_version=read.schema_version,
        routes=routes,
        ttl=None if ttl < 0 else ttl,
        most_bytes=None if limits is None else limits.max_size_bytes,
    )


def normal_image(text: str) -> str:
    """With ``:latest`` when it has neither tag nor digest, as it is pulled. Raises ``FormatProblem``."""
    name = text.strip()
    try:
        reference = Reference.parse(name)
    except ReferenceProblem as problem:
        raise FormatProblem(str(problem)) from problem
    return name if reference.tag or reference.digest else f"{name}:latest"


def _plain(desired: JsonObject) -> JsonObject:
    return {name: value for name, value in desired.items() if not name.startswith("$")}


def _version(desired: JsonObject) -> int:
    version = desired.get("$version")
    return version if isinstance(version, int) else 0


def _is_known(schema: str, minor: int = 1) -> bool:
    """Of major version 1, and at most 1.``minor``.0."""
    found = _VERSION.fullmatch(schema.strip())
    if found is None:
        return False
    numbers = int(found[1]), int(found[2]), int(found[3] or 0)
    return (1, 0, 0) <= numbers <= (1, minor, 0)


def _convert(value: object, kind: type[S], place: str) -> S:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        raise FormatProblem(f"{place}{': ' if place else ''}{problem}") from problem


def _runtime(read: _Runtime) -> Runtime:
    settings = read.settings or _RuntimeSettings()
    return Runtime(
        type=read.type,
        min_docker_version=settings.min_docker_version or "",
        logging_options=settings.logging_options or "",
        credentials=tuple(
            Credentials(name=name, address=one.address, username=one.username, password=one.password)
            for name, one in (settings.registry_credentials or {}).items()
        ),
    )


def _module(name: str, written: JsonObject, above: str) -> Module:
    place = f"{above}.{name[:100]}"
    if not MODULE_NAME.fullmatch(name):
        raise FormatProblem(f"{place}: a module's name has 1 to 128 letters, digits, '_' and '-'")
    read = _convert(written, _Module, place)
    is_agent = name == "edgeAgent" and above == "systemModules"
    if read.type != "docker":
        raise FormatProblem(f"{place}.type is '{read.type[:100]}'; it is docker")
    if read.status is None and not is_agent:
        raise FormatProblem(f"{place}.status is missing")
    order = LAST if read.startup_order is None else read.startup_order
    if not 0 <= order <= LAST:
        raise FormatProblem(f"{place}.startupOrder is {order}; it is from 0 to {LAST}")
    image = read.settings.get("image")
    if not isinstance(image, str) or not image.strip():
        raise FormatProblem(f"{place}.settings.image is missing")
    default = RestartPolicy.ALWAYS if above == "systemModules" else RestartPolicy.ON_UNHEALTHY
    try:
        normal = normal_image(image)
    except FormatProblem as problem:
        raise FormatProblem(f"{place}.settings.image: {problem}") from problem
    return Module(
        name=name,
        type=read.type,
        version=read.version or "",
        status=_one_of(DesiredStatus, read.status, DesiredStatus.RUNNING, f"{place}.status"),
        restart_policy=_one_of(RestartPolicy, read.restart_policy, default, f"{place}.restartPolicy"),
        pull_policy=_one_of(PullPolicy, read.image_pull_policy, PullPolicy.ON_CREATE, f"{place}.imagePullPolicy"),
        startup_order=0 if is_agent else order,
        env={key: _text(one.value) for key, one in (read.env or {}).items()},
        image=normal,
        create_options=_create_options(read.settings, place),
        written=written,
    )


def _one_of(kind: type[E], text: str | None, default: E, place: str) -> E:
    if text is None:
        return default
    for one in kind:
        if one.value == text.lower():
            return one
    raise FormatProblem(f"{place} is '{text[:100]}'; it is one of {', '.join(str(one.value) for one in kind)}")


def _text(value: str | float | bool | None) -> str:
    """The value of a variable: numbers and booleans as JSON writes them."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def _create_options(settings: JsonObject, place: str) -> JsonObject:
    """Joined from ``createOptions``, ``createOptions01`` ... up to the first that is missing."""
    chunks: dict[int, Json] = {}
    for name, value in settings.items():
        found = _CHUNK.fullmatch(name.lower())
        if found is not None:
            chunks[int(found[1] or 0)] = value
    text = ""
    for number in range(len(chunks)):
        if number not in chunks:
            break
        value = chunks[number]
        text += value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()
    if not text.strip():
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as problem:
        raise FormatProblem(f"{place}.settings.createOptions is no JSON object: {problem}") from problem


def _route(name: str, value: Json) -> str | JsonObject:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        _convert(value, _Route, f"routes.{name[:100]}")
        return value
    raise FormatProblem(f"routes.{name[:100]} is neither a text nor an object with a route")
