"""The modules of a device, as the workload API lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from windtunnel_emulators.edge.agent.agent import Agent
    from windtunnel_emulators.jsontypes import Json, JsonObject


class ModuleListing:
    """Implements ``workload.api.Listing``; empty until it has an agent."""

    def __init__(self) -> None:
        self._agent: Agent | None = None

    def of(self, agent: Agent) -> None:
        self._agent = agent

    def modules(self) -> list[Json]:
        if self._agent is None:
            return []
        shown = self._agent.reported
        groups = {**as_object(shown.get("systemModules")), **as_object(shown.get("modules"))}
        return [_entry(name, as_object(value)) for name, value in groups.items()]


def _entry(name: str, shown: JsonObject) -> JsonObject:
    """Without the environment, which may hold what is not for others."""
    return {
        "id": name,
        "name": name,
        "type": "docker",
        "config": {"settings": {"image": as_object(shown.get("settings")).get("image")}, "env": []},
        "status": {
            "startTime": shown.get("lastStartTimeUtc"),
            "exitStatus": {
                "exitTime": shown.get("lastExitTimeUtc"),
                "statusCode": str(shown.get("exitCode", 0)),
            },
            "runtimeStatus": {"status": shown.get("runtimeStatus"), "description": shown.get("statusDescription")},
        },
    }
