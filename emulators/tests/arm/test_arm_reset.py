"""Starting over: every provider lets go of what it had, and nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.reset import reset
from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    import pytest

    from tests.arm.conftest import Door, Open

THINGS = "/resourceGroups/g/providers/Fake.Things/things"
TABLES = ("groups", "resources", "operations", "subscription_tags", "tag_names", "unregistered")


def rows(door: Door) -> int:
    return sum(len(door.kernel.store.rows(f"SELECT * FROM {table}")) for table in TABLES)


async def test_everything_is_freed_and_forgotten(door: Door) -> None:
    await door.group("other")
    await door.thing("held", held=True)
    await door.call("PUT", f"{THINGS}/held/parts/part", {"properties": {"held": True}})
    await door.thing("plain", "other")
    await door.core("PUT", "/providers/Microsoft.Resources/tags/default", {"properties": {"tags": {"a": "b"}}})
    await door.core("PUT", "/tagNames/n")
    await reset(door.kernel)
    assert door.service.ran == ["free part", "free held"]
    assert rows(door) == 0
    assert (await door.core("GET", "/resourceGroups")).body == {"value": []}
    await door.group()
    assert (await door.thing()).status == 201


async def test_work_in_progress_is_cancelled(door: Door) -> None:
    await door.thing("busy", work="run", held=True)
    await door.service.begun.wait()
    await reset(door.kernel)
    assert "busy" in door.service.cancelled
    assert door.service.ran[-1] == "free busy"
    assert rows(door) == 0


async def test_azures_waits_are_not_waited_for(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {"Fake.Things/things": {"run": 600.0}, "Microsoft.Resources/resourceGroups": {"delete": 600.0}}
    monkeypatch.setattr("windtunnel_emulators.clock._measured", lambda: measured)
    store, clock = Store(None), ManualClock()
    async with opened(store, pace="azure", clock=clock) as door:
        await door.group()
        await door.group("going")
        await door.thing("held", "going", held=True)
        await door.core("DELETE", "/resourceGroups/going")
        await door.thing("waiting", work="run")
        await reset(door.kernel)
        assert door.service.ran == ["free held"]
        assert rows(door) == 0
        assert clock.monotonic() == 0
    store.close()
