"""A node behind the embedded API server, and behind a real one (``KUBEBUILDER_ASSETS``); kubectl beside it."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from windtunnel_emulators.clock import Pace, RealClock
from windtunnel_emulators.kubernetes import kubeconfig
from windtunnel_emulators.kubernetes.certificates import ClusterAuthority
from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.client.kinds import CONFIG_MAP, POD, SERVICE_ACCOUNT
from windtunnel_emulators.kubernetes.client.objects import Objects
from windtunnel_emulators.kubernetes.engines.binaries import BinariesEngine
from windtunnel_emulators.kubernetes.engines.embedded import EmbeddedEngine
from windtunnel_emulators.kubernetes.engines.interface import ClusterDefinition
from windtunnel_emulators.kubernetes.metrics.server import GROUP, VERSION, MetricsServer
from windtunnel_emulators.kubernetes.network.network import ClusterNetwork
from windtunnel_emulators.kubernetes.network.proxy import ServiceProxy
from windtunnel_emulators.kubernetes.node.agent import NodeAgent
from windtunnel_emulators.kubernetes.node.definition import NodeDefinition
from windtunnel_emulators.runtime.interface import Image
from windtunnel_emulators.runtime.process import ProcessRuntime
from windtunnel_emulators.server import Listeners
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client
    from windtunnel_emulators.kubernetes.engines.binaries import RunningBinaries
    from windtunnel_emulators.kubernetes.engines.embedded import RunningEmbedded
    from windtunnel_emulators.runtime.interface import Credentials

NODE = "aks-nodepool1-00000000-vmss000000"
LIMIT_S = 30.0


class MachineImages:
    """Images without files of their own: the machine's programs. Those called ``missing`` are not there, and those
    called ``broken`` fail as a disk does."""

    def owns(self, reference: str) -> bool:
        return not reference.startswith("missing")

    async def fetch(self, reference: str, credentials: tuple[Credentials, ...]) -> Image:
        if reference.startswith("broken"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return Image(reference=reference, digest=f"sha256:{'a' * 64}", command=("sleep", "3600"))


@dataclass(slots=True)
class RealCluster:
    """All that a test needs."""

    running: RunningBinaries | RunningEmbedded
    authority: ClusterAuthority
    client: Client
    objects: Objects
    network: ClusterNetwork
    runtime: ProcessRuntime
    folder: Path
    kubectl_path: str
    agents: list[NodeAgent] = field(default_factory=list[NodeAgent])
    clients: list[Client] = field(default_factory=list["Client"])

    @property
    def agent(self) -> NodeAgent:
        return self.agents[0]

    def new_agent(self) -> NodeAgent:
        owner = f"test/{NODE}"
        address = self.runtime.allocate_address(owner)
        self.authority.node(NODE, addresses=(address,), now=RealClock().now())
        client = self.running.node_client(NODE)
        self.clients.append(client)
        return NodeAgent(
            NodeDefinition(name=NODE, address=address, cpu=8, memory_bytes=32 * 1024**3, pod_cidr="10.244.0.0/24"),
            client=client,
            runtime=self.runtime,
            clock=RealClock(),
            pace=Pace.parse("fast"),
            folder=self.folder / "node",
            tls=self.authority.node_server_context(NODE),
            network=self.network,
            owner=owner,
        )

    async def kubectl(self, *arguments: str, typed: bytes = b"", server: str | None = None, **environment: str) -> str:
        """Its output; raises ``AssertionError`` with what it said when it fails."""
        code, out, err = await self.try_kubectl(*arguments, typed=typed, server=server, **environment)
        assert code == 0, f"kubectl {' '.join(arguments)}: {code}\n{out}\n{err}"
        return out

    async def try_kubectl(
        self, *arguments: str, typed: bytes = b"", server: str | None = None, **environment: str
    ) -> tuple[int, str, str]:
        child = await self.start_kubectl(*arguments, server=server, **environment)
        try:
            async with asyncio.timeout(LIMIT_S):
                out, err = await child.communicate(typed)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return child.returncode or 0, out.decode(), err.decode()

    async def start_kubectl(
        self, *arguments: str, server: str | None = None, **environment: str
    ) -> asyncio.subprocess.Process:
        config = self.folder / "kubeconfig"
        more = () if server is None else ("--server", server)
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            self.kubectl_path,
            f"--kubeconfig={config}",
            *more,
            *arguments,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={"HOME": str(self.folder), "PATH": os.environ["PATH"], **environment},
        )

    @asynccontextmanager
    async def pod(self, name: str, *containers: JsonObject, **spec: Json) -> AsyncGenerator[str]:
        """A pod on the node, gone at the end."""
        body: JsonObject = {
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": NODE, "terminationGracePeriodSeconds": 2, **spec, "containers": [*containers]},
        }
        await self.objects.create(POD, body, "default")
        try:
            yield name
        finally:
            await self.objects.delete(POD, "default", name, grace_period_s=0)
            await self.until_gone(name)

    async def until_gone(self, name: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while True:
                there = await self.objects.find(POD, "default", name)
                if there is None and self.agent.worker("default", name) is None:
                    return
                await asyncio.sleep(0.05)

    async def until(self, name: str, holds: Callable[[JsonObject], bool]) -> JsonObject:
        """The pod when that holds of it."""
        found: JsonObject | None = None
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    found = await self.objects.find(POD, "default", name)
                    if found is not None and holds(found):
                        return found
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"pod {name} is {yaml.safe_dump(None if found is None else found.get('status'))}")

    async def put_config(self, name: str, data: dict[str, str]) -> None:
        try:
            await self.objects.create(CONFIG_MAP, {"metadata": {"name": name}, "data": {**data}}, "default")
        except StatusError as problem:
            if problem.code != 409:
                raise
            await self.objects.patch(CONFIG_MAP, "default", name, {"data": {**data}})


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", params=["embedded", "real"])
async def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncGenerator[RealCluster]:
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    kubectl = shutil.which("kubectl", path=f"{assets}{os.pathsep}{os.environ['PATH']}")
    if kubectl is None:
        pytest.skip("there is no kubectl in PATH or in the folder of KUBEBUILDER_ASSETS")
    folder = tmp_path_factory.mktemp("cluster")
    clock = RealClock()
    authority = ClusterAuthority.create(folder / "keys.json", now=clock.now())
    store = Store(None)
    listeners = Listeners(store, authority.server_context())
    engine: EmbeddedEngine | BinariesEngine
    if request.param == "embedded":
        engine = EmbeddedEngine(store=store, clock=clock, listeners=listeners)
    else:
        if not assets:
            pytest.skip("KUBEBUILDER_ASSETS is not set: it names a folder with etcd and kube-apiserver")
        only = folder / "bin"
        only.mkdir()
        for name in ("etcd", "kube-apiserver"):
            (only / name).symlink_to(Path(assets) / name)
        environment = {**os.environ, "KUBEBUILDER_ASSETS": str(only)}
        engine = BinariesEngine(environment=environment, clock=clock, listeners=listeners)
    running = await engine.start(
        ClusterDefinition(uid="test", name="test", version="1.34.4", folder=folder / "api", authority=authority)
    )
    client = running.client("admin")
    runtime = ProcessRuntime(folder / "runtime", clock, [MachineImages()])
    await runtime.start_up()
    port = int(running.server.rpartition(":")[2])
    network = ClusterNetwork(client, clock, cluster=str(folder), api_server=("127.0.0.1", port))
    await network.start()
    running.connect(network.pods.loopback)
    made = RealCluster(
        running=running,
        authority=authority,
        client=client,
        objects=Objects(client),
        network=network,
        runtime=runtime,
        folder=folder,
        kubectl_path=kubectl,
    )
    document = kubeconfig.document(
        cluster="test", user="admin", server=running.server, ca=running.ca, credential=running.credential("admin")
    )
    (folder / "kubeconfig").write_text(kubeconfig.as_yaml(document))
    await _what_controllers_make(made)
    made.agents.append(made.new_agent())
    await made.agent.start()
    proxy = ServiceProxy(
        client, clock, network, runtime=runtime, owner="test", nodes=lambda: [made.agent.definition.address]
    )
    await proxy.start()
    kubelets = authority.client_context(authority.kubelet_client)
    metrics = MetricsServer(client, clock, kubelets, period_s=0.5)
    await metrics.start()
    await running.aggregate(GROUP, VERSION, metrics.app)
    try:
        yield made
    finally:
        await metrics.stop()
        await proxy.stop()
        await made.agent.stop()
        await network.stop()
        await runtime.close()
        for each in (client, *made.clients):
            await each.close()
        await running.stop()
        await listeners.close_all()
        store.close()


async def _what_controllers_make(made: RealCluster) -> None:
    """There is no controller manager here: what pods cannot be made without."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                await made.objects.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "default")
                break
            except StatusError:
                await asyncio.sleep(0.05)
    ca = made.running.ca
    await made.objects.create(CONFIG_MAP, {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": ca}}, "default")
