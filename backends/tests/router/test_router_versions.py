"""Versions of a service: traffic, the header that reaches one, mirrored requests; and replicas that follow the load."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_scoring.frontend.upstream import Upstream
from windtunnel_scoring.router import autoscaler, objects
from windtunnel_scoring.router.api import ApiError
from windtunnel_scoring.router.autoscaler import Autoscaler, Decision, wanted
from windtunnel_scoring.router.definition import AutoScaler, LayoutError, ServiceDefinition, VersionDefinition
from windtunnel_scoring.router.directory import Directory
from windtunnel_scoring.router.service import Environs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.router.conftest import FakeReplica, Town
    from windtunnel_scoring.jsontypes import JsonObject

    Eventually = Callable[[Callable[[], bool], str], Awaitable[None]]


def blue(traffic: int = 0) -> VersionDefinition:
    return VersionDefinition(name="blue", is_default=True, traffic_percentile=traffic)


async def town_of(town: Town, *versions: VersionDefinition) -> dict[str, FakeReplica]:
    """A service of these versions, each with a replica."""
    await town.service(*versions)
    replicas = {version.name: await town.replica(version.name, version=version.name) for version in versions}
    await town.router()
    for version in versions:
        await town.ready(1, version=version.name)
    return replicas


async def test_traffic_is_split_by_percentages_and_the_default_gets_the_rest(town: Town) -> None:
    await town_of(town, blue(), VersionDefinition(name="green", traffic_percentile=20, type="Treatment"))
    replies = [await town.score() for _ in range(100)]
    assert Counter(reply.headers["x-replica"] for reply in replies) == {"blue": 80, "green": 20}
    assert all(reply.headers["azureml-model-deployment"] == reply.headers["x-replica"] for reply in replies)


async def test_a_header_reaches_one_version(town: Town) -> None:
    await town_of(town, blue(), VersionDefinition(name="green"))
    for name in ("green", "blue", "green"):
        assert (await town.score(azureml_model_deployment=name)).headers["x-replica"] == name
    reply = await town.score(azureml_model_deployment="red")
    assert (reply.status, reply.text) == (404, "Deployment name red not found for service svc")


async def test_blue_green_in_one_write(town: Town, eventually: Eventually) -> None:
    await town_of(town, blue(), VersionDefinition(name="green"))
    assert {(await town.score()).headers["x-replica"] for _ in range(10)} == {"blue"}
    await town.service(VersionDefinition(name="blue"), VersionDefinition(name="green", is_default=True))
    service = town.routers[0].directory.services["svc"]
    await eventually(lambda: service.definition.default.name == "green", "the new default")
    assert {(await town.score()).headers["x-replica"] for _ in range(10)} == {"green"}


async def test_mirrored_requests_are_copies_whose_answers_nobody_sees(town: Town, eventually: Eventually) -> None:
    replicas = await town_of(town, blue(), VersionDefinition(name="green", mirror_percentile=50))
    green = town.routers[0].directory.services["svc"].versions["green"]
    replicas["green"].status = 500
    for number in range(10):
        reply = await town.score(b'{"n": %d}' % number)
        assert (reply.status, reply.headers["x-replica"]) == (200, "blue")
        await eventually(lambda: green.slots.busy == 0, "the copy is done")
    assert green.mirrored == len(replicas["green"].requests) == 5
    assert [body for _, _, body in replicas["green"].requests] == [b'{"n": %d}' % n for n in (1, 3, 5, 7, 9)]
    await town.score(azureml_model_deployment="blue")
    await town.score(azureml_model_deployment="blue")
    assert green.mirrored == 5, "a request that asks for a version is not copied"


async def test_a_slow_mirror_slows_nobody_and_is_left_out(town: Town, eventually: Eventually) -> None:
    replicas = await town_of(town, blue(), VersionDefinition(name="green", mirror_percentile=50))
    green = town.routers[0].directory.services["svc"].versions["green"]
    replicas["green"].gate.clear()
    assert [(await town.score()).status for _ in range(10)] == [200] * 10
    assert (green.mirrored, green.not_mirrored) == (1, 4)
    replicas["green"].gate.set()
    await eventually(lambda: green.slots.busy == 0, "the copy is done")
    body = b"x" * (1024 * 1024 + 1)
    assert [(await town.score(body)).status for _ in range(2)] == [200] * 2
    assert green.not_mirrored == 5, "too large to be held"
    assert replicas["blue"].requests[-1][2] == body


async def test_a_mirror_that_is_gone_fails_nobody(town: Town) -> None:
    replicas = await town_of(town, blue(), VersionDefinition(name="green", mirror_percentile=50))
    replicas["green"].refuse()
    assert [(await town.score()).status for _ in range(10)] == [200] * 10


@pytest.mark.parametrize(
    ("versions", "sentence"),
    [
        ([VersionDefinition(name="a")], "exactly one version with isDefault"),
        ([blue(), blue()], "two versions of one name"),
        ([blue(60), VersionDefinition(name="g", traffic_percentile=50)], "more than 100"),
        ([blue(), VersionDefinition(name="g", traffic_percentile=1, mirror_percentile=1)], "live and mirrored"),
        ([VersionDefinition(name=f"v{n}", is_default=n == 0) for n in range(7)], "has 7 versions"),
    ],
)
def test_versions_that_do_not_go_together(versions: list[VersionDefinition], sentence: str) -> None:
    with pytest.raises(LayoutError, match=sentence):
        ServiceDefinition(name="svc", versions=tuple(versions))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"trafficPercentile": 101}, "versions/0/trafficPercentile is 101; a whole number from 0 to 100"),
        ({"mirrorPercentile": 51}, "versions/0/mirrorPercentile is 51; a whole number from 0 to 50"),
        ({"scoringTimeoutMs": "60"}, "versions/0/scoringTimeoutMs is '60'"),
        ({"type": "Other"}, "versions/0/type is 'Other'"),
        ({"autoScaler": {"minReplicas": 4, "maxReplicas": 3}}, "minReplicas is 4, above maxReplicas"),
    ],
)
def test_what_is_wrong_in_a_definition_is_named(change: JsonObject, sentence: str) -> None:
    value = ServiceDefinition(name="svc", versions=(blue(),)).to_json()
    versions = value["versions"]
    assert isinstance(versions, list)
    assert isinstance(versions[0], dict)
    versions[0].update(change)
    with pytest.raises(LayoutError, match=sentence):
        ServiceDefinition.parse(value)


@given(
    traffic=st.integers(0, 100),
    timeout=st.integers(1, 10**6),
    replicas=st.none() | st.integers(1, 9),
    enabled=st.booleans(),
    tokens=st.booleans(),
)
def test_a_definition_survives_the_config_map(
    traffic: int, timeout: int, replicas: int | None, enabled: bool, tokens: bool
) -> None:
    version = VersionDefinition(
        name="svc",
        is_default=True,
        traffic_percentile=traffic,
        scoring_timeout_ms=timeout,
        num_replicas=replicas,
        auto_scaler=AutoScaler(enabled=enabled, max_replicas=7),
    )
    definition = ServiceDefinition(
        name="svc", versions=(version,), auth_enabled=not tokens, aad_auth_enabled=tokens, cors_origins="*"
    )
    assert objects.read_definition(objects.config_map(definition)) == definition


def scaled(**more: int) -> VersionDefinition:
    return VersionDefinition(
        name="svc", is_default=True, auto_scaler=AutoScaler(enabled=True, **more), max_concurrent_requests=1
    )


def test_the_documented_example_of_the_formula() -> None:
    """20 requests per second of 10 s each at 70 % are 286 replicas."""
    assert wanted(20 * 10, scaled(max_replicas=1000)) == 286


@given(load=st.floats(0, 1000), least=st.integers(1, 20), more=st.integers(0, 20), target=st.integers(1, 100))
def test_replicas_are_enough_and_within_the_limits(load: float, least: int, more: int, target: int) -> None:
    definition = scaled(min_replicas=least, max_replicas=least + more, target_utilization=target)
    found = wanted(load, definition)
    assert least <= found <= least + more
    if found < least + more:
        assert found * target / 100 >= load - 1e-6
    if found > least:
        assert (found - 1) * target / 100 < load


def test_up_at_once_and_down_after_a_quiet_minute() -> None:
    decision, definition = Decision(), scaled()
    assert decision.decide(0, 1, 1, definition) == 2
    assert decision.decide(1, 5, 2, definition) == 8
    assert decision.decide(2, 100, 8, definition) == 10, "no more than the maximum"
    assert decision.decide(3, 0, 10, definition) is None
    assert decision.decide(30, 2, 10, definition) is None
    assert decision.decide(62, 0, 10, definition) is None
    assert decision.decide(63, 0, 10, definition) == 3, "what the busiest moment of the minute needed"
    assert decision.decide(64, 0, 3, definition) is None, "the next minute begins"


def test_a_busy_moment_begins_the_minute_again() -> None:
    decision, definition = Decision(), scaled()
    assert decision.decide(0, 0, 4, definition) is None
    assert decision.decide(50, 2.8, 4, definition) is None, "four are needed"
    assert decision.decide(61, 0, 4, definition) is None
    assert decision.decide(121, 0, 4, definition) == 1


class RecordingApi:
    """Remembers patches; refuses when told to."""

    def __init__(self) -> None:
        self.patches: list[tuple[str, object]] = []
        self.refuses = False

    async def patch(self, path: str, body: JsonObject) -> JsonObject:
        if self.refuses:
            raise ApiError(409, "busy")
        self.patches.append((path, body))
        return {}


@pytest.mark.parametrize(("enabled", "home", "expected"), [(True, True, 1), (False, True, 0), (True, False, 0)])
async def test_only_the_home_of_a_service_scales_it_and_only_when_told(
    enabled: bool, home: bool, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    directory = Directory(Environs(connect=Upstream, monotonic=lambda: now[0], now=lambda: 0.0))
    version = VersionDefinition(name="svc", is_default=True, auto_scaler=AutoScaler(enabled=enabled, min_replicas=3))
    directory.definitions.put(objects.config_map(ServiceDefinition(name="svc", versions=(version,))))
    labels = objects.labels("svc", "svc")
    directory.deployments.put(
        {"metadata": {"name": "svc", "namespace": "azureml", "labels": labels}, "spec": {"replicas": 1}}
    )
    api = RecordingApi()
    scaler = Autoscaler(api, directory, lambda _: home, lambda: now[0])
    api.refuses = True
    await scaler.tick()
    api.refuses = False
    now[0] = 1.0
    await scaler.tick()
    path = "/apis/apps/v1/namespaces/azureml/deployments/svc/scale"
    assert api.patches == [(path, {"spec": {"replicas": 3}})] * expected
    assert ("cannot be scaled: 409 busy" in caplog.text) == bool(expected)


async def test_a_step_from_one_to_eight_busy_clients_scales(town: Town, eventually: Eventually) -> None:
    """Eight requests at work or in the queue of one replica: the next look asks for ten."""
    await town.service(
        VersionDefinition(name="svc", is_default=True, auto_scaler=AutoScaler(enabled=True), max_queue_wait_ms=20_000)
    )
    await town.deployment()
    replica = await town.replica("a")
    router = await town.router()
    await town.ready(1)
    replica.gate.clear()
    clients = [asyncio.create_task(town.score()) for _ in range(8)]
    slots = router.directory.services["svc"].versions["svc"].slots
    await eventually(lambda: slots.busy + slots.queued == 8, "eight are there")
    slots.average_load()
    # No wait for the clock: the load of the moment is the average of no time at all.
    found = autoscaler.wanted(slots.average_load(), router.directory.services["svc"].definition.default)
    assert found == 10
    await eventually(lambda: bool(town.api.patches), "the Deployment is scaled")
    assert town.api.patches[0][0] == "azureml/svc"
    replica.gate.set()
    assert {reply.status for reply in await asyncio.gather(*clients)} == {200}
