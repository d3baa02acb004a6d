"""Manifests of edge devices, as tests send them."""

from __future__ import annotations

import copy
from typing import Any

MODULE = {
    "type": "docker",
    "status": "running",
    "restartPolicy": "always",
    "settings": {"image": "localhost:5000/score:1", "createOptions": "{}"},
}
AGENT: dict[str, Any] = {
    "schemaVersion": "1.1",
    "runtime": {"type": "docker", "settings": {"minDockerVersion": "v1.25"}},
    "systemModules": {
        "edgeAgent": {"type": "docker", "settings": {"image": "mcr.microsoft.com/azureiotedge-agent:1.5"}},
        "edgeHub": {**MODULE, "settings": {"image": "mcr.microsoft.com/azureiotedge-hub:1.5"}},
    },
    "modules": {"score": MODULE},
}
HUB: dict[str, Any] = {
    "schemaVersion": "1.1",
    "routes": {"up": "FROM /messages/* INTO $upstream"},
    "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
}


def manifest(**more: Any) -> dict[str, Any]:
    """A whole deployment, with more modules or others in place of its own."""
    content = {"$edgeAgent": {"properties.desired": AGENT}, "$edgeHub": {"properties.desired": HUB}, **more}
    return {"modulesContent": copy.deepcopy(content)}


def layer(**modules: Any) -> dict[str, Any]:
    """A layer that gives the agent modules, by name."""
    agent = {f"properties.desired.modules.{name}": one for name, one in modules.items()}
    return {"modulesContent": {"$edgeAgent": copy.deepcopy(agent)}}
