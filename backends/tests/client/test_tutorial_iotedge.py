"""docs/tutorial-iot-edge.md: every block of commands is run as it is printed, in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "tutorial-iot-edge.md"


def commands() -> list[str]:
    """The blocks that are marked as a shell's."""
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_tutorial_runs_as_printed(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in (("windtunnel", " -m windtunnel"), ("python3", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
        program.chmod(0o755)
    # A folder with the clone's contents, so that what the page writes is not written into the clone.
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "contract-tests").symlink_to(ROOT / "contract-tests")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WINDTUNNEL_", "AZURE_"))}
    environment = {
        **kept,
        "PATH": f"{programs}{os.pathsep}{kept['PATH']}",
        "HOME": str(tmp_path),
        "WINDTUNNEL_STATE_DIR": str(tmp_path / "state"),
        "WINDTUNNEL_PORT": "0",
        "COLUMNS": "500",
    }
    blocks = commands()
    script = "set -euo pipefail\n" + "".join(f"echo '=== {n}'\n{block}" for n, block in enumerate(blocks))
    try:
        done = subprocess.run(
            ["bash", "-c", script], env=environment, cwd=clone, capture_output=True, text=True, timeout=240, check=False
        )
    finally:
        subprocess.run([programs / "windtunnel", "down"], env=environment, cwd=clone, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said = re.split(r"^=== \d+\n", done.stdout, flags=re.MULTILINE)[1:]
    assert len(said) == len(blocks) == 7
    up, deployed, monitored, scored, cut, set_modules, down = said
    assert "running" in up
    assert re.search(r"^state +Healthy$", deployed, re.MULTILINE)
    assert monitored.count("factory/machinelearningmodule AzureMLResponse=OK") == 40
    assert '"anomaly": false' in monitored
    assert '"anomaly": true' in monitored
    assert r"\"anomaly\": true" in scored
    assert re.search(r"^link +cut$", cut, re.MULTILINE)
    assert "tempSensor: running" in cut
    assert cut.count("AzureMLResponse=OK") == 60
    assert set_modules.count("factory/tempSensor") == 2
    assert '"humidity"' in set_modules
    assert "edgeHub: running" in down
    assert "tempSensor" not in down
