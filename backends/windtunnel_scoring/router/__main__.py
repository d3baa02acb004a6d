"""``python -m windtunnel_scoring.router``: the router of a cluster (see ``settings.py`` and ``objects.py``).

Exit codes: 0 after SIGTERM; 1 when requests did not end within the grace; 3 when its settings, its certificate, its
ports or its way to the Kubernetes API cannot be used.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from windtunnel_scoring import logs
from windtunnel_scoring.errors import StartError
from windtunnel_scoring.executors import MainThread
from windtunnel_scoring.frontend import tls
from windtunnel_scoring.router import credentials
from windtunnel_scoring.router.api import Api
from windtunnel_scoring.router.runtime import Router
from windtunnel_scoring.router.settings import RouterSettings
from windtunnel_scoring.serving import Listening, bind, serve
from windtunnel_scoring.telemetry import interface
from windtunnel_scoring.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("windtunnel")

START_FAILED = 3


def main(variables: Mapping[str, str]) -> int:
    """Serve until told to stop; gives the exit code."""
    logs.set_up()
    try:
        settings = RouterSettings.from_environment(variables)
        telemetry = interface.start(TelemetrySettings.from_environment(variables, "azureml-fe"))
        logs.set_up(settings.log_level)
        context = tls.server_context(settings.tls_certificate, settings.tls_key) if settings.tls_certificate else None
        found = credentials.find(variables)
        outer, inner = bind(settings.address, settings.port), bind(settings.address, settings.inner_port)
    except StartError as error:
        logger.error("%s", error)
        return START_FAILED
    router = Router(Api(found), found.namespace, settings, telemetry)
    listening = Listening(
        sockets=[outer],
        grace_s=settings.grace_s,
        tls=context,
        ready_file=settings.ready_file,
        around=lambda: router.running(inner),
        announced={"innerPort": inner.getsockname()[1]},
    )
    return serve(router.app, listening, MainThread())


if __name__ == "__main__":
    sys.exit(main(os.environ))
