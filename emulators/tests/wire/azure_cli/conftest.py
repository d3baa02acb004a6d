"""The unmodified Azure command line, run as users run it: ``windtunnel az -- ...``.

It comes from ``WINDTUNNEL_AZ`` or the path, in an environment of its own: its packages do not go with the SDKs'.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.wire.conftest import Launch

_DEADLINE_S = 120.0
_EVENT_S = 20.0
GROUP = "cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command wrote, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Az:
    """``az`` at emulators that run, with a home and a configuration of its own."""

    state: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> Said:
        """Run ``az ARGUMENTS`` to its end, whatever that is."""
        done = subprocess.run(
            self._command(arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE_S,
        )
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    def said(self, *arguments: str) -> str:
        """What a command that succeeds writes."""
        answer = self.run(*arguments)
        assert answer.code == 0, f"az {' '.join(arguments)}: {answer.code}: {answer.err}"
        return answer.out

    def json(self, *arguments: str) -> Any:
        """The answer of a command that succeeds."""
        return json.loads(self.said(*arguments, "--output", "json"))

    def refused(self, code: int, *arguments: str) -> str:
        """Why a command fails, which must be with that exit code and without a traceback."""
        answer = self.run(*arguments)
        assert answer.code == code, f"az {' '.join(arguments)}: {answer.code}: {answer.out} {answer.err}"
        assert "Traceback" not in answer.err
        return answer.err

    def typed(self, keys: str, *arguments: str) -> str:
        """What the command writes when these keys are pressed at its terminal once it has written something.

        It ends with success.
        """
        ours, theirs = pty.openpty()
        command = self._command(arguments)
        try:
            with subprocess.Popen(
                command, env=self.environment, stdin=theirs, stdout=subprocess.PIPE, bufsize=0
            ) as process:
                try:
                    assert process.stdout is not None
                    first = process.stdout.read(1)  # az forgets what was pressed before
                    os.write(ours, keys.encode())
                    rest, _ = process.communicate(timeout=_DEADLINE_S)
                finally:
                    process.kill()
        finally:
            os.close(ours)
            os.close(theirs)
        assert process.returncode == 0, first + rest
        return (first + rest).decode()

    def eventually(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + _EVENT_S
        while not holds():
            assert time.monotonic() < end, "it did not happen"

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "windtunnel", "az", "--state-dir", str(self.state), "--", *arguments]


@pytest.fixture(scope="session")
def program() -> str:
    """``az`` itself. Without it the tests are skipped, except in CI, where they fail."""
    named = os.environ.get("WINDTUNNEL_AZ")
    found = shutil.which(named or "az")
    if found is None:
        why = f"no az: WINDTUNNEL_AZ is {named!r}" if named else "no az: WINDTUNNEL_AZ is not set, none is on the path"
        if os.environ.get("WINDTUNNEL_CI"):
            pytest.fail(why)
        pytest.skip(why)
    return found


@pytest.fixture(scope="session")
def az(program: str, launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """Logged in, with a resource group."""
    folder = tmp_path_factory.mktemp("az")
    home = folder / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "WINDTUNNEL_AZ": program}
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AZURE_CONFIG_DIR", "WINDTUNNEL_STATE_DIR"):
        environment.pop(name, None)
    with launch(folder):
        made = Az(state=folder / "state", environment=environment)
        made.said("group", "create", "--name", GROUP, "--location", "westus")
        yield made


@pytest.fixture(scope="session")
def group() -> str:
    """The name of the resource group that the tests share."""
    return GROUP
