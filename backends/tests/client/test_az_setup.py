"""``windtunnel az``: how the real program is set up, seen from a program in its place."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from windtunnel.az import find_az, run_az
from windtunnel.emulated import Ready
from windtunnel.errors import NotFound, WindtunnelError

if TYPE_CHECKING:
    from pathlib import Path

# Writes what it was called with; `login` leaves a profile as az does, `fail` fails, `cloud` fails when told to.
STAND_IN = """#!/bin/sh
echo "$AZURE_CONFIG_DIR|$AZURE_CORE_INSTANCE_DISCOVERY|$REQUESTS_CA_BUNDLE|$HTTPS_PROXY|$*" >> "$WT_CALLS"
case "$1" in
  login) echo '{"subscriptions": [{"id": "x"}]}' > "$AZURE_CONFIG_DIR/azureProfile.json" ;;
  fail) exit 3 ;;
esac
[ -z "$WT_BROKEN" ] || { echo broken >&2; exit 1; }
"""
READY = Ready(
    pid=1,
    version="0",
    endpoints={"resourceManager": "https://localhost:4580"},
    environment={
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": "client",
        "AZURE_CLIENT_SECRET": "very-secret",
        "REQUESTS_CA_BUNDLE": "/ca.pem",
        "ARM_CLOUD_METADATA_URL": "https://localhost:4580/metadata",
    },
)


class Az:
    """The stand-in, what it was called with, and what was said to the user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "bin" / "az"
        program.parent.mkdir()
        program.write_text(STAND_IN, "utf-8")
        program.chmod(0o755)
        self.environment = {
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "WT_CALLS": str(folder / "calls"),
            "HTTPS_PROXY": "http://proxy:1",
        }
        self.notes: list[str] = []

    def run(self, *arguments: str, ready: Ready = READY) -> int:
        return run_az(list(arguments), ready, self.folder / "state", self.environment, self.notes.append)

    @property
    def calls(self) -> list[str]:
        return [line.rpartition("|")[2] for line in (self.folder / "calls").read_text("utf-8").splitlines()]


@pytest.fixture
def az(tmp_path: Path) -> Az:
    return Az(tmp_path)


def test_the_first_use_sets_up_and_logs_in_once(az: Az) -> None:
    assert az.run("group", "list") == 0
    assert az.run("group", "list") == 0
    assert az.calls == [
        "cloud register -n Windtunnel --endpoint-resource-manager https://localhost:4580/",
        "cloud set -n Windtunnel",
        "login --service-principal --username client --password very-secret --tenant tenant",
        "group list",
        "group list",
    ]
    assert not [note for note in az.notes if "very-secret" in note]


def test_whoever_logs_in_is_not_logged_in_before(az: Az) -> None:
    az.run("login", "--service-principal", "-u", "x", "-p", "y", "--tenant", "z")
    assert az.calls[2:] == ["login --service-principal -u x -p y --tenant z"]


def test_it_has_a_folder_of_its_own_and_no_proxy(az: Az) -> None:
    az.run("version")
    for line in (az.folder / "calls").read_text("utf-8").splitlines():
        folder, discovery, bundle, proxy, _ = line.split("|")
        assert folder == str(az.folder / "state" / "azure")
        assert (discovery, bundle, proxy) == ("false", "/ca.pem", "")


def test_other_emulators_are_set_up_anew(az: Az) -> None:
    az.run("group", "list")
    other = Ready(
        pid=1, version="0", endpoints={"resourceManager": "https://localhost:1"}, environment=READY.environment
    )
    az.run("group", "list", ready=other)
    assert [c for c in az.calls if c.startswith("cloud register")][1].endswith("https://localhost:1/")
    assert len([c for c in az.calls if c.startswith("login")]) == 2


def test_the_exit_code_is_azs(az: Az) -> None:
    assert az.run("fail") == 3


def test_a_set_up_that_fails_says_what_az_said_and_is_tried_again(az: Az) -> None:
    az.environment["WT_BROKEN"] = "1"
    with pytest.raises(WindtunnelError, match="`az cloud` ended with exit code 1: broken"):
        az.run("group", "list")
    del az.environment["WT_BROKEN"]
    assert az.run("group", "list") == 0
    assert len([c for c in az.calls if c.startswith("cloud register")]) == 2


def test_a_program_that_is_not_there_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no `az` on the PATH") as missing:
        find_az({"PATH": str(tmp_path)})
    assert "WINDTUNNEL_AZ" in (missing.value.way_out or "")
    with pytest.raises(NotFound, match=r"WINDTUNNEL_AZ is '/nowhere/az'"):
        find_az({"PATH": str(tmp_path), "WINDTUNNEL_AZ": "/nowhere/az"})


def test_the_named_program_is_used(az: Az) -> None:
    named = az.folder / "other-az"
    named.write_text(STAND_IN, "utf-8")
    named.chmod(0o755)
    assert find_az({**az.environment, "WINDTUNNEL_AZ": str(named)}) == str(named)
    assert json.dumps(find_az(az.environment)).endswith('/bin/az"')
