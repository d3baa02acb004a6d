"""What the agent reports: the reported properties of ``$edgeAgent``, sent as differences to what was reported last."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from windtunnel_emulators import __version__
from windtunnel_emulators.edge.agent import restarts, specs
from windtunnel_emulators.edge.agent.machine import moment
from windtunnel_emulators.edge.agent.restarts import Condition
from windtunnel_emulators.iot.manifests.deployment import DesiredStatus
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.edge.agent.machine import Module
    from windtunnel_emulators.iot.manifests.deployment import AgentDeployment
    from windtunnel_emulators.iot.manifests.deployment import Module as Desired
    from windtunnel_emulators.jsontypes import Json, JsonObject

_ARCHITECTURES = {"aarch64": "arm64v8", "armv7l": "arm32v7"}
_LONGEST = 4096
"""Of a text in a twin."""


def document(
    *,
    version: int,
    code: int,
    description: str,
    deployment: AgentDeployment | None,
    modules: Mapping[str, Module],
    pending: Mapping[str, str],
    since: float,
) -> JsonObject:
    """All of it. ``pending`` says why modules that should be there are not; ``since`` is the agent's own start."""
    shown: JsonObject = {
        "schemaVersion": "1.0",
        "version": {"version": __version__, "build": "windtunnel", "commit": ""},
        "lastDesiredVersion": version,
        "lastDesiredStatus": {"code": code, "description": description[:_LONGEST]},
        "runtime": {"platform": _platform()},
        "systemModules": {},
        "modules": {},
    }
    if deployment is None:
        return shown
    wanted: dict[str, Json] = {name: _missing(deployment.modules[name], why) for name, why in pending.items()}
    shown["runtime"] = {**specs.runtime_of(deployment), "platform": _platform()}
    shown["systemModules"] = {
        name: _system(one, since, agent=name == "edgeAgent")
        for name, one in (("edgeAgent", deployment.agent), ("edgeHub", deployment.hub))
        if one is not None
    }
    shown["modules"] = {**wanted, **{name: module_of(one) for name, one in modules.items()}}
    return shown


def at_shutdown(last: JsonObject) -> JsonObject:
    """What was reported, as it is when the agent has ended."""
    ended: JsonObject = {
        **last,
        "lastDesiredStatus": {"code": 406, "description": "Agent is not running"},
    }
    for group in ("modules", "systemModules"):
        entries = last.get(group)
        if isinstance(entries, dict):
            ended[group] = {
                name: {**one, "runtimeStatus": Condition.UNKNOWN.value} if isinstance(one, dict) else one
                for name, one in entries.items()
            }
    return ended


def difference(former: JsonObject, now: JsonObject) -> JsonObject:
    """The merge patch from one to the other; empty when they are alike."""
    patch: JsonObject = {}
    for key, value in now.items():
        old = former.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = difference(old, value)
            if inner:
                patch[key] = inner
        elif value != old or key not in former:
            if value is not None:
                patch[key] = value
            elif old is not None:
                patch[key] = None
    for key in former:
        if key not in now and not key.startswith("$"):
            patch[key] = None
    return patch


def module_of(module: Module) -> JsonObject:
    """One module as it is reported."""
    spec = module.spec
    never_started = Condition.STOPPED if spec.status is DesiredStatus.STOPPED else Condition.UNKNOWN
    condition = module.condition or never_started
    ended = condition in (Condition.STOPPED, Condition.FAILED) and spec.status is DesiredStatus.RUNNING
    if ended and not module.by_order and not module.given_up:
        condition = restarts.condition_of(spec.restart_policy, condition, module.restarts)
    shown = specs.shown(spec)
    shown["settings"] = {**as_object(shown["settings"]), "imageHash": module.image.digest}
    return {
        **shown,
        "runtimeStatus": condition.value,
        "exitCode": module.exit_code or 0,
        "statusDescription": module.description[:_LONGEST],
        "lastStartTimeUtc": moment(module.started),
        "lastExitTimeUtc": moment(module.exited),
        "restartCount": module.restarts,
        "lastRestartTimeUtc": moment(module.restarted),
    }


def _missing(spec: Desired, why: str) -> JsonObject:
    """A module whose image could not be had so far."""
    return {
        **specs.shown(spec),
        "runtimeStatus": Condition.BACKOFF.value,
        "statusDescription": why[:_LONGEST],
        "exitCode": 0,
        "restartCount": 0,
    }


def _system(spec: Desired, since: float, *, agent: bool = False) -> JsonObject:
    shown: JsonObject = {
        **specs.shown(spec),
        "runtimeStatus": Condition.RUNNING.value,
        "exitCode": 0,
        "statusDescription": "running",
        "lastStartTimeUtc": moment(since),
        "lastExitTimeUtc": moment(None),
    }
    if agent:
        del shown["status"], shown["restartPolicy"]
    else:
        shown |= {"restartCount": 0, "lastRestartTimeUtc": moment(None)}
    return shown


def _platform() -> JsonObject:
    machine = platform.machine().lower()
    return {"os": platform.system().lower(), "architecture": _ARCHITECTURES.get(machine, machine), "version": ""}
