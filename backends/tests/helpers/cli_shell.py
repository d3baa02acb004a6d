"""The command line at one state folder, in the test's process: a process for each command would take the most time."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel.cli import main

if TYPE_CHECKING:
    from pathlib import Path


class Shell:
    """Its environment has no settings but those given; its home and working folder are the parent of ``state``."""

    def __init__(self, state: Path, **settings: str) -> None:
        self.state = state
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("WINDTUNNEL_", "AZURE_"))}
        self.environment = {**kept, "HOME": str(state.parent), "WINDTUNNEL_STATE_DIR": str(state), **settings}

    def run(self, *arguments: str, code: int = 0, stdin: bytes = b"") -> tuple[str, str]:
        """Stdout and stderr."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "environ", self.environment)
            patch.chdir(self.state.parent)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                ended = main(arguments)
        assert ended == code, err.getvalue()
        return out.getvalue(), err.getvalue()

    def json(self, *arguments: str, stdin: bytes = b"") -> Any:
        """What a command says to programs."""
        return json.loads(self.run(*arguments, "-o", "json", stdin=stdin)[0])
