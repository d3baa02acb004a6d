"""``Place``: one backend and one target, as a test sees them. What a test makes here is deleted with it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import secrets
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from windtunnel import profiles, registry
from windtunnel.aks_options import AksOptions
from windtunnel.edge_options import EdgeOptions
from windtunnel.interface import Capability, Protocol
from windtunnel.session import client_of, wait_until_healthy
from windtunnel.spec import AciOptions, Change, Script, Spec, Target
from windtunnel_contracts.certificate import self_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from windtunnel.interface import Backend, Deployment, Progress, ServiceState
    from windtunnel.scoring_client import Answer
    from windtunnel.spec import Tls

PATIENCE_S = 900.0
"""For one operation. Azure Container Instances give up provisioning after 1,800 s; images build in minutes there."""


@dataclass(kw_only=True)
class Place:
    """A connection, for a whole run."""

    backend: Backend
    target: Target
    live: bool
    profile: str
    """The settings that it was connected with."""
    patience_s: float = PATIENCE_S
    _made: set[str] = field(default_factory=set[str])
    _folder: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def connect(cls, name: str, target: Target, *, profile: str) -> Self:
        """Raises ``WindtunnelError`` with the setting that is missing."""
        return cls._connect(name, target, profile, {})

    @classmethod
    def _connect(cls, name: str, target: Target, profile: str, changes: Mapping[str, str]) -> Self:
        backend = registry.load(name)
        settings = profiles.load(profile, changes, os.environ, Path.cwd())
        backend.prepare(settings, progress=_say)
        connected = backend.connect(settings, progress=_say)
        return cls(backend=connected, target=target, live=name != "local", profile=profile)

    @contextlib.contextmanager
    def variant(self, changes: Mapping[str, str]) -> Generator[Self]:
        """The same place with other settings, for the length of a ``with`` block; its cluster goes with it."""
        with self._connect(self.backend.name, self.target, self.profile, changes) as other:
            try:
                yield other
            finally:
                if "cluster" in changes:
                    other.backend.clusters.delete(changes["cluster"]).result(self.patience_s)

    @property
    def authenticates_by_default(self) -> bool:
        """As on Azure: AKS does, ACI does not."""
        return self.target is Target.AKS

    @property
    def keys_need_tls(self) -> bool:
        """As on Azure: the FPGA service asks for keys with TLS only, and always then."""
        return self.target is Target.FPGA

    @property
    def has_room_for_one(self) -> bool:
        """As on Azure: a second FPGA service is more than the quota, so the tests' services follow each other."""
        return self.target is Target.FPGA

    @property
    def computes_exactly(self) -> bool:
        """Whether predictions are onnxruntime's own; an FPGA computes in block floating point."""
        return self.target is not Target.FPGA

    def beyond_quota(self, model: Path) -> Iterator[Spec]:
        """Services of which the last is one too many."""
        # 100 cores in a region are the most that Azure grants by default; four groups of the largest size are 124.
        largest = AciOptions(cpu=31, memory_gb=31)
        self._make_room(None)
        for _ in range(2 if self.has_room_for_one else 4):
            yield Spec(name=self.fresh_name(), model=model, target=self.target, aci=largest)

    def _make_room(self, name: str | None) -> None:
        for other in sorted(self._made - {name}) if self.has_room_for_one else ():
            self.backend.delete(self.target, other).result(self.patience_s)
            self._made.discard(other)

    def fresh_name(self) -> str:
        """A service name that nobody else has; deleted at the end if it is still there."""
        name = f"wt{secrets.token_hex(5)}"
        self._made.add(name)
        return name

    def fresh_module(self) -> str:
        """A module name that nobody else has; for a further module of a service."""
        return f"wt{secrets.token_hex(5)}"

    def fresh_cluster(self) -> str:
        """A cluster name that nobody else has; for ``variant``."""
        return f"wt{secrets.token_hex(5)}"

    def deploy(
        self,
        model: Path,
        *,
        name: str | None = None,
        script: Path | None = None,
        tags: Mapping[str, str] | None = None,
        auth_enabled: bool | None = False,
        aks: AksOptions | None = None,
        edge: EdgeOptions | None = None,
        collect_model_data: bool = False,
        app_insights: bool = False,
        overwrite: bool = False,
        observe: Callable[[ServiceState], None] | None = None,
        timeout_s: float | None = None,
    ) -> Deployment:
        """Deploy and wait until healthy. Raises what the backend raises, ``DeploymentFailed`` and ``Timeout``."""
        self._make_room(name)
        spec = Spec(
            name=name or self.fresh_name(),
            model=model,
            target=self.target,
            script=None if script is None else Script(entry=script),
            tags=tags or {},
            auth_enabled=auth_enabled,
            aks=aks or AksOptions(num_replicas=1),
            edge=edge or EdgeOptions(),
            collect_model_data=collect_model_data,
            app_insights=app_insights,
            tls=self._certificate() if auth_enabled and self.keys_need_tls else None,
            overwrite=overwrite,
        )
        self.backend.deploy(spec).result(self.patience_s)
        if observe is not None:
            observe(self.backend.get(self.target, spec.name).state)
        return self.wait(spec.name, timeout_s=timeout_s)

    def _certificate(self) -> Tls:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="windtunnel-contracts-")
        return self_signed(Path(self._folder.name))

    def wait(self, name: str, *, timeout_s: float | None = None) -> Deployment:
        """Until the service is healthy."""
        return wait_until_healthy(self.backend, self.target, name, timeout_s=timeout_s or self.patience_s)

    def wait_for(self, name: str, condition: Callable[[Deployment], bool]) -> Deployment:
        """Until the condition holds of the service."""
        end = time.monotonic() + self.patience_s
        while not condition(found := self.backend.get(self.target, name)):
            assert time.monotonic() < end, f"not within {self.patience_s:g} s; it is {found}"
            time.sleep(0.1)
        return found

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until it holds."""
        end = time.monotonic() + self.patience_s
        while not condition():
            assert time.monotonic() < end, f"not within {self.patience_s:g} s"
            time.sleep(0.1)

    def kept(self, name: str, designations: set[str]) -> dict[str, list[list[str]]]:
        """The rows that a service has collected, by designation, once there are some of each."""
        end = time.monotonic() + self.patience_s
        while True:
            files = self.backend.collected(self.target, name)
            found = {
                d: [row for path, text in files.items() if f"/{d}/" in path for row in _rows(text)]
                for d in designations
            }
            if all(len(rows) > 1 for rows in found.values()):
                return found
            assert time.monotonic() < end, f"not within {self.patience_s:g} s; kept is {sorted(files)}"
            time.sleep(0.2)

    def replace_script(self, name: str, script: Path) -> None:
        """Put another script in front of the model."""
        self.backend.update(self.target, name, Change(script=Script(entry=script))).result(self.patience_s)

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
        auth_enabled: bool | None = False,
        aks: AksOptions | None = None,
        edge: EdgeOptions | None = None,
        collect_model_data: bool = False,
        app_insights: bool = False,
    ) -> Generator[Service]:
        """A healthy service, for the length of a ``with`` block."""
        deployment = self.deploy(
            model,
            script=script,
            tags=tags,
            auth_enabled=auth_enabled,
            aks=aks,
            edge=edge,
            collect_model_data=collect_model_data,
            app_insights=app_insights,
        )
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
            if self._folder is not None:
                self._folder.cleanup()


def _rows(text: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode())))


def _say(progress: Progress) -> None:
    if not progress.log:
        print(progress.step, file=sys.stderr)


@dataclass(kw_only=True)
class Service:
    """A deployed service, as a client of its users would reach it."""

    place: Place
    deployment: Deployment
    _client: httpx.Client | None = None

    @classmethod
    @contextlib.contextmanager
    def reach(cls, place: Place, deployment: Deployment) -> Generator[Self]:
        """Connect to its scoring URI."""
        endpoint = place.backend.endpoint(place.target, deployment.name)
        uri = endpoint.scoring_uri
        if endpoint.protocol is not Protocol.HTTP:
            yield cls(place=place, deployment=deployment)
            return
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
        """One request over HTTP, with ``Authorization: Bearer`` when a key is given, even an empty one."""
        assert self._client is not None, "this service has no HTTP"
        authorisation = {} if key is None else {"authorization": f"Bearer {key}".rstrip()}
        return self._client.request(method, path, headers={**(headers or {}), **authorisation}, **content)

    def ask(self, body: object, *, key: str | None = None) -> Answer:
        """One prediction by Windtunnel's own client, over whatever the service speaks, with just this key or none."""
        endpoint = self.place.backend.endpoint(self.place.target, self.deployment.name)
        if endpoint.protocol is not Protocol.METHOD:  # there the key is the hub's, and not the service's
            endpoint = replace(endpoint, key=key)
        client = client_of(endpoint)
        try:
            return client.score(body if isinstance(body, bytes) else json.dumps(body).encode())
        finally:
            client.close()

    def score(self, body: object) -> Any:
        """The parsed answer of a prediction."""
        answer = self.ask(body)
        assert answer.status == 200, answer.text(2000)
        return answer.json()

    def wait_until_healthy(self) -> None:
        """After a change."""
        self.deployment = self.place.wait(self.deployment.name)
