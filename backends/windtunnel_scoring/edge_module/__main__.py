"""``python -m windtunnel_scoring.edge_module``: a module of an IoT Edge device, whatever else the image could be."""

from __future__ import annotations

import os
import sys

from windtunnel_scoring import logs
from windtunnel_scoring.edge_module.start import main

if __name__ == "__main__":
    logs.set_up()
    sys.exit(main(os.environ))
