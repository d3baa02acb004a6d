"""Conveniences over any ``Backend``, written once: wait until healthy, predict, clean up.

    with Session(backend, Target.ACI) as session:
        session.deploy(spec)
        print(session.predict(spec.name, {"data": [[0.0, 1.0]]}))
    # what the session deployed is deleted

The wording of failures is Azure ML's (azureml-core 1.61, Webservice).
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from windtunnel.errors import DeploymentFailed, NotFound, ScoringFailed, Timeout, WindtunnelError
from windtunnel.interface import Capability, Protocol, ServiceState
from windtunnel.method_client import MethodClient
from windtunnel.prediction.client import PredictionClient
from windtunnel.scoring_client import ScoringClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from windtunnel.interface import Backend, Deployment, Endpoint
    from windtunnel.jsontypes import Json
    from windtunnel.scoring_client import Answer
    from windtunnel.spec import Spec, Target

DEPLOY_LIMIT_S = 3600.0
HEALTHY_LIMIT_S = 900.0
_FIRST_POLL_S = 0.02
_LONGEST_POLL_S = 5.0
"""Azure ML's client polled every 5 seconds."""
_LOG_LINES = 40
_LOG_PATIENCE_S = 10.0


class Session:
    """One backend and one target. Deletes what it deployed when it is left."""

    def __init__(self, backend: Backend, target: Target, *, keep: bool = False) -> None:
        self.backend = backend
        self.target = target
        self._keep = keep
        self._made: list[str] = []
        self._clients: dict[str, ScoringClient | PredictionClient | MethodClient] = {}

    def deploy(self, spec: Spec, *, timeout_s: float = DEPLOY_LIMIT_S) -> Deployment:
        """Deploy and wait until healthy. Raises what ``Backend.deploy`` and ``wait_until_healthy`` do."""
        operation = self.backend.deploy(spec)
        self._made.append(spec.name)
        try:
            operation.result(timeout_s)
        except BaseException:
            operation.cancel()
            raise
        return wait_until_healthy(self.backend, self.target, spec.name)

    def predict(self, name: str, payload: Json | bytes) -> Json:
        """The service's answer, parsed. Raises ``ScoringFailed`` for any other answer than 200."""
        return self.score(name, payload).json()

    def score(self, name: str, payload: Json | bytes) -> Answer:
        """As ``predict``, with status and headers; asks for the key again, once, when it is refused."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        client = self._client(name)
        answer = client.score(body)
        if answer.status == 401:
            self._forget(name)
            answer = self._client(name).score(body)
        if answer.status != 200:
            headers = "".join(f"\n  {key}: {value}" for key, value in answer.headers.items())
            raise ScoringFailed(
                "Received bad response from service. More information can be found by calling `.get_logs()` on the"
                f" webservice object.\nResponse Code: {answer.status}\nHeaders: {headers}"
                f"\nContent: {answer.text(2000)}",
                status=answer.status,
                body=answer.text(2000),
                way_out=f"`windtunnel logs {name}` shows the service's own log.",
            )
        return answer

    def _client(self, name: str) -> ScoringClient | PredictionClient | MethodClient:
        if name not in self._clients:
            self._clients[name] = client_of(self.backend.endpoint(self.target, name))
        return self._clients[name]

    def _forget(self, name: str) -> None:
        client = self._clients.pop(name, None)
        if client is not None:
            client.close()

    def close(self) -> None:
        """Delete what was deployed. Raises what went wrong with the first that could not be deleted."""
        for name in list(self._clients):
            self._forget(name)
        failed: list[WindtunnelError] = []
        while self._made and not self._keep:
            try:
                self.backend.delete(self.target, self._made.pop()).result(DEPLOY_LIMIT_S)
            except WindtunnelError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def client_of(endpoint: Endpoint) -> ScoringClient | PredictionClient | MethodClient:
    """What speaks the endpoint's protocol."""
    if endpoint.protocol is Protocol.METHOD:
        return MethodClient(endpoint)
    return PredictionClient(endpoint) if endpoint.protocol is Protocol.GRPC else ScoringClient(endpoint)


def wait_until_healthy(
    backend: Backend,
    target: Target,
    name: str,
    *,
    timeout_s: float = HEALTHY_LIMIT_S,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Deployment:
    """Raises ``DeploymentFailed`` with the end of the log for a service that failed, ``Timeout``, ``NotFound``."""
    end = monotonic() + timeout_s
    delay = _FIRST_POLL_S
    while True:
        service = backend.get(target, name)
        if service.state is ServiceState.HEALTHY:
            return service
        if service.state is ServiceState.FAILED:
            raise DeploymentFailed(
                "Service deployment polling reached non-successful terminal state, current service state:"
                f" {service.state}\nOperation ID: {service.id or name}\nMore information can be found using"
                f" '.get_logs()'\nError:\n{service.error or 'no reason given'}",
                log=_log_tail(backend, target, name, sleep, monotonic),
                way_out=f"The end of its log is below; `windtunnel logs {name}` shows all of it.",
            )
        if monotonic() >= end:
            why = f": {service.error}" if service.error else ""
            raise Timeout(
                f"Deployment polling exceeded timeout override of {timeout_s:g}s. Current status: {service.state}{why}"
                "\nDeployment may be transitioning or unhealthy, use update_deployment_state() to fetch the latest"
                " status of the webservice",
                way_out=f"`windtunnel show {name}` shows its state, `windtunnel logs {name}` its log.",
            )
        sleep(delay)
        delay = min(_LONGEST_POLL_S, delay * 1.25)


def _log_tail(
    backend: Backend, target: Target, name: str, sleep: Callable[[float], None], monotonic: Callable[[], float]
) -> str:
    if backend.offer(target).reason(Capability.LOGS) is not None:
        return ""
    # A container that restarts has printed nothing yet each time: ask until it has, for as long as a start takes.
    end = monotonic() + _LOG_PATIENCE_S
    while True:
        try:
            log = backend.logs(target, name, tail=_LOG_LINES)
        except WindtunnelError as error:
            # The failure itself is what is reported; a log that cannot be had is said in its place.
            return f"(the log cannot be had: {error})"
        if log.strip() or monotonic() >= end:
            return log
        sleep(_FIRST_POLL_S * 5)


def sweep(backend: Backend, target: Target, now: datetime) -> Iterator[Deployment]:
    """Delete the services whose expiry has passed, and yield each one that is gone."""
    for service in backend.list_services(target):
        if service.expires is not None and service.expires <= now:
            with suppress(NotFound):  # somebody else was quicker
                backend.delete(target, service.name).result(DEPLOY_LIMIT_S)
            yield service
