"""The store against a dictionary, across transactions that fail and processes that end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from windtunnel_emulators.store import Remembered, Store, StoreLocked, StoreTooNew, StoreUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

TABLE = ("CREATE TABLE pairs (key TEXT PRIMARY KEY, value TEXT)",)


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store(None)
    made.define("pairs", TABLE)
    yield made
    made.close()


class Pairs(RuleBasedStateMachine):
    """Whatever is done to the store is done to a dictionary, and they agree."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.expected: dict[str, str] = {}
        self.before: list[dict[str, str]] = []
        """Of each open transaction: what was there when it began."""
        self.open: list[AbstractContextManager[None]] = []

    @initialize()
    def start(self) -> None:
        self._open()

    def _open(self) -> None:
        self.store = Store(Path(self.folder.name) / "state.db")
        self.store.define("pairs", TABLE)
        self.remembered = Remembered(self.store, self._read)

    def _read(self, key: str) -> str | None:
        row = self.store.row("SELECT value FROM pairs WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    @rule(key=st.sampled_from("abc"), value=st.text(max_size=3))
    def put(self, key: str, value: str) -> None:
        self.store.execute("INSERT OR REPLACE INTO pairs VALUES (?, ?)", (key, value))
        self.expected[key] = value

    @rule(key=st.sampled_from("abc"))
    def delete(self, key: str) -> None:
        assert self.store.execute("DELETE FROM pairs WHERE key = ?", (key,)) == (key in self.expected)
        self.expected.pop(key, None)

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.expected.clear()

    @precondition(lambda self: len(self.open) < 3)
    @rule()
    def begin(self) -> None:
        transaction = self.store.transaction()
        transaction.__enter__()
        self.open.append(transaction)
        self.before.append(dict(self.expected))

    @precondition(lambda self: self.open)
    @rule(fails=st.booleans())
    def end(self, fails: bool) -> None:
        if fails:
            self._undo()
        else:
            self.before.pop()
            self.open.pop().__exit__(None, None, None)

    def _undo(self) -> None:
        self.expected = self.before.pop()
        # False: the failure is not swallowed.
        assert self.open.pop().__exit__(ZeroDivisionError, ZeroDivisionError(), None) is False

    @rule()
    def reopen(self) -> None:
        self._close()
        self._open()

    def _close(self) -> None:
        while self.open:
            self._undo()
        self.store.close()

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "store"):
            rows = self.store.rows("SELECT key, value FROM pairs")
            assert {str(key): str(value) for key, value in rows} == self.expected
            assert {key: self.remembered.get(key) for key in "abc"} == {key: self.expected.get(key) for key in "abc"}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self._close()
        self.folder.cleanup()


TestPairs = Pairs.TestCase
TestPairs.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_a_second_process_cannot_open_the_file(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    store = Store(file)
    code = f"from pathlib import Path; from windtunnel_emulators.store import Store; Store(Path({str(file)!r}))"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"StoreLocked: {file} is in use by another process" in second.stderr
    store.close()
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_process_cannot_open_the_file_twice(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    with pytest.raises(StoreLocked):
        Store(tmp_path / "state.db")
    store.close()


def test_what_was_written_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    code = f"""
import sys
from pathlib import Path
from windtunnel_emulators.store import Store
store = Store(Path({str(file)!r}))
store.define("pairs", {TABLE!r})
for number in range(10_000):
    with store.transaction():
        store.execute("INSERT INTO pairs VALUES (?, ?)", (f"a{{number}}", "x"))
        store.execute("INSERT INTO pairs VALUES (?, ?)", (f"b{{number}}", "x"))
    print(number, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline() for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    store = Store(file)
    kept = {str(key) for (key,) in store.rows("SELECT key FROM pairs")}
    store.close()
    last = int(acknowledged[-1] if acknowledged[-1].endswith("\n") else acknowledged[-2])
    assert {f"{letter}{number}" for letter in "ab" for number in range(last + 1)} <= kept
    assert {key[1:] for key in kept if key[0] == "a"} == {key[1:] for key in kept if key[0] == "b"}


def test_migrations_run_once_and_in_order(tmp_path: Path) -> None:
    first = ("CREATE TABLE t (a TEXT DEFAULT 'x;y'); INSERT INTO t (a) VALUES ('1')",)
    store = Store(tmp_path / "state.db")
    store.define("t", first)
    store.define("t", first)
    store.close()
    store = Store(tmp_path / "state.db")
    store.define("t", (*first, "ALTER TABLE t ADD COLUMN b TEXT; UPDATE t SET b = a || '!'"))
    assert store.rows("SELECT a, b FROM t") == [("1", "1!")]
    store.close()


def test_a_migration_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError):
        store.define("half", ("CREATE TABLE half (a TEXT); CREATE TABLE pairs (a TEXT)",))
    with pytest.raises(sqlite3.OperationalError):
        store.rows("SELECT * FROM half")
    store.define("half", ("CREATE TABLE half (a TEXT)",))


def test_a_file_of_a_newer_release_is_refused_and_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.define("t", ("CREATE TABLE t (a TEXT)", "ALTER TABLE t ADD COLUMN b TEXT"))
    store.close()
    store = Store(tmp_path / "state.db")
    with pytest.raises(StoreTooNew, match=r"newer release \(t is at version 2, this release knows 1\)"):
        store.define("t", ("CREATE TABLE t (a TEXT)",))
    assert store.rows("SELECT a, b FROM t") == []
    store.close()


def test_a_file_that_is_no_database_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreUnreadable, match="is not a store of these emulators, or is damaged"):
        Store(tmp_path / "state.db")
    assert (tmp_path / "state.db").read_bytes().startswith(b"something else")


def test_a_folder_that_is_not_there_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreadable, match="cannot be opened"):
        Store(tmp_path / "nowhere" / "state.db")


def test_what_is_written_is_on_the_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    assert store.row("PRAGMA synchronous") == (2,)  # FULL
    assert store.row("PRAGMA journal_mode") == ("wal",)
    store.close()


def test_the_file_is_for_its_owner_alone_even_if_it_was_not(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for _ in range(2):
        store = Store(path)
        store.define("pairs", TABLE)
        store.execute("INSERT OR REPLACE INTO pairs VALUES ('a', 'b')")
        assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {
            "state.db": 0o600,
            "state.db-wal": 0o600,
        }
        store.close()
        path.chmod(0o644)


def test_a_file_that_cannot_be_made_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreadable, match=r"absent/state\.db cannot be opened: No such file or directory"):
        Store(tmp_path / "absent" / "state.db")
