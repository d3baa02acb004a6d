"""Conveniences over any backend: waiting, predicting, cleaning up, sweeping."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel.errors import Conflict, DeploymentFailed, ScoringFailed, Timeout
from windtunnel.interface import Endpoint, ServiceState
from windtunnel.session import Session, sweep, wait_until_healthy
from windtunnel.spec import Spec, Target

if TYPE_CHECKING:
    FakeBackend = Any
    Scoring = Any

SPEC = Spec(name="svc", model=Path("m.onnx"))


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def deployed(backend: FakeBackend) -> None:
    backend.deploy(SPEC).result(10)


def test_waiting_ends_when_it_is_healthy_and_asks_less_and_less_often(backend: FakeBackend) -> None:
    deployed(backend)
    backend.states = [ServiceState.TRANSITIONING, ServiceState.UNHEALTHY] * 20 + [ServiceState.HEALTHY]
    time = Time()
    service = wait_until_healthy(backend, Target.ACI, "svc", sleep=time.sleep, monotonic=lambda: time.now)
    assert service.state is ServiceState.HEALTHY
    assert time.sleeps == sorted(time.sleeps)
    assert (time.sleeps[0] < 0.1, time.sleeps[-1]) == (True, 5.0)


def test_a_failed_service_raises_with_the_end_of_its_log(backend: FakeBackend) -> None:
    deployed(backend)
    backend.states = [ServiceState.TRANSITIONING, ServiceState.FAILED]
    with pytest.raises(DeploymentFailed) as failed:
        wait_until_healthy(backend, Target.ACI, "svc", sleep=lambda _: None)
    assert str(failed.value) == (
        "Service deployment polling reached non-successful terminal state, current service state: Failed\n"
        "Operation ID: /id\n"
        "More information can be found using '.get_logs()'\n"
        "Error:\nnot yet"
    )
    assert failed.value.log == "the log"


def test_a_wait_that_is_too_long_says_the_state(backend: FakeBackend) -> None:
    deployed(backend)
    backend.states = [ServiceState.TRANSITIONING] * 100
    time = Time()
    with pytest.raises(Timeout) as late:
        wait_until_healthy(backend, Target.ACI, "svc", timeout_s=3, sleep=time.sleep, monotonic=lambda: time.now)
    assert str(late.value) == (
        "Deployment polling exceeded timeout override of 3s. Current status: Transitioning: not yet\n"
        "Deployment may be transitioning or unhealthy, use update_deployment_state() to fetch the latest status of"
        " the webservice"
    )
    assert 3 <= time.now < 10


def test_a_prediction_is_the_answer_parsed(backend: FakeBackend, scoring: Scoring) -> None:
    backend.endpoints = [Endpoint(scoring_uri=scoring.uri, swagger_uri="", key="k" * 32)]
    with Session(backend, Target.ACI) as session:
        assert session.predict("svc", {"data": [[1, 2]]}) == [1]
        assert session.predict("svc", b'{"data": 3}') == [1]
    assert scoring.asked[0] == ("POST /score", f"Bearer {'k' * 32}", b'{"data": [[1, 2]]}')
    assert scoring.asked[1][2] == b'{"data": 3}'


def test_a_refused_key_is_asked_for_again_once(backend: FakeBackend, scoring: Scoring) -> None:
    old, new = (Endpoint(scoring_uri=scoring.uri, swagger_uri="", key=k * 32) for k in "on")
    backend.endpoints = [old, new]
    scoring.answers = [(401, b"no"), (200, b'"yes"')]
    with Session(backend, Target.ACI) as session:
        assert session.predict("svc", {}) == "yes"
        scoring.answers = [(401, b"no")]
        with pytest.raises(ScoringFailed, match="Response Code: 401"):
            session.predict("svc", {})
    assert [a[1][-1] for a in scoring.asked] == ["o", "n", "n", "n"]


def test_any_other_answer_is_an_error_in_azure_mls_words(backend: FakeBackend, scoring: Scoring) -> None:
    backend.endpoints = [Endpoint(scoring_uri=scoring.uri, swagger_uri="")]
    scoring.answers = [(502, b"zero division")]
    with Session(backend, Target.ACI) as session, pytest.raises(ScoringFailed) as failed:
        session.predict("svc", {})
    assert str(failed.value).startswith("Received bad response from service. More information can be found by calling")
    assert "Response Code: 502" in str(failed.value)
    assert "Content: zero division" in str(failed.value)
    assert (failed.value.status, failed.value.body) == (502, "zero division")


def test_what_a_session_deployed_goes_with_it_even_after_a_failure(backend: FakeBackend) -> None:
    backend.states = [ServiceState.FAILED]
    with pytest.raises(DeploymentFailed), Session(backend, Target.ACI) as session:
        session.deploy(SPEC)
    assert backend.services == {}


def test_a_session_that_keeps_leaves_its_services(backend: FakeBackend) -> None:
    with Session(backend, Target.ACI, keep=True) as session:
        session.deploy(SPEC)
    assert "svc" in backend.services


def test_a_deployment_that_fails_raises_what_the_backend_raised(backend: FakeBackend) -> None:
    backend.fail = Conflict("busy")
    with pytest.raises(Conflict, match="busy"), Session(backend, Target.ACI) as session:
        session.deploy(SPEC)


def test_sweeping_removes_what_has_expired_and_nothing_else(backend: FakeBackend) -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    for name, hours in (("old", -1), ("just", 0), ("new", 1), ("never", None)):
        backend.deploy(replace(SPEC, name=name)).result(10)
        expires = None if hours is None else now + timedelta(hours=hours)
        backend.services[name] = replace(backend.services[name], expires=expires)
    assert [s.name for s in sweep(backend, Target.ACI, now)] == ["just", "old"]
    assert sorted(backend.services) == ["never", "new"]
