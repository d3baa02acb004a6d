"""What a container serves, made ready: a user's script or a model by itself, and where it works."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING

from windtunnel_scoring import limits
from windtunnel_scoring.errors import StartError
from windtunnel_scoring.executors import PoolExecutor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from windtunnel_scoring.executors import Executor, MainThread
    from windtunnel_scoring.scorer import Scorer
    from windtunnel_scoring.settings import ServerSettings

logger = logging.getLogger("windtunnel")

_TREE_LINES = 200


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
