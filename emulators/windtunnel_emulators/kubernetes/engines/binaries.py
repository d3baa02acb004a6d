"""The engine of real programs: etcd and kube-apiserver from a folder, per cluster, on free loopback ports.

The folder is one as controller-runtime's envtest makes them (``KUBEBUILDER_ASSETS``). Where it has
kube-controller-manager and kube-scheduler too, they are used; otherwise the cluster brings its own.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.files import private_folder, write_secret
from windtunnel_emulators.kubernetes.client.http import HttpClient
from windtunnel_emulators.kubernetes.engines import control_plane
from windtunnel_emulators.kubernetes.engines.aggregated import AggregatedApis
from windtunnel_emulators.kubernetes.engines.interface import Credential, EngineProblem, Parts
from windtunnel_emulators.kubernetes.engines.ports import ADDRESS, take
from windtunnel_emulators.kubernetes.engines.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.kubernetes.client.interface import Client
    from windtunnel_emulators.kubernetes.engines.interface import ClusterDefinition
    from windtunnel_emulators.server import Listeners

NEEDED = ("etcd", "kube-apiserver")
CONTROLLERS, SCHEDULER = "kube-controller-manager", "kube-scheduler"
ASSETS = "KUBEBUILDER_ASSETS"
_READY_S = 120.0
_VERSION_S = 30.0
_API_GRACE_S = 0.2
"""The API server keeps nothing itself, and would otherwise wait for its clients' watches to end."""
_ETCD_GRACE_S = 0.6
_log = logging.getLogger(__name__)


class BinariesEngine:
    """``Engine`` of the programs of one folder."""

    name = "binaries"

    def __init__(self, *, environment: Mapping[str, str], clock: Clock, listeners: Listeners | None = None) -> None:
        """``environment`` names the folder (``KUBEBUILDER_ASSETS``)."""
        named = environment.get(ASSETS, "")
        self._folder = Path(named) if named else None
        self._environment = {name: environment[name] for name in ("PATH", "HOME", "TMPDIR") if name in environment}
        self._clock = clock
        self._listeners = listeners
        self._version: str | None = None

    def check(self) -> None:
        """Raises ``EngineProblem`` when the folder or a program is not there, or cannot run."""
        if self._folder is None:
            raise EngineProblem(
                f"the engine 'binaries' runs real Kubernetes programs from the folder that {ASSETS} names, and it is"
                " not set; get such a folder with `setup-envtest use`, or use --kubernetes embedded"
            )
        missing = [name for name in NEEDED if self._program(name) is None]
        if missing:
            raise EngineProblem(
                f"the folder {self._folder} ({ASSETS}) has no program {' and no program '.join(missing)}; get a whole"
                " one with `setup-envtest use`, or use --kubernetes embedded"
            )
        self.version()

    def version(self) -> str:
        """What kube-apiserver says it is, as ``1.34.4``. Raises ``EngineProblem``."""
        if self._version is None:
            program = str(self._program("kube-apiserver"))
            try:
                done = subprocess.run(
                    [program, "--version"], capture_output=True, text=True, timeout=_VERSION_S, check=True
                )
                self._version = done.stdout.split()[-1].lstrip("v")
            except (OSError, subprocess.SubprocessError, IndexError) as problem:
                raise EngineProblem(f"{program} does not run here: {problem}") from problem
        return self._version

    def versions(self) -> tuple[str, ...] | None:
        """The one version that there is."""
        return (self.version(),)

    def facts(self) -> dict[str, str]:
        found = [name for name in (*NEEDED, CONTROLLERS, SCHEDULER) if self._program(name) is not None]
        return {"programs": ", ".join(found), "folder": str(self._folder), "version": self.version()}

    async def sweep(self, known: frozenset[str]) -> None:
        """Nothing is left behind: programs end with the emulators, and files are the cluster's own."""

    async def start(self, definition: ClusterDefinition) -> RunningBinaries:
        """Returns when the API server is ready. Raises ``EngineProblem``."""
        await asyncio.to_thread(self.check)
        private_folder(definition.folder)
        running = RunningBinaries(
            definition,
            programs={name: self._program(name) for name in (*NEEDED, CONTROLLERS, SCHEDULER)},
            environment=self._environment,
            clock=self._clock,
            version=self.version(),
            listeners=self._listeners,
        )
        try:
            await running.start()
        except BaseException:
            await running.stop()
            raise
        return running

    async def delete(self, definition: ClusterDefinition) -> None:
        """Remove what etcd kept."""
        await asyncio.to_thread(shutil.rmtree, definition.folder / "etcd", ignore_errors=True)

    def _program(self, name: str) -> Path | None:
        if self._folder is None:
            return None
        found = self._folder / name
        return found.absolute() if found.is_file() else None


class RunningBinaries:
    """``RunningCluster`` of real programs."""

    def __init__(
        self,
        definition: ClusterDefinition,
        *,
        programs: Mapping[str, Path | None],
        environment: Mapping[str, str],
        clock: Clock,
        version: str,
        listeners: Listeners | None,
    ) -> None:
        self._definition = definition
        self._clock = clock
        self.version = version
        self.ca = definition.authority.ca
        self.parts = Parts(
            controllers=programs[CONTROLLERS] is not None, scheduler=programs[SCHEDULER] is not None, nodes=False
        )
        ports = take(definition.folder / "ports.json", control_plane.PORTS)
        self.server = f"https://{ADDRESS}:{ports['api']}"
        self._aggregated = AggregatedApis(definition, lambda: self.client("admin"), listeners)
        files = definition.authority.write_files(definition.folder / "pki")
        commands: dict[str, list[str]] = {}
        for name, program in programs.items():
            if program is None:
                continue
            if name == "etcd":
                commands[name] = control_plane.etcd(program, definition, ports)
            elif name == "kube-apiserver":
                commands[name] = control_plane.api_server(program, definition, ports, files)
            elif name == CONTROLLERS:
                config = self._config("controllers")
                commands[name] = control_plane.controllers(program, definition, ports, files, config)
            else:
                commands[name] = control_plane.scheduler(program, definition, ports, self._config("scheduler"))
        logs = private_folder(definition.folder / "logs")
        self.programs = {
            name: Program(name, command, log=logs / f"{name}.log", environment=environment, clock=clock)
            for name, command in commands.items()
        }

    async def start(self) -> None:
        """Returns when the API server is ready. Raises ``EngineProblem``."""
        self.programs["etcd"].start()
        self.programs["kube-apiserver"].start()
        await self._ready()
        for name in (CONTROLLERS, SCHEDULER):
            if name in self.programs:
                self.programs[name].start()

    async def stop(self) -> None:
        """Ends all programs within a second."""
        await self._aggregated.close()
        front = [program for name, program in self.programs.items() if name != "etcd"]
        await asyncio.gather(*(program.stop(_API_GRACE_S) for program in front))
        await self.programs["etcd"].stop(_ETCD_GRACE_S)

    async def upgrade(self, version: str) -> None:
        """Raises ``EngineProblem``: the folder has one release."""
        raise EngineProblem(
            f"cluster {self._definition.name!r} cannot become {version}: the programs of {ASSETS} are {self.version}"
        )

    def credential(self, role: str) -> Credential:
        """Certificate and token."""
        authority = self._definition.authority
        pair = authority.client(role)
        return Credential(certificate=pair.certificate, key=pair.key, token=authority.tokens.get(role))

    def client(self, role: str) -> Client:
        authority = self._definition.authority
        return HttpClient(self.server, context=authority.client_context(authority.client(role)))

    def node_client(self, name: str) -> Client:
        authority = self._definition.authority
        return HttpClient(self.server, context=authority.client_context(authority.node_client_pair(name)))

    def connect(self, loopback: Callable[[str], str | None]) -> None:
        """The real API server calls the nodes' own APIs."""

    async def aggregate(self, group: str, version: str, app: ASGI) -> None:
        await self._aggregated.add(group, version, app)

    def _config(self, role: str) -> Path:
        authority = self._definition.authority
        file = self._definition.folder / "pki" / f"{role}.conf"
        write_secret(file, control_plane.kubeconfig(self.server, self.ca, authority.client(role)).encode("ascii"))
        return file

    async def _ready(self) -> None:
        import httpx

        authority = self._definition.authority
        context = authority.client_context(authority.client("admin"))
        deadline = self._clock.monotonic() + _READY_S
        async with httpx.AsyncClient(verify=context, trust_env=False, timeout=5.0) as client:
            while True:
                try:
                    answer = await client.get(f"{self.server}/readyz")
                    if answer.status_code == 200:
                        return
                except httpx.TransportError:
                    pass  # it does not listen yet
                self._give_up(deadline)
                await self._clock.sleep(0.05)

    def _give_up(self, deadline: float) -> None:
        """Raises ``EngineProblem`` for a program that does not stay up, and at the deadline."""
        for program in self.programs.values():
            if program.restarts >= 3:
                raise EngineProblem(
                    f"cluster {self._definition.name!r} does not start: {program.name} ended {program.restarts} times:"
                    f" {program.last_words()}"
                )
        if self._clock.monotonic() > deadline:
            api = self.programs["kube-apiserver"]
            raise EngineProblem(
                f"cluster {self._definition.name!r} was not ready within {_READY_S:.0f} s: {api.last_words()}"
            )
