"""Whole clusters in this process, on an engine by parameter: embedded, and binaries where ``KUBEBUILDER_ASSETS`` is."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from whole_clusters import ASSETS, Machine
from windtunnel_emulators.kubernetes.certificates import ClusterAuthority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["embedded", pytest.param("binaries", marks=pytest.mark.kubernetes)])
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    kind: str = request.param
    if kind == "binaries" and not os.environ.get(ASSETS):
        why = f"{ASSETS} names no folder with kube-apiserver and etcd"
        if os.environ.get("WINDTUNNEL_CI"):
            pytest.fail(why)
        pytest.skip(why)
    made = Machine(folder=tmp_path, kind=kind)
    async with AsyncExitStack() as stack:
        await made.start()
        stack.push_async_callback(lambda: made.stack.aclose())
        yield made


@pytest.fixture
def authority(tmp_path: Path) -> ClusterAuthority:
    return ClusterAuthority.create(
        tmp_path / "keys.json", now=datetime.now(UTC), names=("a.example",), addresses=("10.0.0.1",)
    )
