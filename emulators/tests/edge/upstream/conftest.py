"""A real hub behind real TLS on loopback, and what an edge device has to reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_cloud import Cloud, Edge, Tls, make_tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def cloud(tmp_path: Path, tls: Tls) -> AsyncIterator[Cloud]:
    made = Cloud(folder=tmp_path / "hub", tls=tls)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def edge(cloud: Cloud, tmp_path: Path) -> AsyncIterator[Edge]:
    made = Edge(cloud, tmp_path / "edge")
    yield made
    await made.stop()
