"""What an agent keeps on disk: the last good deployment, encrypted, and a record of each module."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.edge.agent.backup import Backup
from windtunnel_emulators.edge.agent.records import Record, Records

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject

DESIRED: JsonObject = {"runtime": {"password": "very secret"}, "$version": 7}


def test_a_deployment_is_kept_and_cannot_be_read_without_its_key(tmp_path: Path) -> None:
    assert Backup(tmp_path).load() is None
    Backup(tmp_path).save(DESIRED)
    assert Backup(tmp_path).load() == DESIRED
    for name in ("backup.json", "backup.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        assert b"secret" not in (tmp_path / name).read_bytes()


def test_the_same_deployment_is_not_written_again(tmp_path: Path) -> None:
    backup = Backup(tmp_path)
    backup.save(DESIRED)
    before = (tmp_path / "backup.json").stat().st_mtime_ns
    backup.save(dict(DESIRED))
    again = Backup(tmp_path)
    again.load()
    again.save(DESIRED)
    assert (tmp_path / "backup.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["backup.json", "backup.key"])
def test_what_is_damaged_is_none_and_said(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    Backup(tmp_path).save(DESIRED)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    assert Backup(tmp_path).load() is None
    assert "cannot be read" in caplog.text


def test_records_outlive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "modules.json"
    records = Records(file)
    records.put("a", Record(made_of="1", restarts=3, ended="failed", exit_code=2, exited=5.5))
    records.put("b", Record(made_of="2"))
    records.remove("b")
    records.remove("b")
    again = Records(file)
    assert again.names() == ["a"]
    assert again.get("a") == records.get("a")


def test_damaged_records_begin_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "modules.json"
    file.write_bytes(b'{"a":')
    file.chmod(0o600)
    assert Records(file).names() == []
    assert "damaged" in caplog.text
