"""A hub without sockets or TLS, and devices that speak MQTT to it through transports in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iot_place import Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(folder=tmp_path)
    yield made
    await made.stop()
