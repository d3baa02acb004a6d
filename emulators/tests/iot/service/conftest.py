"""The service API of a hub, and a client of it that may do everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iot_api import Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from iot_place import Place


@pytest.fixture
async def api(place: Place) -> AsyncIterator[Api]:
    made = Api(place)
    async with made.client:
        yield made
