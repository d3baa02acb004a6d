"""A node's rules without a cluster: variables, room, phases, files that change together, logs that turn over."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.kubernetes.client.meta import condition, text
from windtunnel_emulators.kubernetes.node import atomic, rooms
from windtunnel_emulators.kubernetes.node.definition import reserved_cpu_m
from windtunnel_emulators.kubernetes.node.downward import resource_value
from windtunnel_emulators.kubernetes.node.environment import expand
from windtunnel_emulators.kubernetes.node.kubelet.logs import BadLogOptions, LogOptions, read
from windtunnel_emulators.kubernetes.node.status import Standing, known_status, pod_status
from windtunnel_emulators.kubernetes.node.words import duration
from windtunnel_emulators.runtime.logs import LogWriter
from windtunnel_emulators.runtime.status import ContainerState, ContainerStatus, GroupState, GroupStatus, Phase

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(A", "$(A"),
        ("$A", "$A"),
    ],
)
def test_variables_are_put_in_as_documented(template: str, expected: str) -> None:
    assert expand(template, {"A": "1"}) == expected


@given(st.text("$()AB x", max_size=30))
def test_any_template_can_be_expanded(template: str) -> None:
    assert "$(A)" in template or expand(template, {}).replace("$", "") == template.replace("$", "")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (0.34, "340ms"), (1.5, "1.5s")]
)
def test_durations_are_go_s(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_resources_are_rounded_up_in_their_divisor() -> None:
    container: JsonObject = {"resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}}}
    node: JsonObject = {"cpu": "4", "memory": "1Gi"}
    assert resource_value({}, container, {"resource": "limits.cpu"}, node) == "2"
    assert resource_value({}, container, {"resource": "limits.cpu", "divisor": "1m"}, node) == "1500"
    assert resource_value({}, {}, {"resource": "limits.memory", "divisor": "1Mi"}, node) == "1024"


def test_aks_reserves_by_cores() -> None:
    assert [reserved_cpu_m(cores) for cores in (1, 2, 4, 8, 64)] == [60, 100, 140, 180, 740]


def _asks(cpu: str, **spec: object) -> JsonObject:
    container: JsonObject = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    return {"spec": {"containers": [container], **spec}}  # type: ignore[dict-item]  # the test's own JSON


def test_a_node_has_room_for_what_is_left() -> None:
    allocatable: JsonObject = {"cpu": "2", "memory": "1Gi", "pods": "3"}
    assert rooms.refusal(_asks("500m"), [_asks("1500m")], allocatable) is None
    assert rooms.refusal(_asks("501m"), [_asks("1500m")], allocatable) == (
        "OutOfcpu",
        "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000",
    )
    full = rooms.refusal(_asks("1m"), [_asks("1m")] * 3, allocatable)
    assert full is not None
    assert full[0] == "OutOfpods"


def _pod(policy: str = "Always") -> JsonObject:
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "registry:5000/a/b:1"}]},
    }


def _ended(code: int) -> ContainerState:
    return ContainerState(phase=Phase.TERMINATED, reason="Error", exit_code=code, started=NOW, finished=NOW)


RUNS = ContainerState(phase=Phase.RUNNING, started=NOW)
WAITS = ContainerState(phase=Phase.WAITING, reason="CrashLoopBackOff", message="back-off")


@pytest.mark.parametrize(
    ("policy", "state", "previous", "ending", "phase"),
    [
        ("Always", RUNS, None, False, "Running"),
        ("Always", WAITS, _ended(1), False, "Running"),
        ("Always", ContainerState(phase=Phase.WAITING, reason="ErrImagePull"), None, False, "Pending"),
        ("Never", _ended(0), None, False, "Succeeded"),
        ("Never", _ended(1), None, False, "Failed"),
        ("OnFailure", _ended(1), None, False, "Running"),
        ("Always", _ended(143), None, True, "Failed"),
        ("Always", _ended(0), None, True, "Succeeded"),
    ],
)
def test_phases_are_a_kubelet_s(
    policy: str, state: ContainerState, previous: ContainerState | None, ending: bool, phase: str
) -> None:
    # The runtime says `over` of what ended and is not to run again.
    over = state.phase is Phase.TERMINATED and (policy == "Never" or ending)
    known = ContainerStatus(name="c", state=state, previous=previous, digest="sha256:1", run_id="r", over=over)
    group = GroupStatus(state=GroupState.RUNNING, containers=(known,))
    standing = Standing(now=NOW, started=NOW, host_address="127.64.0.1", address="10.244.0.2", ending=ending)
    status = pod_status(_pod(policy), group, standing)
    assert text(status, "phase") == phase
    one = status["containerStatuses"]
    assert isinstance(one, list)
    assert text(one[0], "imageID") == "registry:5000/a/b@sha256:1"


def test_a_status_is_read_back_for_the_next_node() -> None:
    known = ContainerStatus(name="c", state=RUNS, restarts=3, run_id="r", ready=True, started=True)
    group = GroupStatus(state=GroupState.RUNNING, containers=(known,))
    standing = Standing(now=NOW, started=NOW, host_address="127.64.0.1", address="10.244.0.2")
    status = pod_status(_pod(), group, standing)
    again = known_status({**_pod(), "status": status})
    assert again is not None
    assert (again.containers[0].restarts, again.containers[0].state.started) == (3, NOW)
    ready = condition({"status": status}, "Ready")
    assert ready is not None
    assert ready["status"] == "True"
    assert known_status({**_pod(), "status": {"phase": "Pending"}}) is None


@pytest.mark.parametrize(
    ("policy", "code", "over"),
    [
        ("Never", 1, True),
        ("Never", 0, True),
        ("OnFailure", 0, True),
        ("OnFailure", 1, False),
        ("Always", 0, False),
        ("Always", 1, False),
    ],
)
def test_the_next_node_runs_what_has_ended_again_only_by_the_policy(policy: str, code: int, over: bool) -> None:
    pod = _pod(policy)
    ended = ContainerStatus(name="c", state=_ended(code), run_id="r", over=over)
    standing = Standing(now=NOW, started=NOW, host_address="127.64.0.1", address="10.244.0.2")
    status = pod_status(pod, GroupStatus(state=GroupState.RUNNING, containers=(ended,)), standing)
    again = known_status({**pod, "status": status})
    assert again is not None
    assert again.containers[0].over is over
    # What the predecessor said of the pod holds.
    assert text(pod_status(pod, again, standing), "phase") == text(status, "phase")


@pytest.mark.parametrize(
    ("policy", "code", "own", "over"),
    [
        ("Always", 0, None, True),
        ("Always", 1, None, False),
        ("Never", 1, None, True),
        ("Never", 0, "Always", False),
    ],
)
def test_the_next_node_does_not_repeat_an_init_container(policy: str, code: int, own: str | None, over: bool) -> None:
    pod = _pod(policy)
    init: JsonObject = {"name": "i", "image": "a:1", **({"restartPolicy": own} if own else {})}
    terminated: JsonObject = {"exitCode": code}
    known: JsonObject = {"name": "i", "state": {"terminated": terminated}}
    again = known_status(
        {
            **pod,
            "spec": {"restartPolicy": policy, "initContainers": [init]},
            "status": {"initContainerStatuses": [known]},
        }
    )
    assert again is not None
    assert again.init_containers[0].over is over


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "dir/c", "dir/d"]), st.binary(max_size=8)), max_size=5))
def test_files_that_change_together_are_exactly_those(
    tmp_path_factory: pytest.TempPathFactory, states: list[dict[str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("volume")
    for state in states:
        atomic.write(folder, {path: (content, 0o644) for path, content in state.items()})
        shown = {name: (folder / name).read_bytes() for name in state}
        assert shown == state
        assert {p.name for p in folder.iterdir() if not p.name.startswith("..")} == {n.split("/")[0] for n in state}


def test_unchanged_files_are_left_alone(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, {"a": (b"1", 0o644)})
    assert not atomic.write(tmp_path, {"a": (b"1", 0o644)})
    assert atomic.write(tmp_path, {"a": (b"1", 0o600)})


async def test_a_log_is_read_over_the_change_of_its_file(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "log"
    writer = LogWriter(path, clock.now, full=120)
    writer.feed("stdout", b"1\n2\n")
    ended = False
    reading = read(path, LogOptions(follow=True), clock, lambda: ended)
    async with asyncio.timeout(20):
        got = await anext(reading)
        for number in range(3, 9):
            writer.feed("stdout", b"%d\n" % number)
            got += await anext(reading)
    writer.close()
    assert got == b"".join(b"%d\n" % n for n in range(1, 9))
    ended = True
    assert [piece async for piece in reading] == []


def test_log_options_are_checked() -> None:
    assert LogOptions.parse({"tailLines": ["3"], "follow": ["true"]}) == LogOptions(tail=3, follow=True)
    for query in ({"tailLines": ["-1"]}, {"limitBytes": ["0"]}, {"sinceTime": ["yesterday"]}, {"sinceSeconds": ["x"]}):
        with pytest.raises(BadLogOptions):
            LogOptions.parse(query)
