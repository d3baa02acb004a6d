"""A module from its environment. The model or script is loaded first: nothing is taken in that cannot be scored.

Exit codes are those of the scoring server: 0 after SIGTERM, 3 when there is nothing that could be served, which the
edge's agent reports as the module's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from windtunnel_scoring import logs
from windtunnel_scoring.edge_module import client
from windtunnel_scoring.edge_module.module import EdgeModule
from windtunnel_scoring.edge_module.settings import EdgeSettings
from windtunnel_scoring.errors import StartError
from windtunnel_scoring.executors import MainThread
from windtunnel_scoring.failures import log_start_error
from windtunnel_scoring.loading import load
from windtunnel_scoring.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("windtunnel")

START_FAILED = 3


def main(variables: Mapping[str, str]) -> int:
    """Work until told to stop; gives the exit code."""
    try:
        settings = ServerSettings.from_environment(variables)
        edge = EdgeSettings.from_environment(variables)
        logs.set_up(settings.log_level)
        for sentence in settings.unsupported:
            logger.warning("%s", sentence)
        # The executor is not asked: everything runs on this thread.
        scorer, _ = load(settings, MainThread())
        return EdgeModule(scorer, client.create, edge).run()
    except StartError as error:
        log_start_error(error)
        return START_FAILED
