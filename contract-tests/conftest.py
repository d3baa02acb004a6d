"""This project's own run of the contract: emulators of its own, unless WINDTUNNEL_STATE_DIR names others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from windtunnel.emulated import Emulators

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["windtunnel_contracts.plugin"]


@pytest.fixture(scope="session", autouse=True)
def emulators_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder for them; they are started when a test first connects, and stopped at the end."""
    if "WINDTUNNEL_STATE_DIR" in os.environ:
        yield
        return
    state = tmp_path_factory.mktemp("emulators")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WINDTUNNEL_STATE_DIR", str(state))
        patch.setenv("WINDTUNNEL_DATA_DIR", str(state / "client"))
        patch.setenv("WINDTUNNEL_PORT", "0")
        yield
        Emulators(state).stop()
