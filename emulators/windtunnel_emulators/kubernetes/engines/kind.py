"""The engine of ``kind``: clusters whose nodes are containers of a Docker engine on this machine.

Nodes, controllers and scheduler are kind's own, as many nodes as the pools have at the creation; their number and
their release do not change. A stopped cluster's nodes are stopped containers, and so are those of stopped emulators;
after a kill they run on until the next start, which takes them up or removes them.

Settings, of the environment:

    WINDTUNNEL_KIND_IMAGE     the nodes' image; its tag names its release. Otherwise the one built into ``kind``
    WINDTUNNEL_KIND_CONFIG    a file of kind's own configuration, where the image needs one; it says how many nodes too
"""

from __future__ import annotations

import base64
import logging
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.files import private_folder, write_secret
from windtunnel_emulators.images.children import run
from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.client.http import HttpClient
from windtunnel_emulators.kubernetes.engines.interface import Credential, EngineProblem, Parts

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client
    from windtunnel_emulators.kubernetes.engines.interface import ClusterDefinition

IMAGE, CONFIG = "WINDTUNNEL_KIND_IMAGE", "WINDTUNNEL_KIND_CONFIG"
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "DOCKER_HOST", "DOCKER_CONFIG", "XDG_RUNTIME_DIR")
_PREFIX = "windtunnel-"
_CREATE_S, _SHORT_S, _LOAD_S, _READY_S = 600.0, 60.0, 300.0, 120.0
_BUILT_IN = re.compile(rb"kindest/node:v[0-9.]+@sha256:[0-9a-f]{64}")
_RELEASE = re.compile(r":v(\d+\.\d+\.\d+)")
_log = logging.getLogger(__name__)


class KindEngine:
    """``Engine`` of the programs ``kind`` and ``docker`` on the path."""

    name = "kind"

    def __init__(self, *, environment: Mapping[str, str], clock: Clock) -> None:
        self.environment = {name: environment[name] for name in _PASSED_ON if name in environment}
        self._path = environment.get("PATH")
        self._image = environment.get(IMAGE, "")
        self._config = environment.get(CONFIG, "")
        self.clock = clock

    def check(self) -> None:
        """Raises ``EngineProblem`` when a program or the Docker engine is not there."""
        for program in ("kind", "docker"):
            if shutil.which(program, path=self._path) is None:
                raise EngineProblem(
                    f"the engine 'kind' needs the program {program} on the path, and it is not there; install it, or"
                    " use --kubernetes embedded"
                )
        try:
            done = subprocess.run(
                [self.program("docker"), "version", "--format", "{{.Server.Version}}"],
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=_SHORT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as problem:
            raise EngineProblem(f"the engine 'kind' needs Docker: {problem}") from problem
        if done.returncode != 0:
            raise EngineProblem(
                f"the engine 'kind' needs a Docker engine that runs: {done.stderr.strip() or done.stdout.strip()}"
            )
        if self._config and not Path(self._config).is_file():
            raise EngineProblem(f"{CONFIG} names {self._config}, which is no file")
        self.versions()

    def versions(self) -> tuple[str, ...] | None:
        """The release of the nodes' image. Raises ``EngineProblem`` for one whose tag does not say it."""
        found = _RELEASE.search(self.image())
        if found is None:
            raise EngineProblem(f"the tag of {self.image()} does not name a release (as in name:v1.34.4); see {IMAGE}")
        return (found[1],)

    def image(self) -> str:
        """Of the nodes. Raises ``EngineProblem`` when none is named and ``kind`` has none."""
        if not self._image:
            found = _BUILT_IN.search(Path(self.program("kind")).read_bytes())
            if found is None:
                raise EngineProblem(f"this kind has no image of its own; name one by {IMAGE}")
            self._image = found[0].decode("ascii")
        return self._image

    def facts(self) -> dict[str, str]:
        return {"kind": self.program("kind"), "image": self.image()}

    async def sweep(self, known: frozenset[str]) -> None:
        """Delete clusters of ours that nobody knows any more."""
        ours = {cluster_name(uid) for uid in known}
        for name in (await self.output(["kind", "get", "clusters"])).split():
            if name.startswith(_PREFIX) and name not in ours:
                await self.output(["kind", "delete", "cluster", "--name", name])

    async def start(self, definition: ClusterDefinition) -> RunningKind:
        """Make a cluster, or start the nodes of one that is there. Raises ``EngineProblem``."""
        name, folder = cluster_name(definition.uid), private_folder(definition.folder)
        kubeconfig = folder / "kind.kubeconfig"
        containers = await self.containers(name)
        if containers and kubeconfig.is_file():
            await self.output(["docker", "start", *containers])
        else:
            if containers:  # the creation was cut off
                await self.output(["kind", "delete", "cluster", "--name", name])
            config = folder / "kind.yaml"
            write_secret(config, self._configuration(definition).encode("utf-8"))
            command = ["kind", "create", "cluster", "--name", name, "--image", self.image(), "--config", str(config)]
            try:
                await self.output([*command, "--kubeconfig", str(kubeconfig)], limit_s=_CREATE_S)
            except BaseException:
                kubeconfig.unlink(missing_ok=True)
                raise
            containers = await self.containers(name)
        running = RunningKind(self, definition, name, containers, _read(kubeconfig))
        await running.ready()
        return running

    async def delete(self, definition: ClusterDefinition) -> None:
        name = cluster_name(definition.uid)
        if await self.containers(name):
            await self.output(["kind", "delete", "cluster", "--name", name])

    async def containers(self, name: str) -> list[str]:
        """The nodes of a cluster, running or not."""
        label = f"label=io.x-k8s.kind.cluster={name}"
        return (await self.output(["docker", "ps", "--all", "--quiet", "--filter", label])).split()

    async def output(self, command: list[str], *, limit_s: float = _SHORT_S) -> str:
        """What a program writes. Raises ``EngineProblem`` with its last words when it fails or takes too long."""
        lines: list[str] = []
        outcome = await run([self.program(command[0]), *command[1:]], self.environment, lines.append, limit_s=limit_s)
        if outcome.code != 0:
            how = f"ended with {outcome.code}" if outcome.code is not None else f"took over {limit_s:.0f} s"
            said = " / ".join(outcome.last_lines[-3:])
            raise EngineProblem(f"`{' '.join(command[:3])}` {how}: {said}")
        return "\n".join(lines)

    def program(self, name: str) -> str:
        """Where a program is."""
        return shutil.which(name, path=self._path) or name

    def _configuration(self, definition: ClusterDefinition) -> str:
        if self._config:
            return _with_networks(Path(self._config), definition)
        nodes = ["control-plane", *["worker"] * (definition.nodes - 1)]
        return (
            "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking:\n  apiServerAddress: 127.0.0.1\n"
            f"  podSubnet: {definition.pod_cidr}\n  serviceSubnet: {definition.service_cidr}\nnodes:\n"
            + "".join(f"  - role: {role}\n" for role in nodes)
        )


class RunningKind:
    """``RunningCluster`` in containers."""

    parts = Parts(controllers=True, scheduler=True, nodes=True, aggregation=False)

    def __init__(
        self, engine: KindEngine, definition: ClusterDefinition, name: str, containers: list[str], config: JsonObject
    ) -> None:
        self.name = name
        self._engine = engine
        self._definition = definition
        self._containers = containers
        (cluster,), (user,) = as_list(config.get("clusters")), as_list(config.get("users"))
        shown = as_object(as_object(user).get("user"))
        found = as_object(as_object(cluster).get("cluster"))
        self.server = as_str(found.get("server"))
        self.ca = _plain(found.get("certificate-authority-data"))
        self.version = (engine.versions() or ("",))[0]
        self._credential = Credential(
            certificate=_plain(shown.get("client-certificate-data")), key=_plain(shown.get("client-key-data"))
        )

    async def ready(self) -> None:
        """Wait until every node is. Raises ``EngineProblem`` at the limit."""
        from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem

        client = self.client("admin")
        deadline = self._engine.clock.monotonic() + _READY_S
        try:
            while True:
                why = "there is no node"
                try:
                    nodes = as_list((await client.request("GET", "/api/v1/nodes")).get("items"))
                    waiting = [as_object(node) for node in nodes if not _is_ready(as_object(node))]
                    if nodes and not waiting:
                        return
                    why = f"{len(waiting)} of {len(nodes)} nodes are not ready"
                except KubernetesProblem as problem:
                    why = str(problem)
                if self._engine.clock.monotonic() > deadline:
                    raise EngineProblem(f"cluster {self._definition.name!r} is not ready after {_READY_S:.0f} s: {why}")
                await self._engine.clock.sleep(0.2)
        finally:
            await client.close()

    def credential(self, role: str) -> Credential:
        """kind has one administrator, and both roles are it, as on AKS."""
        return self._credential

    def client(self, role: str) -> Client:
        return HttpClient(self.server, context=self._context())

    def node_client(self, name: str) -> Client:
        raise EngineProblem("nodes of kind have clients of their own")

    def connect(self, loopback: Callable[[str], str | None]) -> None:
        """The API server reaches its nodes itself."""

    async def aggregate(self, group: str, version: str, app: ASGI) -> None:
        raise EngineProblem(f"{group} of this process cannot be reached from kind's nodes")

    async def load(self, image: str) -> None:
        """Bring an image of the Docker engine to the nodes. Raises ``EngineProblem``."""
        await self._engine.output(["kind", "load", "docker-image", image, "--name", self.name], limit_s=_LOAD_S)

    async def tag(self, image: str, name: str) -> None:
        """Give an image of the Docker engine another name. Raises ``EngineProblem``."""
        await self._engine.output(["docker", "tag", image, name])

    async def upgrade(self, version: str) -> None:
        raise EngineProblem(
            f"cluster {self._definition.name!r} cannot become {version}: kind's nodes keep their release"
        )

    async def stop(self) -> None:
        """The nodes stop at once, as after a power cut, which they are made for; they keep what they have."""
        if self._containers:
            await self._engine.output(["docker", "kill", *self._containers])

    def _context(self) -> ssl.SSLContext:
        import ssl

        from windtunnel_emulators.kubernetes.certificates import KeyPair, load_pair

        context = ssl.create_default_context(cadata=self.ca)
        load_pair(context, KeyPair(certificate=self._credential.certificate, key=self._credential.key))
        return context


def cluster_name(uid: str) -> str:
    """As kind knows it."""
    return f"{_PREFIX}{uid[:16]}"


def _with_networks(file: Path, definition: ClusterDefinition) -> str:
    """The user's configuration, with the cluster's ranges where it names none. Raises ``EngineProblem``."""
    import yaml

    try:
        whole: JsonObject = as_object(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, yaml.YAMLError) as problem:
        raise EngineProblem(f"{CONFIG} names {file}, which cannot be read: {problem}") from problem
    networking: JsonObject = {
        "podSubnet": definition.pod_cidr,
        "serviceSubnet": definition.service_cidr,
        **as_object(whole.get("networking")),
    }
    return msgspec.json.encode({**whole, "networking": networking}).decode()


def _read(file: Path) -> JsonObject:
    import yaml

    found: JsonObject = yaml.safe_load(file.read_text("utf-8"))
    return found


def _plain(value: Json) -> str:
    return base64.b64decode(as_str(value)).decode("ascii")


def _is_ready(node: JsonObject) -> bool:
    conditions = [as_object(one) for one in as_list(as_object(node.get("status")).get("conditions"))]
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
