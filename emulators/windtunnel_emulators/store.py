"""The one store: a SQLite file that loses nothing it has acknowledged, or memory for ``--ephemeral``.

StoreProblem
+-- StoreLocked      another process has the file
+-- StoreTooNew      the file was written by a newer release
+-- StoreUnreadable  the file is no database of ours, or is damaged

Rules: written only on the event loop's thread; nothing is awaited inside a transaction; each component owns its tables
and defines them by a list of migrations that only ever grows.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")
SqlValue: TypeAlias = "str | int | float | bytes | None"

_MOST_REMEMBERED = 1024
_VERSIONS = "schema_versions"


class StoreProblem(Exception):
    """The state cannot be opened; the message is a sentence for the user."""


class StoreLocked(StoreProblem):
    """Another process has the file open."""


class StoreTooNew(StoreProblem):
    """A newer release has written the file."""


class StoreUnreadable(StoreProblem):
    """The file is damaged, or something else than a store."""


def _keep_private(path: Path) -> None:
    """Make the file, if it is not there, for its owner alone: keys and secure values are in it. SQLite gives the files
    that it makes beside it the same mode. Raises ``StoreUnreadable``."""
    try:
        # One that is there is not opened: closing it would give up the locks that this process may have on it.
        if path.exists():
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
        else:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as problem:
        raise StoreUnreadable(f"{path} cannot be opened: {problem.strerror or problem}") from problem


class Store:
    """Tables of all components. ``path`` None keeps them in memory."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file and take it for this process alone. Raises ``StoreProblem``."""
        self._path = path
        self._depth = 0
        if path is not None:
            _keep_private(path)
        try:
            # Autocommit (isolation_level None): transactions are begun by hand, so that they are immediate.
            # A lock is held for as long as its process lives, so waiting for one is of no use.
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path, timeout=0, isolation_level=None, cached_statements=256
            )
        except sqlite3.OperationalError as problem:
            raise StoreUnreadable(f"{path} cannot be opened: {problem}") from problem
        try:
            self._prepare()
        except sqlite3.DatabaseError as problem:
            self._connection.close()
            if problem.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreLocked(f"{path} is in use by another process") from problem
            raise StoreUnreadable(
                f"{path} is not a store of these emulators, or is damaged ({problem}); use another state folder"
            ) from problem

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")  # before WAL: the index is then kept in memory, not in a shared file
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        with self.transaction():
            run(f"CREATE TABLE IF NOT EXISTS {_VERSIONS} (component TEXT PRIMARY KEY, version INTEGER NOT NULL)")

    def define(self, component: str, migrations: Sequence[str]) -> None:
        """Bring a component's tables up to date. A migration is one or more SQL statements and never changes later.

        Raises ``StoreTooNew``, leaving everything as it was.
        """
        row = self.row(f"SELECT version FROM {_VERSIONS} WHERE component = ?", (component,))  # noqa: S608
        version = 0 if row is None else int(row[0] or 0)
        if version > len(migrations):
            raise StoreTooNew(
                f"{self._path} was written by a newer release ({component} is at version {version}, this release knows"
                f" {len(migrations)}); upgrade, or use another state folder"
            )
        if version == len(migrations):
            return
        with self.transaction():
            for migration in migrations[version:]:
                for statement in _statements(migration):
                    self._connection.execute(statement)
            self._connection.execute(
                f"INSERT OR REPLACE INTO {_VERSIONS} VALUES (?, ?)",  # noqa: S608
                (component, len(migrations)),
            )

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing. Inside another one, a failure undoes only the inner one's changes. Nothing may be awaited."""
        depth = self._depth
        self._connection.execute("BEGIN IMMEDIATE" if depth == 0 else f"SAVEPOINT s{depth}")
        self._depth = depth + 1
        try:
            yield
            self._depth = depth
            self._connection.execute("COMMIT" if depth == 0 else f"RELEASE s{depth}")
        except BaseException:
            self._depth = depth
            if self._connection.in_transaction:
                for statement in ("ROLLBACK",) if depth == 0 else (f"ROLLBACK TO s{depth}", f"RELEASE s{depth}"):
                    self._connection.execute(statement)
            raise

    def execute(self, sql: str, parameters: Sequence[SqlValue] = ()) -> int:
        """Run one statement, in a transaction of its own when none is open; returns the number of rows it changed."""
        return self._connection.execute(sql, parameters).rowcount

    def rows(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[tuple[SqlValue, ...]]:
        """All rows of a query."""
        return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[SqlValue] = ()) -> tuple[SqlValue, ...] | None:
        """The first row of a query; None when there is none."""
        found: tuple[SqlValue, ...] | None = self._connection.execute(sql, parameters).fetchone()
        return found

    @property
    def changes(self) -> int | None:
        """A number that grows with every row that is written; None inside a transaction, which may yet be undone."""
        return None if self._depth else self._connection.total_changes

    def clear(self) -> None:
        """Empty every component's tables, all or none."""
        names = self.rows(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> ? AND substr(name, 1, 7) <> 'sqlite_'",
            (_VERSIONS,),
        )
        with self.transaction():
            for (name,) in names:
                self._connection.execute(f'DELETE FROM "{name!s}"')  # noqa: S608

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        self._connection.close()


class Remembered(Generic[T]):
    """What was made of rows, until any row is written: for what is read far more often than anything changes."""

    def __init__(self, store: Store, read: Callable[[str], T | None]) -> None:
        self._store = store
        self._read = read
        self._found: dict[str, T | None] = {}
        self._changes: int | None = None

    def get(self, key: str) -> T | None:
        """What ``read`` makes of a key."""
        changes = self._store.changes
        if changes is None:
            return self._read(key)
        if changes != self._changes or len(self._found) >= _MOST_REMEMBERED:
            self._found.clear()
            self._changes = changes
        if key not in self._found:
            self._found[key] = self._read(key)
        return self._found[key]


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; ``executescript`` would commit the transaction around it."""
    pending = ""
    for piece in script.split(";"):
        pending += piece
        if pending.strip():
            if sqlite3.complete_statement(pending + ";"):
                yield pending
                pending = ""
            else:
                pending += ";"
    if pending.strip():
        yield pending
