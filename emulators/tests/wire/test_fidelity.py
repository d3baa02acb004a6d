"""The document of how close the answers are: it says what the data files say that the tests hold to be exact."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "fidelity.md"


def test_the_document_is_what_its_command_prints() -> None:
    command = [sys.executable, str(Path(__file__).with_name("fidelity.py"))]
    printed = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()
    assert DOCUMENT.read_text("utf-8") == printed
