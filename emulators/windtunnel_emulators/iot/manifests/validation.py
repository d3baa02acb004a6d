"""What the service takes as content of a deployment: stricter than the device, so that a mistake is told at once.

The rules are those of Microsoft's published schemas (``azure-iot-edgeagent-deployment-1.1``,
``azure-iot-edgehub-deployment-1.2``): what is required, names, and values. What a schema does not know is let through.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from windtunnel_emulators.iot.hub.identity import AGENT, EDGE_HUB
from windtunnel_emulators.iot.manifests.deployment import LAST, DesiredStatus, PullPolicy, RestartPolicy
from windtunnel_emulators.iot.manifests.errors import ContentProblem, FormatProblem
from windtunnel_emulators.iot.manifests.reading import MODULE_NAME, normal_image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import Enum

    from windtunnel_emulators.iot.manifests.content import Portions
    from windtunnel_emulators.jsontypes import Json, JsonObject

_ENV_NAME = re.compile(r"[^+#$\s.]+")
_ROUTE_NAME = re.compile(r"[^.$# ]+")
_VERSION = re.compile(r"1\.[0-9]{1,9}(\.[0-9]{1,9})?")
_MODULE_KEY = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")
_HIGHEST_PRIORITY = 9


def check_desired(desired: Mapping[str, JsonObject]) -> None:
    """The desired properties that modules shall have, by module. Raises ``ContentProblem``."""
    for module in desired:
        _check_key(module)
    for module, check in ((AGENT, check_agent), (EDGE_HUB, check_hub)):
        if module in desired:
            check(desired[module], f"{module}.properties.desired")


def check_base(portions: Portions) -> None:
    """The base of a device: ``$edgeAgent`` and ``$edgeHub`` are there. Raises ``ContentProblem``."""
    for module in (AGENT, EDGE_HUB):
        if module not in portions or portions[module].whole is None:
            raise ContentProblem(f"{module}.properties.desired", "is required")
    check_desired({module: portion.applied({}) for module, portion in portions.items()})


def check_layer(portions: Portions) -> None:
    """A layer: modules and routes by their path, never the runtime's own. Raises ``ContentProblem``."""
    if AGENT not in portions:
        raise ContentProblem(AGENT, "is required in a layer; it may be empty")
    for module, portion in portions.items():
        _check_key(module)
        if module not in (AGENT, EDGE_HUB):
            continue
        if portion.whole is not None:
            raise ContentProblem(f"{module}.properties.desired", "may not be set whole by a layer")
        for path, value in portion.parts.items():
            _check_layer_part(module, path, value)


def check_agent(desired: JsonObject, place: str) -> None:
    """Desired properties of ``$edgeAgent``. Raises ``ContentProblem``."""
    _require(desired, place, "schemaVersion", "runtime", "systemModules", "modules")
    _check_version(desired["schemaVersion"], f"{place}.schemaVersion")
    _check_runtime(_object(desired["runtime"], f"{place}.runtime"), f"{place}.runtime")
    system = _object(desired["systemModules"], f"{place}.systemModules")
    _require(system, f"{place}.systemModules", "edgeAgent", "edgeHub")
    for name in ("edgeAgent", "edgeHub"):
        below = f"{place}.systemModules.{name}"
        _check_module(_object(system[name], below), below, is_agent=name == "edgeAgent")
    for name, one in _object(desired["modules"], f"{place}.modules").items():
        _check_named_module(name, one, f"{place}.modules")


def check_hub(desired: JsonObject, place: str) -> None:
    """Desired properties of ``$edgeHub``. Raises ``ContentProblem``."""
    _require(desired, place, "schemaVersion", "routes")
    _check_version(desired["schemaVersion"], f"{place}.schemaVersion")
    for name, route in _object(desired["routes"], f"{place}.routes").items():
        _check_route(name, route, f"{place}.routes")
    below = f"{place}.storeAndForwardConfiguration"
    store = _object(desired.get("storeAndForwardConfiguration", {}), below)
    _check_integer(store.get("timeToLiveSecs", 0), f"{below}.timeToLiveSecs", -LAST, LAST)


def _check_layer_part(module: str, path: tuple[str, ...], value: Json) -> None:
    place = f"{module}.properties.desired"
    section = "modules" if module == AGENT else "routes"
    if path[0] != section:
        raise ContentProblem(f"{place}.{'.'.join(path)}", f"may not be set by a layer; it sets {section}")
    if value is None:
        return
    if len(path) == 1:
        for name, one in _object(value, f"{place}.{section}").items():
            _check_layer_entry(module, name, one, f"{place}.{section}")
    elif len(path) == 2:
        _check_layer_entry(module, path[1], value, f"{place}.{section}")


def _check_layer_entry(module: str, name: str, value: Json, place: str) -> None:
    (_check_named_module if module == AGENT else _check_route)(name, value, place)


def _check_key(module: str) -> None:
    if not _MODULE_KEY.fullmatch(module) or (module.startswith("$") and module not in (AGENT, EDGE_HUB)):
        raise ContentProblem(module, "is no module's id")


def _check_runtime(runtime: JsonObject, place: str) -> None:
    _require(runtime, place, "type")
    _check_docker(runtime["type"], f"{place}.type")
    settings = _object(runtime.get("settings", {}), f"{place}.settings")
    registries = _object(settings.get("registryCredentials", {}), f"{place}.settings.registryCredentials")
    for name, one in registries.items():
        below = f"{place}.settings.registryCredentials.{name}"
        registry = _object(one, below)
        _require(registry, below, "username", "password", "address")
        for key in ("username", "password", "address"):
            if not isinstance(registry[key], str):
                raise ContentProblem(f"{below}.{key}", "is not a text")


def _check_named_module(name: str, value: Json, place: str) -> None:
    below = f"{place}.{name}"
    if not MODULE_NAME.fullmatch(name):
        raise ContentProblem(below, "a module's name has 1 to 128 letters, digits, '_' and '-'")
    _check_module(_object(value, below), below)


def _check_module(module: JsonObject, place: str, *, is_agent: bool = False) -> None:
    _require(module, place, *(("type", "settings") if is_agent else ("type", "status", "restartPolicy", "settings")))
    _check_docker(module["type"], f"{place}.type")
    for name, kind in (("status", DesiredStatus), ("restartPolicy", RestartPolicy), ("imagePullPolicy", PullPolicy)):
        if name in module:
            _check_one_of(module[name], f"{place}.{name}", kind)
    _check_integer(module.get("startupOrder", 0), f"{place}.startupOrder", 0, LAST)
    settings = _object(module["settings"], f"{place}.settings")
    _require(settings, f"{place}.settings", "image")
    image = settings["image"]
    if not isinstance(image, str) or not image.strip():
        raise ContentProblem(f"{place}.settings.image", "is not the name of an image")
    try:
        normal_image(image)
    except FormatProblem as problem:
        raise ContentProblem(f"{place}.settings.image", str(problem)) from problem
    for name, value in settings.items():
        if name.startswith("createOptions") and not isinstance(value, str):
            raise ContentProblem(f"{place}.settings.{name}", "is not a text; it is JSON written as a text")
    for name, one in _object(module.get("env", {}), f"{place}.env").items():
        _check_variable(name, one, f"{place}.env")


def _check_variable(name: str, value: Json, place: str) -> None:
    below = f"{place}.{name}"
    if not _ENV_NAME.fullmatch(name):
        raise ContentProblem(below, "the name of a variable has no '+', '#', '$', '.' and no white space")
    written = _object(value, below)
    _require(written, below, "value")
    if not isinstance(written["value"], str | int | float):
        raise ContentProblem(f"{below}.value", "is neither a text, a number nor a boolean")


def _check_route(name: str, value: Json, place: str) -> None:
    below = f"{place}.{name}"
    if not _ROUTE_NAME.fullmatch(name):
        raise ContentProblem(below, "the name of a route has no '.', '$', '#' and no spaces")
    if isinstance(value, str):
        return
    if not isinstance(value, dict):
        raise ContentProblem(below, "is neither a text nor an object with a route")
    _require(value, below, "route")
    if not isinstance(value["route"], str):
        raise ContentProblem(f"{below}.route", "is not a text")
    _check_integer(value.get("priority", 0), f"{below}.priority", 0, _HIGHEST_PRIORITY)
    _check_integer(value.get("timeToLiveSecs", 0), f"{below}.timeToLiveSecs", 0, LAST)


def _check_version(value: Json, place: str) -> None:
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        raise ContentProblem(place, "is no version of the schema; it is 1.0, 1.1 or, of $edgeHub, later")


def _check_docker(value: Json, place: str) -> None:
    if value != "docker":
        raise ContentProblem(place, "is not docker")


def _check_one_of(value: Json, place: str, kind: type[Enum]) -> None:
    if value not in (names := [cast("str", one.value) for one in kind]):
        raise ContentProblem(place, f"is not one of {', '.join(names)}")


def _check_integer(value: Json, place: str, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ContentProblem(place, f"is not a whole number from {least} to {most}")


def _object(value: Json, place: str) -> JsonObject:
    if not isinstance(value, dict):
        raise ContentProblem(place, "is not an object")
    return value


def _require(value: JsonObject, place: str, *names: str) -> None:
    for name in names:
        if name not in value:
            raise ContentProblem(place, f"'{name}' is a required property")
