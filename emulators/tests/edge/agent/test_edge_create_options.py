"""Docker's settings of a container: what is honoured, what is refused with its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.edge.agent.create_options import (
    BadOptions,
    CreateOptionsProblem,
    Published,
    Unsupported,
    parse,
)

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    ["Env", "Cmd", "Entrypoint", "WorkingDir", "ExposedPorts", "HostConfig", "Labels", "PortBindings", "Memory", "User"]
)


def test_what_is_honoured() -> None:
    found = parse(
        {
            "Env": ["A=1", "B=x=y", "C"],
            "Entrypoint": "/run",
            "Cmd": ["--fast", "1"],
            "WorkingDir": "/app",
            "ExposedPorts": {"80/tcp": {}},
            "Labels": {"any": "thing"},
            "HostConfig": {
                "PortBindings": {"5000/tcp": [{"HostPort": "8080"}, {"HostPort": 8081}]},
                "Memory": 100_000_000,
                "NanoCpus": 500_000_000,
                "LogConfig": {"Type": "json-file"},
                "Privileged": False,
            },
        }
    )
    assert found.environment == {"A": "1", "B": "x=y", "C": ""}
    assert (found.entrypoint, found.command, found.working_directory) == (("/run",), ("--fast", "1"), "/app")
    assert found.ports == (80, 5000)
    assert found.published == (Published(container=5000, host=8080), Published(container=5000, host=8081))
    assert (found.memory_bytes, found.cpu) == (100_000_000, 0.5)


REFUSED: list[tuple[JsonObject, type[Exception], str]] = [
    ({"User": "root"}, Unsupported, "createOptions.User"),
    ({"HostConfig": {"Binds": ["/a:/b"]}}, Unsupported, "createOptions.HostConfig.Binds"),
    ({"HostConfig": {"Privileged": True}}, Unsupported, "Privileged"),
    ({"HostConfig": {"PortBindings": {"53/udp": [{"HostPort": "53"}]}}}, Unsupported, "53/udp"),
    ({"HostConfig": {"PortBindings": {"80/tcp": [{}]}}}, Unsupported, "names no HostPort"),
    ({"ExposedPorts": {"http": {}}}, BadOptions, "'http' is no port"),
    ({"ExposedPorts": {"70000/tcp": {}}}, BadOptions, "'70000/tcp' is no port"),
    ({"Env": [1]}, BadOptions, "Env"),
    ({"Cmd": [{}]}, BadOptions, "Cmd"),
    ({"WorkingDir": "app"}, BadOptions, "WorkingDir"),
    ({"HostConfig": {"Memory": 1024}}, BadOptions, "Memory"),
    ({"HostConfig": {"NanoCpus": -1}}, BadOptions, "NanoCpus"),
]


@pytest.mark.parametrize(("options", "kind", "said"), REFUSED)
def test_what_is_refused_is_named(options: JsonObject, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said.replace(".", r"\.")):
        parse(options)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(st.dictionaries(keys, json, max_size=4))
def test_whatever_comes_is_read_or_refused(options: JsonObject) -> None:
    inside: JsonObject = {"HostConfig": options}
    for value in (options, inside):
        said = refusal(value)
        assert said is None or said.startswith("createOptions")


def refusal(options: JsonObject) -> str | None:
    try:
        parse(options)
    except CreateOptionsProblem as problem:
        return str(problem)
    return None
