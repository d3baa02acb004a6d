"""Modules as they should be (``iot.manifests``), as the agent compares, keeps and reports them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.manifests.deployment import LAST
from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.runtime.interface import Credentials

if TYPE_CHECKING:
    from windtunnel_emulators.iot.manifests.deployment import AgentDeployment, Module
    from windtunnel_emulators.jsontypes import JsonObject


def is_made_like(one: Module, other: Module) -> bool:
    """A container of the one serves the other: only ``status`` may differ."""
    return replace(one, status=other.status) == other


def key_of(module: Module) -> str:
    """The same for specs that are made alike."""
    content = [
        module.name,
        module.version,
        module.restart_policy.value,
        module.pull_policy.value,
        module.startup_order,
        dict(module.env),
        module.image,
        module.create_options,
    ]
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def shown(module: Module) -> JsonObject:
    """As it is reported: what was written, with what it left out."""
    written = module.written
    found: JsonObject = {
        "type": module.type,
        "status": module.status.value,
        "restartPolicy": module.restart_policy.value,
        "imagePullPolicy": module.pull_policy.value,
        "settings": {"createOptions": "{}", **as_object(written.get("settings")), "image": module.image},
        "env": {name: {"value": value} for name, value in module.env.items()},
    }
    if module.version:
        found["version"] = module.version
    if module.startup_order != LAST:
        found["startupOrder"] = module.startup_order
    return found


def runtime_of(deployment: AgentDeployment) -> JsonObject:
    """Without the registries' passwords."""
    runtime = deployment.runtime
    return {
        "type": runtime.type,
        "settings": {"minDockerVersion": runtime.min_docker_version, "loggingOptions": runtime.logging_options},
    }


def credentials_of(deployment: AgentDeployment) -> tuple[Credentials, ...]:
    """Of the registries, as runtimes take them."""
    return tuple(
        Credentials(server=one.address, username=one.username, password=one.password)
        for one in deployment.runtime.credentials
    )


def pulls_first(deployment: AgentDeployment) -> bool:
    """No module is changed before the images of all are there (``ModuleUpdateMode`` of the agent)."""
    agent = deployment.agent
    return agent is not None and agent.env.get("ModuleUpdateMode", "").lower() == "waitforallpulls"
