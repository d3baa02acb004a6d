"""Informers: what they know, when watches break, versions expire, and their owner writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.kubernetes.client.informer import Informer
from windtunnel_emulators.kubernetes.client.interface import StatusError, Unreachable, WatchEvent
from windtunnel_emulators.kubernetes.client.kinds import CONFIG_MAP
from windtunnel_emulators.kubernetes.client.meta import labels_of, name_of
from windtunnel_emulators.kubernetes.client.shared import SharedObjects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from windtunnel_emulators.jsontypes import JsonObject


def thing(name: str, version: int, uid: str = "", **labels: str) -> JsonObject:
    metadata: JsonObject = {
        "name": name,
        "namespace": "n",
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "labels": dict(labels),
    }
    return {"metadata": metadata}


class Api:
    """An API whose lists and watches a test says."""

    def __init__(self) -> None:
        self.items: list[JsonObject] = []
        self.version = 1
        self.failure: Exception | None = None
        self.lists = 0
        self.watches: list[str] = []
        self.events: asyncio.Queue[WatchEvent | Exception | None] = asyncio.Queue()
        self.written: JsonObject | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "",
    ) -> Any:
        if method == "GET":
            self.lists += 1
            if self.failure is not None:
                raise self.failure
            return {"metadata": {"resourceVersion": str(self.version)}, "items": list(self.items)}
        return self.written

    async def watch(self, path: str, *, query: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        assert query is not None
        self.watches.append(query["resourceVersion"])
        while (event := await self.events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def close(self) -> None: ...

    async def say(self, type_: str, obj: JsonObject) -> None:
        self.events.put_nowait(WatchEvent(type=type_, object=obj))
        await settled()


async def settled() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def informer(api: Api, clock: ManualClock) -> AsyncIterator[Informer]:
    api.items = [thing("a", 1, app="x"), thing("b", 1, app="y")]
    made = Informer(api, CONFIG_MAP, clock, indexers={"app": lambda obj: [labels_of(obj).get("app", "")]})
    await made.start()
    await asyncio.wait_for(made.synced.wait(), 5)
    yield made
    await made.stop()


def names(informer: Informer) -> list[str]:
    return sorted(name_of(each) for each in informer.objects())


async def test_it_knows_the_list_and_what_the_watch_says(informer: Informer, api: Api) -> None:
    assert names(informer) == ["a", "b"]
    assert informer.get("n", "a")["kind"] == "ConfigMap"  # type: ignore[index]
    await api.say("ADDED", thing("c", 2, app="x"))
    await api.say("MODIFIED", thing("b", 3, app="x"))
    assert sorted(name_of(each) for each in informer.by_index("app", "x")) == ["a", "b", "c"]
    assert informer.by_index("app", "y") == []
    await api.say("DELETED", thing("a", 4))
    assert names(informer) == ["b", "c"]
    assert [name_of(each) for each in informer.objects("other")] == []


async def test_handlers_hear_of_each_change_once(informer: Informer, api: Api) -> None:
    heard: list[tuple[str | None, str | None]] = []

    def version(obj: JsonObject | None) -> str | None:
        return None if obj is None else str(obj["metadata"]["resourceVersion"])  # type: ignore[index,call-overload]

    informer.add_handler(lambda old, new: heard.append((version(old), version(new))))
    assert heard == [(None, "1"), (None, "1")]
    heard.clear()
    await api.say("MODIFIED", thing("a", 2))
    await api.say("MODIFIED", thing("a", 2))
    await api.say("DELETED", thing("a", 3))
    assert heard == [("1", "2"), ("2", None)]


async def test_a_handler_that_fails_does_not_keep_others_from_the_news(
    informer: Informer, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def broken(old: JsonObject | None, new: JsonObject | None) -> None:
        raise ValueError("broken")

    informer.add_handler(lambda old, new: broken(old, new) if old else None)
    informer.add_handler(lambda old, new: heard.append("x"))
    heard.clear()
    await api.say("MODIFIED", thing("a", 2))
    assert heard == ["x"]
    assert "a handler of configmaps failed" in caplog.text


async def test_a_watch_that_ends_goes_on_from_its_last_version(informer: Informer, api: Api) -> None:
    await api.say("ADDED", thing("c", 7))
    await api.say("BOOKMARK", thing("", 9))
    api.events.put_nowait(None)
    await settled()
    assert api.watches == ["1", "9"]
    assert api.lists == 1


async def test_a_version_that_expired_leads_to_a_new_list_and_its_differences(informer: Informer, api: Api) -> None:
    gone: list[str] = []
    informer.add_handler(lambda old, new: gone.append(name_of(old)) if old is not None and new is None else None)
    api.items, api.version = [thing("b", 1), thing("d", 12)], 12
    api.events.put_nowait(StatusError({"code": 410, "reason": "Expired"}))
    await settled()
    assert names(informer) == ["b", "d"]
    assert gone == ["a"]
    assert api.watches == ["1", "12"]


async def test_it_keeps_what_it_knows_while_nobody_answers_and_waits_longer_each_time(
    informer: Informer, api: Api, clock: ManualClock
) -> None:
    for wait in (0.1, 0.2, 0.4):
        before = len(api.watches)
        api.events.put_nowait(Unreachable("down"))
        await settled()
        assert len(api.watches) == before
        await clock.advance(wait + 0.001)
        assert len(api.watches) == before + 1
    assert names(informer) == ["a", "b"]


async def test_the_first_list_is_tried_until_it_succeeds(api: Api, clock: ManualClock) -> None:
    api.failure = Unreachable("down")
    informer = Informer(api, CONFIG_MAP, clock)
    await informer.start()
    await settled()
    assert not informer.synced.is_set()
    api.failure = None
    await clock.advance(1)
    assert informer.synced.is_set()
    await informer.stop()


async def test_what_its_owner_wrote_is_known_at_once_and_older_news_is_passed_over(
    informer: Informer, api: Api
) -> None:
    informer.observe(thing("a", 5, app="z"))
    assert [name_of(each) for each in informer.by_index("app", "z")] == ["a"]
    await api.say("MODIFIED", thing("a", 3, app="old"))
    assert [name_of(each) for each in informer.by_index("app", "z")] == ["a"]


async def test_what_is_gone_does_not_come_back_by_a_late_answer(informer: Informer, api: Api) -> None:
    await api.say("DELETED", thing("a", 6))
    informer.observe(thing("a", 5))
    assert names(informer) == ["b"]
    informer.forget(thing("b", 1))
    await api.say("MODIFIED", thing("b", 7))
    assert names(informer) == []
    await api.say("DELETED", thing("b", 8))
    await api.say("ADDED", thing("b", 9, uid="another"))
    assert names(informer) == ["b"]


async def test_writes_of_shared_objects_go_through_to_the_cache(api: Api, clock: ManualClock) -> None:
    objects = SharedObjects(api, clock)
    informer = objects.informer(CONFIG_MAP)
    await objects.start()
    api.written = thing("new", 4)
    await objects.create(CONFIG_MAP, {"metadata": {"name": "new", "namespace": "n"}})
    assert names(informer) == ["new"]
    api.written = {"kind": "Status", "status": "Success"}
    await objects.delete(CONFIG_MAP, "n", "new")
    assert names(informer) == []
    await objects.stop()
