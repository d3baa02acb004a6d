"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.files import read_secret, unwritable, write_atomically, write_secret

if TYPE_CHECKING:
    from pathlib import Path


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def refuse(_: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="disk is full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps access in lists, not in modes")
def test_a_secret_is_its_owners_alone_and_is_made_so_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_secret(path, b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o666)
    assert read_secret(path) == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_secret(tmp_path / "key") is None


def test_a_disk_that_takes_nothing_is_said_so(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None)
    connection.execute("CREATE TABLE t (c)")
    connection.execute("PRAGMA max_page_count = 3")
    with pytest.raises(sqlite3.OperationalError) as full:
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    connection.execute("PRAGMA query_only = 1")
    with pytest.raises(sqlite3.OperationalError) as closed:
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    assert "its disk is full" in (unwritable(full.value) or "")
    assert "read-only" in (unwritable(closed.value) or "")
    assert "its disk is full" in (unwritable(OSError(errno.ENOSPC, "x")) or "")
    for other in (OSError(errno.EACCES, "x"), OSError("x"), ValueError("x"), sqlite3.IntegrityError("x")):
        assert unwritable(other) is None
