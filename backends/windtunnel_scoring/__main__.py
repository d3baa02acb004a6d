"""``python -m windtunnel_scoring``: serve a model or a script, as the environment says (see ``settings.py``).

On an IoT Edge device, which its environment tells, the same image is a module (``edge_module``) and no HTTP server.
Exit codes: 0 after SIGTERM, 3 when there is nothing that could be served (no model, ``init()`` failed, a setting that
cannot be used), which is the code of the documented server.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from windtunnel_scoring import logs, swagger
from windtunnel_scoring.app import AppOptions, ScoringApp
from windtunnel_scoring.cors import Cors
from windtunnel_scoring.edge_module.settings import on_edge
from windtunnel_scoring.errors import StartError
from windtunnel_scoring.executors import MainThread
from windtunnel_scoring.failures import log_start_error
from windtunnel_scoring.loading import load
from windtunnel_scoring.serving import Listening, bind, serve
from windtunnel_scoring.settings import ServerSettings
from windtunnel_scoring.telemetry import interface
from windtunnel_scoring.telemetry.settings import TelemetrySettings
from windtunnel_scoring.workers import Worker, supervise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_scoring.telemetry.interface import Telemetry

logger = logging.getLogger("windtunnel")

START_FAILED = 3


def main(variables: Mapping[str, str]) -> int:
    """Serve until told to stop; gives the exit code."""
    logs.set_up()
    if on_edge(variables):
        from windtunnel_scoring.edge_module import start

        return start.main(variables)
    try:
        settings = ServerSettings.from_environment(variables)
        worker = Worker.from_environment(variables)
        supervises = settings.worker_count > 1 and worker is None
        chosen = TelemetrySettings.from_environment(variables, settings.service_name)
        telemetry = None if supervises else interface.start(chosen)
        if telemetry is not None:
            # Before the log, which then goes the same way.
            telemetry.capture_output()
        logs.set_up(settings.log_level)
        for sentence in settings.unsupported:
            logger.warning("%s", sentence)
        if supervises:
            return supervise(settings, variables)
        return _serve(settings, worker, telemetry)
    except StartError as error:
        log_start_error(error)
        return START_FAILED


def _serve(settings: ServerSettings, worker: Worker | None, telemetry: Telemetry | None) -> int:
    cors = Cors(settings.cors_origins) if settings.cors_origins else None
    ports = [settings.port] + ([settings.health_port] if settings.health_port is not None else [])
    sockets = worker.sockets() if worker else [bind(settings.address, port) for port in ports]
    main_thread = MainThread()
    scorer, executor = load(settings, main_thread)
    document = swagger.build(
        scorer.description,
        name=settings.service_name,
        version=settings.service_version,
        prefix=settings.service_path_prefix,
        app_root=settings.app_root,
    )
    options = AppOptions(
        cors=cors,
        legacy_errors=settings.legacy_errors,
        send_version=settings.send_version,
        telemetry=telemetry,
    )
    logger.info("Scoring timeout is set to %d ms", settings.scoring_timeout_ms)
    listening = Listening(
        sockets=sockets,
        grace_s=settings.grace_s,
        ready_file=settings.ready_file,
        pid=worker.supervisor if worker else None,
    )
    return serve(ScoringApp(scorer, executor, document, options), listening, main_thread)


if __name__ == "__main__":
    sys.exit(main(os.environ))
