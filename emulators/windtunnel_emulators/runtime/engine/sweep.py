"""Removes all containers of one runtime from a Docker engine, found by their label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_str
from windtunnel_emulators.runtime.engine.client import EngineProblem, checked
from windtunnel_emulators.runtime.engine.guard import LABEL

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.engine.client import DockerApi


def sweep(api: DockerApi, key: str) -> int:
    """How many there were. Twice, as one may have been on its way into being."""
    removed = 0
    for _ in range(2):
        for found in api.containers(all=True, filters={"label": f"{LABEL}={key}"}):
            try:
                _remove(api, as_str(found.get("Id")))
                removed += 1
            except EngineProblem as problem:
                # 404 and 409: it is gone, or somebody else is removing it.
                if problem.status not in (404, 409):
                    raise
    return removed


def _remove(api: DockerApi, container: str) -> None:
    checked(lambda: api.remove_container(container, v=True, force=True), "")
