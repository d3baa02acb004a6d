"""Removes all containers of one runtime from a Docker engine, found by their label."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_str
from windtunnel_emulators.runtime.engine.client import EngineProblem, checked
from windtunnel_emulators.runtime.engine.guard import LABEL

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.engine.client import DockerApi


def sweep(api: DockerApi, key: str, *, limit_s: float = 30.0) -> int:
    """How many there were. Returns when none is left, also of those that somebody else is removing.

    Raises ``EngineProblem``.
    """
    removed: set[str] = set()
    end = time.monotonic() + limit_s
    while found := api.containers(all=True, filters={"label": f"{LABEL}={key}"}):
        for entry in found:
            container = as_str(entry.get("Id"))
            _remove(api, container)
            removed.add(container)
        if time.monotonic() > end:
            raise EngineProblem(f"{len(found)} containers could not be removed within {limit_s:.0f} s", None)
        time.sleep(0.02)
    return len(removed)


def _remove(api: DockerApi, container: str) -> None:
    try:
        checked(lambda: api.remove_container(container, v=True, force=True), "")
    except EngineProblem as problem:
        # 404 and 409: it is gone, or somebody else is removing it.
        if problem.status not in (404, 409):
            raise
