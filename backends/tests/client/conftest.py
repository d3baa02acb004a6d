"""Models to test with, and a subscription in memory that answers as ARM and a registry do."""

from __future__ import annotations

import http.server
import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from windtunnel.adapters.aci import AciAdapter
from windtunnel.adapters.building import Settings
from windtunnel.adapters.clients import Clients
from windtunnel.adapters.rehearsal import Rehearsal
from windtunnel.clouds import Cloud
from windtunnel.errors import NotFound, WindtunnelError
from windtunnel.interface import (
    Backend,
    Capability,
    Deployment,
    Endpoint,
    KeyName,
    Keys,
    Offer,
    Operation,
    ServiceState,
)
from windtunnel.jsontypes import as_list, as_object, as_str
from windtunnel.operation import BackgroundOperation, Stop
from windtunnel.records import Records
from windtunnel.runtime_check import InstalledRuntime
from windtunnel.scoring_client import ScoringClient
from windtunnel.spec import Change, Spec, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from windtunnel.interface import Progress
    from windtunnel.jsontypes import Json, JsonObject
    from windtunnel.profiles import Profile

    MakeAci = Callable[[Cloud], AciAdapter]


def linear_model(*, opset: int = 17, ir_version: int = 8) -> onnx.ModelProto:
    """y[batch,3] = x[batch,4] W."""
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "W")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version, producer_name="tests"
    )


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A model that can be deployed."""
    path = tmp_path / "linear.onnx"
    path.write_bytes(linear_model().SerializeToString())
    return path


@pytest.fixture
def script_file(tmp_path: Path) -> Path:
    """A script that can be deployed."""
    path = tmp_path / "my_script.py"
    path.write_text("def init():\n    pass\n\n\ndef run(raw):\n    return raw\n", "utf-8")
    return path


class FakeAzure(Rehearsal):
    """A subscription in memory: what is put is there, what is deleted is gone, and groups run at once."""

    def __init__(self) -> None:
        super().__init__()
        self.images: set[str] = set()
        self.refusals: list[tuple[str, str, int, str, str]] = []
        self.container_state: JsonObject = {"currentState": {"state": "Running"}, "restartCount": 0}
        self.run_status = "Succeeded"
        self.log = b"Step 1/2 : FROM python\nall is well\n"
        self.group_log = "init() says: hello"
        self.groups: dict[str, JsonObject] = {}

    def refuse(self, method: str, path: str, status: int, code: str, message: str) -> None:
        """Answer with an error from now on."""
        self.refusals.append((method, path, status, code, message))

    def sent(self, method: str, path: str) -> list[Json]:
        """The bodies of the requests of a kind, in order; secrets masked."""
        return [c.body for c in self.calls if c.method == method and re.search(path, c.url)]

    def reply(self, method: str, path: str, body: Json) -> tuple[int, JsonObject | bytes | None]:
        for wanted, pattern, status, code, message in self.refusals:
            if method == wanted and re.search(pattern, path, re.IGNORECASE):
                return status, {"error": {"code": code, "message": message}}
        name = path.rpartition("/")[2]
        if "/manifests/" in path:
            return (200, None) if name in self.images else (404, None)
        if path.endswith("/scheduleRun"):
            images = as_list(as_object(body).get("imageNames"))
            self.images |= {as_str(i).rpartition(":")[2] for i in images if self.run_status == "Succeeded"}
            return 200, {"properties": {"runId": "cf1", "status": "Queued"}}
        if re.search(r"/runs/\w+$", path):
            return 200, {"properties": {"runId": name, "status": self.run_status}}
        if name == "run.log":
            return 200, self.log
        if path.endswith("/cancel"):
            return 200, None
        if path.endswith("/logs"):
            return 200, {"content": self.group_log}
        if "/containerGroups" in path:
            return self._group(method, path, name, as_object(body))
        return super().reply(method, path, body)

    def _group(self, method: str, path: str, name: str, body: JsonObject) -> tuple[int, JsonObject | bytes | None]:
        if name == "containerGroups":
            return 200, {"value": [{**g, "properties": {**as_object(g["properties"])}} for g in self.groups.values()]}
        if method == "PUT":
            self.groups[name] = {**body, "id": path, "name": name}
            self.groups[name]["properties"] = self._running(as_object(body.get("properties")))
            return 201, self.groups[name]
        if name not in self.groups:
            return (204, None) if method == "DELETE" else super().reply(method, path, body)
        if method == "PATCH":
            self.groups[name]["tags"] = as_object(body.get("tags"))
        return 200, self.groups.pop(name) if method == "DELETE" else self.groups[name]

    def _running(self, properties: JsonObject) -> JsonObject:
        containers: list[Json] = []
        for container in map(as_object, as_list(properties.get("containers"))):
            inner = as_object(container["properties"])
            plain: list[Json] = [
                {k: v for k, v in as_object(e).items() if k != "secureValue"}
                for e in as_list(inner.get("environmentVariables"))
            ]
            # Azure never gives a secure value back.
            shown: JsonObject = {**inner, "environmentVariables": plain, "instanceView": self.container_state}
            containers.append({**container, "properties": shown})
        address: JsonObject = {**as_object(properties.get("ipAddress")), "ip": "192.0.2.7"}
        return {
            **properties,
            "containers": containers,
            "ipAddress": address,
            "provisioningState": "Succeeded",
            "instanceView": {"state": "Running", "events": []},
        }


@pytest.fixture
def azure() -> FakeAzure:
    """An empty subscription."""
    return FakeAzure()


@pytest.fixture
def cloud(azure: FakeAzure) -> Cloud:
    """The cloud of that subscription."""
    return azure.stand_in(Cloud.azure())


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether services answer GET /; the last value holds. Nothing is behind 192.0.2.7 (RFC 5737)."""
    answers = [True]

    def alive(_client: ScoringClient) -> bool:
        return answers[-1]

    monkeypatch.setattr(ScoringClient, "alive", alive)
    return answers


@pytest.fixture
def steps() -> list[Progress]:
    """What the adapter said that it was doing."""
    return []


@pytest.fixture
def make_aci(tmp_path: Path, steps: list[Progress], alive: list[bool]) -> MakeAci:
    """The ACI adapter at a cloud, with records in a folder of the test."""
    settings = Settings(
        resource_group="models", location="westeurope", registry="acme12345", owner="ada", lifetime=None
    )

    def make(cloud: Cloud, **changes: object) -> AciAdapter:
        clients = Clients(cloud, "00000000-0000-0000-0000-000000000001")
        records = Records(tmp_path / "data", cloud=cloud.resource_manager, subscription="s", group="models")
        return AciAdapter(
            clients,
            replace(settings, **changes),  # type: ignore[arg-type]  # the tests' own business
            records,
            InstalledRuntime(),
            steps.append,
        )

    return make


class FakeBackend(Backend):
    """A backend in memory, whose services are in the states that a test says."""

    name: ClassVar[str] = "fake"
    offers: ClassVar[Mapping[Target, Offer]] = {
        Target.ACI: Offer(
            can=frozenset({Capability.PREDICT, Capability.KEYS, Capability.LOGS, Capability.UPDATE}),
            cannot={Capability.SCALE: "one is enough"},
        )
    }

    def __init__(self) -> None:
        self.services: dict[str, Deployment] = {}
        self.states: list[ServiceState] = []
        self.changes: list[Change] = []
        self.endpoints: list[Endpoint] = []
        self.fail: WindtunnelError | None = None
        self.log = "the log"
        self.closed = False

    @classmethod
    def connect(cls, profile: Profile, *, progress: Callable[[Progress], None] | None = None) -> Self:
        return cls()

    def deploy(self, spec: Spec) -> Operation[Deployment]:
        self.require(spec.target, {Capability.PREDICT})

        def work(_: Stop) -> Deployment:
            if self.fail is not None:
                raise self.fail
            self.services[spec.name] = Deployment(
                name=spec.name, target=spec.target, state=ServiceState.TRANSITIONING, tags=spec.tags, id="/id"
            )
            return self.services[spec.name]

        return BackgroundOperation("deployment", work)

    def update(self, target: Target, name: str, change: Change) -> Operation[Deployment]:
        self.changes.append(change)
        return BackgroundOperation("update", lambda _: self.get(target, name))

    def get(self, target: Target, name: str) -> Deployment:
        if name not in self.services:
            raise NotFound(f"no service {name}")
        state = self.states.pop(0) if self.states else ServiceState.HEALTHY
        return replace(self.services[name], state=state, error=None if state is ServiceState.HEALTHY else "not yet")

    def list_services(self, target: Target) -> Sequence[Deployment]:
        return [self.get(target, name) for name in sorted(self.services)]

    def delete(self, target: Target, name: str) -> Operation[bool]:
        return BackgroundOperation("deletion", lambda _: self.services.pop(name, None) is not None)

    def logs(self, target: Target, name: str, *, tail: int = 5000) -> str:
        self.get(target, name)
        return self.log

    def endpoint(self, target: Target, name: str) -> Endpoint:
        return self.endpoints.pop(0) if len(self.endpoints) > 1 else self.endpoints[0]

    def keys(self, target: Target, name: str) -> Keys:
        return Keys(primary="p" * 32, secondary="s" * 32)

    def regenerate_key(self, target: Target, name: str, which: KeyName, value: str | None = None) -> Operation[Keys]:
        return BackgroundOperation("regeneration", lambda _: self.keys(target, name))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def backend() -> FakeBackend:
    """A backend in memory."""
    return FakeBackend()


class Scoring(Protocol):
    """A scoring service of a test: what it was asked, and what it answers."""

    uri: str
    asked: list[tuple[str, str, bytes]]
    """Method and path, Authorization, body."""
    answers: list[tuple[int, bytes]]
    """Used one after the other; the last one stays."""


@pytest.fixture
def scoring() -> Iterator[Scoring]:
    """A scoring service on a free port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            service.asked.append((f"{self.command} {self.path}", self.headers.get("Authorization", ""), body))
            status, content = service.answers.pop(0) if len(service.answers) > 1 else service.answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Service(http.server.ThreadingHTTPServer):
        asked: list[tuple[str, str, bytes]]
        answers: list[tuple[int, bytes]]
        uri: str

    with Service(("127.0.0.1", 0), Handler) as service:
        service.asked, service.answers = [], [(200, b"[1]")]
        service.uri = f"http://127.0.0.1:{service.server_address[1]}/score"
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield service
        service.shutdown()
        thread.join()
