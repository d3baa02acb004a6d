"""Recordings of the real service, sent to the emulators again by the recordings' own ``replay`` tool.

``WINDTUNNEL_RECORDINGS`` is the folder of the recordings and of the tool. What differs must be what
``differences.toml`` lists: a new difference fails, and so does a listed one that no longer occurs, unless its answer
depends on the ``moment`` of the question.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.wire.conftest import Launch

Difference: TypeAlias = tuple[int, str]
"""Which interaction of a recording, and how its answer differs."""

FOLDER = os.environ.get("WINDTUNNEL_RECORDINGS")
SKIPPED = "WINDTUNNEL_RECORDINGS names no folder of recordings of the real service"
KINDS = (
    "container__*.json",
    "containerinstance_*.json",
    "acr__*.json",
    "containerregistry_*.json",
    "devices_*.json",
    "aks_*.json",
    "acs__*.json",
)
DATA = tomllib.loads(Path(__file__).with_name("differences.toml").read_text("utf-8"))
LISTED = DATA["difference"]
_DEADLINE_S = 120.0
_NOWHERE = "http://127.0.0.1:9"  # the port of "discard": nobody listens


class Result(msgspec.Struct):
    """What the tool found of one interaction."""

    interaction: int
    differences: list[str]


def recordings() -> Iterator[Path]:
    for kind in KINDS:
        yield from sorted(Path(FOLDER or "").glob(kind))


def parameters() -> list[object]:
    if FOLDER is None:
        return [pytest.param(None, marks=pytest.mark.skip(reason=SKIPPED), id="none")]
    return [pytest.param(path, id=path.stem) for path in recordings()]


def listed(recording: str, *, moment: bool) -> Counter[Difference]:
    """What ``differences.toml`` says of a recording: always, or at some moments."""
    return Counter(
        (interaction, difference)
        for entry in LISTED
        if entry["recording"] == recording and entry.get("moment", False) is moment
        for interaction in entry["interactions"]
        for difference in entry["differences"]
    )


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a recorded request refers to on the network is out of reach, here and everywhere."""
    for name in ("https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, _NOWHERE)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "localhost,127.0.0.1")


def replayed(recording: Path, ready: Path, out: Path) -> list[Result]:
    """What the tool found, interaction by interaction."""
    tool = [sys.executable, str(recording.with_name("replay")), str(ready), str(recording), "--values"]
    done = subprocess.run([*tool, "--out", str(out)], capture_output=True, text=True, check=False, timeout=_DEADLINE_S)
    assert done.returncode in (0, 1), done.stderr
    assert out.exists(), done.stderr
    return msgspec.json.decode(out.read_bytes(), type=list[Result])


@pytest.mark.parametrize("recording", parameters())
def test_azure_is_answered_for_as_recorded(recording: Path, launch: Launch, tmp_path: Path) -> None:
    with launch(tmp_path):
        results = replayed(recording, tmp_path / "state" / "ready.json", tmp_path / "results.json")
    assert len(results) == DATA["answers"][recording.stem]
    found: Counter[Difference] = Counter()
    for result in results:
        found.update((result.interaction, difference) for difference in result.differences)
    expected = listed(recording.stem, moment=False)
    assert sorted(found - expected - listed(recording.stem, moment=True)) == [], "these are not listed"
    assert sorted(expected - found) == [], "these are listed and do not occur any more"


def test_what_is_listed_is_about_a_recording_and_has_a_reason() -> None:
    if FOLDER is None:
        pytest.skip(SKIPPED)
    assert set(DATA["answers"]) == {path.stem for path in recordings()}
    assert {entry["recording"] for entry in LISTED} <= set(DATA["answers"])
    assert all(entry["reason"] and entry["interactions"] and entry["differences"] for entry in LISTED)
