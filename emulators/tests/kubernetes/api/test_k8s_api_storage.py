"""Storage: versions only grow, whatever is acknowledged stays, and the history gives every watch the same end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.api.selection import Selection
from windtunnel_emulators.kubernetes.api.storage import Changed, Event, Storage, Stored, Taken, TooOld
from windtunnel_emulators.kubernetes.api.watching import Bookmark, Line, Watch
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject

RESOURCE = "configmaps"
NAMES = ("a", "b", "c")


def body(name: str, label: str = "") -> JsonObject:
    labels: JsonObject = {"on": label} if label else {}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "n", "labels": labels}}


def is_on(whole: JsonObject) -> bool:
    metadata = whole["metadata"]
    assert isinstance(metadata, dict)
    return metadata["labels"] == {"on": "yes"}


async def test_versions_never_go_back_when_a_store_is_opened_again(tmp_path: Path) -> None:
    highest = 0
    for _ in range(3):
        store = Store(tmp_path / "s")
        storage = Storage(store, "c")
        assert storage.version >= highest
        stored = await storage.create(RESOURCE, ("n", f"x{highest}"), body("x"))
        removed = await storage.remove(RESOURCE, stored)
        assert highest < stored.version < removed.version
        highest = removed.version
        store.close()


async def test_objects_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    written = await Storage(store, "c").create(RESOURCE, ("n", "x"), body("x", "yes"))
    store.close()
    again = Store(tmp_path / "s")
    assert Storage(again, "c").table(RESOURCE).objects == {("n", "x"): written}
    assert Storage(again, "other").table(RESOURCE).objects == {}
    again.close()


async def test_writes_of_one_turn_are_one_transaction() -> None:
    store = Store(None)
    storage = Storage(store, "c")
    await storage.create(RESOURCE, ("n", "first"), body("first"))
    begun: list[int] = []
    write = storage._write  # pyright: ignore[reportPrivateUsage]  # counted, not changed

    def counted(pending: Sequence[tuple[str, Event]]) -> None:
        begun.append(len(pending))
        write(pending)

    storage._write = counted  # type: ignore[method-assign]  # pyright: ignore[reportPrivateUsage]
    await asyncio.gather(*(storage.create(RESOURCE, ("n", name), body(name)) for name in NAMES))
    assert begun == [3]


async def test_a_write_that_is_not_committed_is_undone_and_its_writer_is_told() -> None:
    store = Store(None)
    storage = Storage(store, "c")
    stored = await storage.create(RESOURCE, ("n", "a"), body("a"))
    seen: list[object] = []
    storage.listen(RESOURCE, seen.append)
    store.execute("ALTER TABLE kubernetes_objects RENAME TO away")
    changed = storage.replace(RESOURCE, stored, body("a", "yes"))
    made = storage.create(RESOURCE, ("n", "b"), body("b"))
    results = await asyncio.gather(changed, made, return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)
    assert storage.table(RESOURCE).objects == {("n", "a"): stored}
    assert seen == []
    store.execute("ALTER TABLE away RENAME TO kubernetes_objects")
    assert (await storage.create(RESOURCE, ("n", "b"), body("b"))).version > stored.version


async def test_a_stale_write_is_refused() -> None:
    storage = Storage(Store(None), "c")
    first = await storage.create(RESOURCE, ("n", "a"), body("a"))
    await storage.replace(RESOURCE, first, body("a", "yes"))
    with pytest.raises(Changed):
        await storage.replace(RESOURCE, first, body("a"))
    with pytest.raises(Changed):
        await storage.remove(RESOURCE, first)
    with pytest.raises(Taken):
        await storage.create(RESOURCE, ("n", "a"), body("a"))


Step = tuple[str, str, str]
steps = st.lists(
    st.tuples(st.sampled_from(("write", "remove")), st.sampled_from(NAMES), st.sampled_from(("yes", "no"))), max_size=40
)


async def write(storage: Storage, step: Step) -> None:
    what, name, label = step
    current = storage.table(RESOURCE).objects.get(("n", name))
    if what == "remove":
        if current is not None:
            await storage.remove(RESOURCE, current)
    elif current is None:
        await storage.create(RESOURCE, ("n", name), body(name, label))
    else:
        await storage.replace(RESOURCE, current, body(name, label))


async def follow(watch: Watch, state: dict[str, Stored]) -> None:
    """Apply what has come; every event has to fit the state that the events before it made."""
    watch.bookmarks = True
    watch.stop()
    last = 0
    while (items := await watch.next()) is not None:
        for item in items:
            assert not isinstance(item, Bookmark)
            line: Line | None = watch.line(item)
            if line is None:
                continue
            name = line.stored.key[1]
            assert (name in state) == (line.type != "ADDED")
            assert line.stored.version > last or line.event is None
            last = max(last, line.stored.version)
            if line.type == "DELETED":
                del state[name]
            else:
                state[name] = line.stored


@settings(deadline=None, max_examples=150)
@given(before=steps, after=steps, together=st.booleans(), at=st.integers(0, 40))
def test_any_interleaving_gives_every_watch_the_state_that_a_list_has(
    before: list[Step], after: list[Step], together: bool, at: int
) -> None:
    async def run() -> None:
        storage = Storage(Store(None), "c")
        table = storage.table(RESOURCE)
        for step in before:
            await write(storage, step)
        selections = [
            Selection(),
            Selection(namespace="n", labels="on=yes", matches=is_on),
            Selection(namespace="elsewhere"),
        ]
        states: list[dict[str, Stored]] = []
        watches: list[Watch] = []
        for selection in selections:
            found = selection.choose(table.objects_in(None))
            states.append({stored.key[1]: stored for stored in found})
            watches.append(Watch(storage, RESOURCE, selection, bookmarks=False))
        listed_at = storage.version
        seen_then = [selection.choose(table.objects_in(None)) for selection in selections]
        if together:
            # All decided in one turn, committed at once.
            await asyncio.gather(*(write(storage, step) for step in after), return_exceptions=True)
        else:
            for step in after[:at]:
                await write(storage, step)
        for selection, watch, state in zip(selections, watches, states, strict=True):
            late = dict(state)
            resumed = Watch(storage, RESOURCE, selection, bookmarks=False)
            resumed.begin(list(table.since(listed_at)))
            await follow(watch, state)
            await follow(resumed, late)
            now = {stored.key[1]: stored for stored in selection.choose(table.objects_in(None))}
            assert state == now
            assert late == now
        assert [selection.choose(table.list_at(listed_at, None)) for selection in selections] == seen_then

    asyncio.run(run())


async def test_a_version_before_the_history_is_too_old() -> None:
    storage = Storage(Store(None), "c")
    table = storage.table(RESOURCE)
    current = await storage.create(RESOURCE, ("n", "a"), body("a"))
    first = current.version
    for turn in range(1030):
        current = await storage.replace(RESOURCE, current, body("a", str(turn)))
    with pytest.raises(TooOld) as problem:
        table.since(first)
    assert len(table.since(problem.value.oldest)) == 1024
    with pytest.raises(TooOld):
        table.list_at(first, None)


async def test_fifty_watches_of_one_form_make_each_event_once() -> None:
    storage = Storage(Store(None), "c")

    class Lines:
        key = "same"
        made = 0

        def event(self, type_: str, stored: Stored) -> bytes:
            self.made += 1
            return type_.encode()

        def bookmark(self, mark: Bookmark) -> bytes:
            return b""

    lines = Lines()
    watches = [Watch(storage, RESOURCE, Selection(namespace="n"), bookmarks=False) for _ in range(50)]
    await storage.create(RESOURCE, ("n", "a"), body("a"))
    for watch in watches:
        items = await watch.next()
        assert items is not None
        assert watch.encoded(items, lines) == [b"ADDED"]
    assert lines.made == 1


async def test_bookmarks_are_not_repeated_and_a_stopped_watch_sees_nothing_more() -> None:
    storage = Storage(Store(None), "c")
    watch = Watch(storage, RESOURCE, Selection(), bookmarks=True)
    watch.bookmark()
    watch.bookmark()
    items = await watch.next()
    assert items == [Bookmark(version=storage.version)]
    watch.stop()
    assert await watch.next() is None
    await storage.create(RESOURCE, ("n", "a"), body("a"))
    assert await watch.next() is None


PROGRAM = """
import asyncio, sys
from pathlib import Path
from windtunnel_emulators.kubernetes.api.storage import Storage
from windtunnel_emulators.store import Store

async def run():
    storage = Storage(Store(Path(sys.argv[1])), "c")
    number = 0
    while True:
        number += 1
        body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": f"x{number}"}}
        stored = await storage.create("configmaps", ("n", f"x{number}"), body)
        if number % 3 == 0:
            stored = await storage.remove("configmaps", stored)
        print(number, stored.version, flush=True)

asyncio.run(run())
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "s"
    command = [sys.executable, "-c", PROGRAM, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().split() for _ in range(50)]
        process.kill()
    store = Store(file)
    storage = Storage(store, "c")
    objects = storage.table(RESOURCE).objects
    for number, version in ((int(one), int(other)) for one, other in said):
        assert (("n", f"x{number}") in objects) == (number % 3 != 0)
        assert version < storage.version
    store.close()
