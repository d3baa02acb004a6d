"""``python -m windtunnel``: the command line."""

from __future__ import annotations

import sys

from windtunnel.cli import main

sys.exit(main())
