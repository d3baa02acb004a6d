"""What runs inside a deployed container: the scoring server and the front end that guards it.

``python -m windtunnel_scoring`` serves a model, or a script with ``init()`` and ``run()``, by the scoring contract of
Azure ML; ``python -m windtunnel_scoring.frontend`` adds keys and TLS in front of it. Installed in every image, so it
imports nothing of this project's other packages and needs only numpy, onnxruntime, uvicorn and httptools.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
"""The version of the distribution; a constant, because reading the installed metadata would cost a start 20 ms."""
