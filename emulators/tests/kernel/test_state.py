"""The state folder: one owner, credentials made once, a ready file that is whole, nothing kept that is not to be."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.state import AlreadyRunning, Endpoints, Ready, State, StateProblem, default_folder

if TYPE_CHECKING:
    from pathlib import Path

READY = Ready(
    pid=1,
    version="1",
    endpoints=Endpoints(resource_manager="r", authority="a", control="c", managed_identity="m"),
    environment={"A": "b"},
)


def test_credentials_are_made_once_and_are_for_the_owner_alone(tmp_path: Path) -> None:
    state = State(tmp_path / "new" / "state", ephemeral=False)
    made = state.credentials()
    assert len(made.client_secret) >= 40
    assert made.client_secret not in repr(made)
    assert stat.S_IMODE((state.folder / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700
    state.close()
    again = State(tmp_path / "new" / "state", ephemeral=False)
    assert again.credentials() == made
    again.close()


@pytest.mark.parametrize(("name", "mode"), [("emulators.log", 0o700), ("thesis.tex", 0o755)])
def test_a_folder_made_for_us_is_closed_to_others_and_no_other(tmp_path: Path, name: str, mode: int) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / name).touch()
    State(folder, ephemeral=False).close()
    assert stat.S_IMODE(folder.stat().st_mode) == mode


def test_damaged_credentials_are_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text('{"tenant": ')
    state = State(tmp_path, ephemeral=False)
    with pytest.raises(StateProblem, match=r"credentials\.json is damaged"):
        state.credentials()
    state.close()
    assert (tmp_path / "credentials.json").read_text() == '{"tenant": '


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    state = State(tmp_path, ephemeral=False)
    with pytest.raises(AlreadyRunning, match=rf"on the state folder {tmp_path}, as process \d+; stop them first"):
        State(tmp_path, ephemeral=True)
    state.close()
    State(tmp_path, ephemeral=False).close()


def test_a_folder_that_cannot_be_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateProblem, match=r"the state folder .*file/state cannot be used: "):
        State(tmp_path / "file" / "state", ephemeral=False)


def test_the_ready_file_is_there_while_the_state_is_held(tmp_path: Path) -> None:
    state = State(tmp_path / "state", ephemeral=False)
    state.announce(READY, tmp_path / "also.json")
    for file in (tmp_path / "state" / "ready.json", tmp_path / "also.json"):
        assert json.loads(file.read_text()) == {
            "pid": 1,
            "version": "1",
            "endpoints": {"resourceManager": "r", "authority": "a", "control": "c", "managedIdentity": "m"},
            "environment": {"A": "b"},
        }
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    state.close()
    assert not (tmp_path / "also.json").exists()
    assert not (tmp_path / "state" / "ready.json").exists()


def test_a_ready_file_that_a_killed_process_left_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text("old")
    state = State(tmp_path, ephemeral=False)
    assert not (tmp_path / "ready.json").exists()
    state.close()


def test_a_ready_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    state = State(tmp_path, ephemeral=False)
    with pytest.raises(StateProblem, match=r"the ready file .*nowhere/ready\.json cannot be written"):
        state.announce(READY, tmp_path / "nowhere" / "ready.json")
    state.close()


def test_an_ephemeral_state_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "ephemeral").mkdir()
    (tmp_path / "ephemeral" / "left").write_text("by one that was killed")
    state = State(tmp_path, ephemeral=True)
    assert state.store_file is None
    assert list(state.parts.iterdir()) == []
    state.credentials()
    state.close()
    assert {file.name for file in tmp_path.iterdir()} == {"lock"}


def test_an_ephemeral_state_without_a_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    state = State(None, ephemeral=True)
    assert state.folder.parent == tmp_path
    assert state.parts.is_dir()
    state.close()
    assert list(tmp_path.iterdir()) == []


def test_the_default_folder_is_what_the_environment_says(tmp_path: Path) -> None:
    home, xdg = str(tmp_path), str(tmp_path / "xdg")
    assert default_folder({"HOME": home}) == tmp_path / ".local" / "state" / "windtunnel"
    assert default_folder({"HOME": home, "XDG_STATE_HOME": xdg}) == tmp_path / "xdg" / "windtunnel"
    assert default_folder({"HOME": home, "WINDTUNNEL_STATE_DIR": str(tmp_path / "w")}) == tmp_path / "w"
