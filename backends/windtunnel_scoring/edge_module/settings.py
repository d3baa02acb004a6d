"""What a module is told by its environment, beside what the scoring server reads (``windtunnel_scoring.settings``).

``WINDTUNNEL_EDGE_ERRORS``: true sends a message with ``AzureMLResponse`` other than OK where scoring failed;
otherwise there is a log line and no message. ``WINDTUNNEL_EDGE_INBOX``, ``WINDTUNNEL_EDGE_OUTBOX``: how many messages
may wait here; further ones wait in the edge's hub. ``WINDTUNNEL_GRACE_S``: seconds after SIGTERM to finish them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_scoring.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Mapping


def on_edge(variables: Mapping[str, str]) -> bool:
    """Whether this container is a module of an IoT Edge device, or is to act as one under a debugger."""
    return all(variables.get(name) for name in ("IOTEDGE_MODULEID", "IOTEDGE_WORKLOADURI")) or bool(
        variables.get("EdgeHubConnectionString")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """The settings of one module, checked."""

    reports_errors: bool = False
    inbox: int = 1000
    outbox: int = 200
    grace_s: float = 8.0
    """Below the 10 s after which an edge agent's engine kills."""
    retry_s: float = 1.0
    """Between two tries to reach the edge's hub; grows up to ``retry_most_s``."""
    retry_most_s: float = 10.0

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> EdgeSettings:
        """Raises ``SettingError``."""
        environment = Environment(variables)
        default = cls()
        return cls(
            reports_errors=environment.flag("WINDTUNNEL_EDGE_ERRORS"),
            inbox=environment.whole("WINDTUNNEL_EDGE_INBOX", default.inbox, least=1, most=1_000_000),
            outbox=environment.whole("WINDTUNNEL_EDGE_OUTBOX", default.outbox, least=1, most=1_000_000),
            grace_s=environment.decimal("WINDTUNNEL_GRACE_S", default.grace_s) or default.grace_s,
        )
