"""``Place``: one backend and one target, as a test sees them. What a test makes here is deleted with it."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from windtunnel import profiles, registry
from windtunnel.interface import Capability
from windtunnel.session import wait_until_healthy
from windtunnel.spec import Script, Spec, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from windtunnel.interface import Backend, Deployment, Progress, ServiceState

PATIENCE_S = 900.0
"""For one operation. Azure Container Instances give up provisioning after 1,800 s; images build in minutes there."""


@dataclass(kw_only=True)
class Place:
    """A connection, for a whole run."""

    backend: Backend
    target: Target
    live: bool
    patience_s: float = PATIENCE_S
    _made: set[str] = field(default_factory=set[str])

    @classmethod
    def connect(cls, name: str, target: Target, *, profile: str) -> Self:
        """Raises ``WindtunnelError`` with the setting that is missing."""
        backend = registry.load(name)
        settings = profiles.load(profile, {}, os.environ, Path.cwd())
        backend.prepare(settings, progress=_say)
        return cls(backend=backend.connect(settings, progress=_say), target=target, live=name != "local")

    @property
    def authenticates_by_default(self) -> bool:
        """As on Azure: AKS does, ACI does not."""
        return self.target is Target.AKS

    def fresh_name(self) -> str:
        """A service name that nobody else has; deleted at the end if it is still there."""
        name = f"wt{secrets.token_hex(5)}"
        self._made.add(name)
        return name

    def deploy(
        self,
        model: Path,
        *,
        name: str | None = None,
        script: Path | None = None,
        tags: Mapping[str, str] | None = None,
        auth_enabled: bool = False,
        overwrite: bool = False,
        observe: Callable[[ServiceState], None] | None = None,
        timeout_s: float | None = None,
    ) -> Deployment:
        """Deploy and wait until healthy. Raises what the backend raises, ``DeploymentFailed`` and ``Timeout``."""
        spec = Spec(
            name=name or self.fresh_name(),
            model=model,
            target=self.target,
            script=None if script is None else Script(entry=script),
            tags=tags or {},
            auth_enabled=auth_enabled,
            overwrite=overwrite,
        )
        self.backend.deploy(spec).result(self.patience_s)
        if observe is not None:
            observe(self.backend.get(self.target, spec.name).state)
        return self.wait(spec.name, timeout_s=timeout_s)

    def wait(self, name: str, *, timeout_s: float | None = None) -> Deployment:
        """Until the service is healthy."""
        return wait_until_healthy(self.backend, self.target, name, timeout_s=timeout_s or self.patience_s)

    def log_with(self, name: str, words: str) -> str:
        """The service's log once ``words`` are in it, or as it is after a minute: each restart begins a new log."""
        end = time.monotonic() + 60
        while words not in (log := self.backend.logs(self.target, name)) and time.monotonic() < end:
            time.sleep(0.2)
        return log

    @contextlib.contextmanager
    def shared(
        self,
        model: Path,
        *,
        script: Path | None = None,
        tags: Mapping[str, str] | None = None,
        auth_enabled: bool = False,
    ) -> Generator[Service]:
        """A healthy service, for the length of a ``with`` block."""
        deployment = self.deploy(model, script=script, tags=tags, auth_enabled=auth_enabled)
        try:
            with Service.reach(self, deployment) as service:
                yield service
        finally:
            self.backend.delete(self.target, deployment.name).result(self.patience_s)
            self._made.discard(deployment.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            served = self.backend.offer(self.target).reason(Capability.PREDICT) is None
            for name in sorted(self._made) if served else ():
                self.backend.delete(self.target, name).result(self.patience_s)
        finally:
            self.backend.close()


def _say(progress: Progress) -> None:
    if not progress.log:
        print(progress.step, file=sys.stderr)


@dataclass(kw_only=True)
class Service:
    """A deployed service over HTTP, as a client of its users would reach it."""

    place: Place
    deployment: Deployment
    _client: httpx.Client

    @classmethod
    @contextlib.contextmanager
    def reach(cls, place: Place, deployment: Deployment) -> Generator[Self]:
        """Connect to its scoring URI."""
        uri = place.backend.endpoint(place.target, deployment.name).scoring_uri
        with httpx.Client(base_url=uri.removesuffix("/score"), timeout=60.0) as client:
            yield cls(place=place, deployment=deployment, _client=client)

    def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> httpx.Response:
        """One request, with ``Authorization: Bearer`` when a key is given, even an empty one."""
        authorisation = {} if key is None else {"authorization": f"Bearer {key}".rstrip()}
        return self._client.request(method, path, headers={**(headers or {}), **authorisation}, **content)

    def score(self, body: object) -> Any:
        """The parsed answer of ``POST /score``."""
        answer = self.request("POST", "/score", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_until_healthy(self) -> None:
        """After a change."""
        self.deployment = self.place.wait(self.deployment.name)
