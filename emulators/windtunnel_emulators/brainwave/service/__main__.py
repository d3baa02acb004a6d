"""``python -m windtunnel_emulators.brainwave.service``: serve the model of ``AZUREML_MODEL_DIR`` until SIGTERM.

Exit codes: 0 stopped, 2 a setting that cannot be, 3 a model that the device does not run (as for a scoring server whose
``init`` failed).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from windtunnel_emulators.brainwave.errors import BadModel, BadOption, BrainwaveError
from windtunnel_emulators.brainwave.service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_GRACE_S = 5.0


def main(environment: Mapping[str, str]) -> int:
    """Serve. What is printed is the service's log."""
    started = time.monotonic()
    try:
        settings = Settings.of(environment)
        path = model_of(settings.model_folder)
        # Half a second of imports: after the settings are known to be good.
        from windtunnel_emulators.brainwave.service.accelerated import Accelerated
        from windtunnel_emulators.brainwave.service.server import PredictionServer

        model = Accelerated(path, settings)
        model.warm_up()
        server = PredictionServer(model, settings, say)
        port = server.start()
    except BrainwaveError as problem:
        say(f"error: {problem.message}")
        if problem.way_out:
            say(f"  {problem.way_out}")
        return 3 if isinstance(problem, BadModel) else 2
    except RuntimeError as problem:  # grpc: the address cannot be had
        say(f"error: {settings.address}:{settings.port} cannot be listened at: {problem}")
        return 2
    line = model.analysis.timeline
    say(
        f"serving {path.name} on {model.analysis.device.name}, {model.numerics} {model.number.name}, {settings.replicas}"
        f" replica{'s' if settings.replicas > 1 else ''}, port {port}{', TLS and keys' if settings.tls else ''}, after"
        f" {time.monotonic() - started:.2f} s"
    )
    say(f"latency by the model: NPU {line.npu_ms:.3f} ms, end to end {line.end_to_end_ms:.3f} ms (source=model)")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
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
