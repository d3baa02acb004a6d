"""``python -m windtunnel_scoring.frontend``: keys and TLS in front of a scoring container (see ``settings.py``).

Exit codes: 0 after SIGTERM; 3 when its settings, its certificate or its port cannot be used.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from windtunnel_scoring import logs
from windtunnel_scoring.cors import Cors
from windtunnel_scoring.errors import StartError
from windtunnel_scoring.executors import MainThread
from windtunnel_scoring.frontend import tls
from windtunnel_scoring.frontend.app import FrontEnd, ProxyOptions
from windtunnel_scoring.frontend.keys import Keys
from windtunnel_scoring.frontend.settings import FrontEndSettings
from windtunnel_scoring.frontend.upstream import Upstream
from windtunnel_scoring.serving import Listening, bind, serve

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("windtunnel")

START_FAILED = 3


def main(variables: Mapping[str, str]) -> int:
    """Serve until told to stop; gives the exit code."""
    logs.set_up()
    try:
        settings = FrontEndSettings.from_environment(variables)
        logs.set_up(settings.log_level)
        context = tls.server_context(settings.tls_certificate, settings.tls_key) if settings.tls_certificate else None
        options = ProxyOptions(
            keys=Keys(settings.primary_key, settings.secondary_key) if settings.authenticates else None,
            timeout_ms=settings.upstream_timeout_ms,
            max_body_bytes=settings.max_body_bytes,
            run_failed_status=settings.run_failed_status,
            cors=Cors(settings.cors_origins) if settings.cors_origins else None,
        )
        bound = bind(settings.address, settings.port)
    except StartError as error:
        logger.error("%s", error)
        return START_FAILED
    upstream = Upstream(settings.upstream_address, settings.upstream_port)
    listening = Listening(sockets=[bound], grace_s=settings.grace_s, tls=context, ready_file=settings.ready_file)
    return serve(FrontEnd(upstream, options), listening, MainThread())


if __name__ == "__main__":
    sys.exit(main(os.environ))
