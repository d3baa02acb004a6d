"""An agent on a folder of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edge_agents import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def inline(call: Callable[..., Any], *arguments: Any) -> Any:
    """Instead of ``asyncio.to_thread``: a manual clock does not wait for threads."""
    return call(*arguments)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(asyncio, "to_thread", inline)
    made = Bench(tmp_path)
    made.start()
    yield made
    await made.stop()
