"""``python -m windtunnel_emulators.brainwave.service``: serve the model of ``AZUREML_MODEL_DIR`` until SIGTERM.

Exit codes: 0 stopped, 2 a setting that cannot be, 3 a model that the device does not run (as for a scoring server whose
``init`` failed).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.errors import BadModel, BadOption, BrainwaveError
from windtunnel_emulators.brainwave.service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ENDS = frozenset({signal.SIGTERM, signal.SIGINT})
_GRACE_S = 5.0


def main(environment: Mapping[str, str]) -> int:
    """Serve. What is printed is the service's log."""
    try:
        return _serve(Settings.of(environment))
    except BrainwaveError as problem:
        say(f"error: {problem.message}")
        if problem.way_out:
            say(f"  {problem.way_out}")
        return 3 if isinstance(problem, BadModel) else 2


def _serve(settings: Settings) -> int:
    started = time.monotonic()
    # Blocked in every thread, and waited for below: a handler would run in the main thread alone, and a signal that the
    # system gives to one of gRPC's threads does not wake the main one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    path = model_of(settings.model_folder)
    # Half a second of imports: after the settings are known to be good.
    from windtunnel_emulators.brainwave.service.accelerated import Accelerated
    from windtunnel_emulators.brainwave.service.server import PredictionServer

    model = Accelerated(path, settings)
    model.warm_up()
    server = PredictionServer(model, settings, say)
    try:
        port = server.start()
    except RuntimeError as problem:  # grpc's
        raise BadOption(f"{settings.address}:{settings.port} cannot be listened at: {problem}") from problem
    line, device = model.analysis.timeline, model.analysis.device.name
    replicas = f"{settings.replicas} replica{'s' if settings.replicas > 1 else ''}"
    open_to = "TLS and keys" if settings.keys else "TLS" if settings.tls else "plain"
    say(
        f"serving {path.name} on {device}, {model.numerics} {model.number.name}, {replicas}, port {port}, {open_to},"
        f" after {time.monotonic() - started:.2f} s"
    )
    say(f"latency by the model: NPU {line.npu_ms:.3f} ms, end to end {line.end_to_end_ms:.3f} ms (source=model)")
    signal.sigwait(_ENDS)
    server.stop(_GRACE_S)
    return 0


def model_of(folder: Path) -> Path:
    """The one model of a folder. Raises ``BadOption``."""
    found = sorted(folder.rglob("*.onnx")) if folder.is_dir() else []
    if len(found) != 1:
        raise BadOption(
            f"there are {len(found)} .onnx files in {str(folder)!r}", way_out="A service runs exactly one model."
        )
    return found[0]


def say(line: str) -> None:
    """One line of the log."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(os.environ))
