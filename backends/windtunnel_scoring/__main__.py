"""``python -m windtunnel_scoring``: serve a model or a script, as the environment says (see ``settings.py``).

Exit codes: 0 after SIGTERM, 3 when there is nothing that could be served (no model, ``init()`` failed, a setting that
cannot be used), which is the code of the documented server.
"""

from __future__ import annotations

import logging
import os
import sys
from itertools import islice
from typing import TYPE_CHECKING

from windtunnel_scoring import limits, logs, swagger
from windtunnel_scoring.app import AppOptions, ScoringApp
from windtunnel_scoring.cors import Cors
from windtunnel_scoring.errors import ScriptError, StartError
from windtunnel_scoring.executors import MainThread, PoolExecutor
from windtunnel_scoring.serving import Listening, bind, serve
from windtunnel_scoring.settings import ServerSettings
from windtunnel_scoring.telemetry import interface
from windtunnel_scoring.telemetry.settings import TelemetrySettings
from windtunnel_scoring.workers import Worker, supervise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from windtunnel_scoring.executors import Executor
    from windtunnel_scoring.scorer import Scorer
    from windtunnel_scoring.telemetry.interface import Telemetry

logger = logging.getLogger("windtunnel")

START_FAILED = 3
_TREE_LINES = 200


def main(variables: Mapping[str, str]) -> int:
    """Serve until told to stop; gives the exit code."""
    logs.set_up()
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
        _log_failure(error)
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


def load(settings: ServerSettings, main_thread: MainThread) -> tuple[Scorer, Executor]:
    """What is to be served, ready to work, and where it works. Raises ``StartError``."""
    from windtunnel_scoring.script import loader

    if loader.present(settings):
        from windtunnel_scoring.script.scorer import ScriptScorer

        try:
            return ScriptScorer(loader.load(settings), timeout_ms=settings.scoring_timeout_ms), main_thread
        except StartError:
            _log_model_directory(settings.model_directory)
            raise
    # numpy and onnxruntime take most of the start, and a script may need neither.
    from windtunnel_scoring.model import location
    from windtunnel_scoring.model.runtime import Session
    from windtunnel_scoring.model.scorer import ModelScorer

    path = location.find(settings.model_directory)
    cpus = limits.processors(settings.cpus)
    threads = limits.threads(cpus)
    session = Session(path, threads=threads)
    concurrency = settings.concurrency or max(2, threads)
    logger.info("loaded %s: %d threads, %d requests at once (%g processors)", path, threads, concurrency, cpus)
    collection = None
    if settings.collects_data:
        from windtunnel_scoring.collection.automatic import AutomaticCollection

        collection = AutomaticCollection(_model_name(path))
    scorer = ModelScorer(session, timeout_ms=settings.scoring_timeout_ms, collection=collection)
    return scorer, PoolExecutor(concurrency)


def _model_name(path: Path) -> str:
    """The name under which a model is registered: ``.../azureml-models/<name>/<version>/<file>``."""
    folders = path.parts[:-1]
    if "azureml-models" in folders:
        below = folders[folders.index("azureml-models") + 1 :]
        if below:
            return below[0]
    return path.stem


def _log_failure(error: StartError) -> None:
    """The sentence, and for a script's own exception where it came from."""
    logger.error("%s", error)
    if isinstance(error, ScriptError) and error.__cause__ is not None:
        logger.error("Encountered Exception", exc_info=error.__cause__)


def _log_model_directory(folder: Path | None) -> None:
    if folder is None or not folder.exists():
        return
    logger.info("Model Directory Contents:")
    lines = _tree(folder, 0)
    for line in islice(lines, _TREE_LINES):
        logger.info("%s", line)
    if next(lines, None) is not None:
        logger.info("only the first %d lines are shown", _TREE_LINES)


def _tree(path: Path, depth: int) -> Iterator[str]:
    is_folder = path.is_dir()
    yield "    " * depth + path.name + ("/" if is_folder else "")
    if is_folder:
        for entry in sorted(path.iterdir()):
            yield from _tree(entry, depth + 1)


if __name__ == "__main__":
    sys.exit(main(os.environ))
