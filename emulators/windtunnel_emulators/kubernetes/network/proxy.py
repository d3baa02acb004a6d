"""``ServiceProxy``: the addresses of Services, as loopback addresses of this machine.

Each Service with a cluster address is reached by pods at the loopback address that ``ClusterNetwork`` gives for it; one
of type NodePort also at its node port of every node's address; one of type LoadBalancer at a loopback address of its
own, which is written to its status as a cloud would. Only TCP.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import SERVICE
from windtunnel_emulators.kubernetes.client.meta import dig, entries, name_of, namespace_of, number, split_key, text
from windtunnel_emulators.kubernetes.client.objects import Objects
from windtunnel_emulators.kubernetes.client.queue import WorkQueue
from windtunnel_emulators.kubernetes.client.recorder import Recorder
from windtunnel_emulators.kubernetes.network.balancing import Balancer, Endpoints, endpoints
from windtunnel_emulators.kubernetes.network.listener import PortListener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client
    from windtunnel_emulators.kubernetes.network.balancing import Endpoint
    from windtunnel_emulators.kubernetes.network.network import ClusterNetwork
    from windtunnel_emulators.runtime.interface import Runtime

_log = logging.getLogger(__name__)
_API = "default/kubernetes"
_API_ENDPOINT = "api-server"


@dataclass(frozen=True, slots=True, order=True)
class _Port:
    """One place to listen: an address and port, and the name of the Service's port behind it."""

    address: str
    port: int
    name: str
    kind: str
    """``cluster``, ``node`` or ``balancer``."""


class ServiceProxy:
    """A ``Component``; for all nodes of a cluster together.

    With ``elsewhere`` the nodes are not of this process (kind): Services are reached at any node's address and their
    node port, and only load balancers are served here.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        network: ClusterNetwork,
        *,
        runtime: Runtime,
        owner: str,
        nodes: Callable[[], list[str]] = list,
        elsewhere: Callable[[], list[str]] | None = None,
    ) -> None:
        """``owner`` begins what its addresses are called in the runtime; ``nodes`` are the addresses at which node
        ports are opened; ``elsewhere`` the nodes' addresses when they are not of this process."""
        self._objects = Objects(client)
        self._clock = clock
        self._network = network
        self._runtime = runtime
        self._owner = owner
        self._nodes = nodes
        self._elsewhere = elsewhere
        self._recorder = Recorder(client, clock, "service-controller")
        self._queue = WorkQueue(clock)
        self._listeners: dict[str, dict[_Port, PortListener]] = {}
        self._balancers: dict[tuple[str, str], Balancer] = {}
        self._failed: dict[tuple[str, _Port], str] = {}
        self._balanced: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        network.on_change(self._queue.add)

    async def start(self) -> None:
        await self._recorder.start()
        for service in self._network.services.objects():
            self._queue.add(f"{namespace_of(service)}/{name_of(service)}")
        self._task = asyncio.create_task(self._run(), name=f"service proxy of {self._owner}")

    async def stop(self) -> None:
        await self._queue.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for listeners in self._listeners.values():
            for listener in listeners.values():
                await listener.close()
        self._listeners.clear()
        await self._recorder.stop()

    def nodes_changed(self) -> None:
        """A node has come or gone: node ports are opened and closed."""
        for service in self._network.services.objects():
            self._queue.add(f"{namespace_of(service)}/{name_of(service)}")

    async def _run(self) -> None:
        while (key := await self._queue.get()) is not None:
            try:
                await self._sync(key)
                self._queue.forget(key)
            except KubernetesProblem as problem:
                _log.info("service %s: %s", key, problem)
                self._queue.add_rate_limited(key)
            except Exception:
                _log.exception("service %s", key)
                self._queue.add_rate_limited(key)
            finally:
                self._queue.done(key)

    async def _sync(self, key: str) -> None:
        service = self._network.services.by_key(key)
        if service is None or text(service, "spec", "type") == "ExternalName":
            await self._listen(key, set())
            await self._give_up(key)
            return
        self._set_endpoints(key, service)
        balancer = await self._balancer_address(key, service)
        await self._listen(key, set(self._wanted(service, balancer)))
        if balancer is None:
            await self._give_up(key)
            return
        missing = [port for (owner, port) in self._failed if owner == key and port.kind == "balancer"]
        if not missing:
            await self._tell(service, balancer)

    # Endpoints

    def _set_endpoints(self, key: str, service: JsonObject) -> None:
        sticky = 0
        if text(service, "spec", "sessionAffinity") == "ClientIP":
            sticky = number(service, "spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds", default=10800)
        slices = self._network.slices_of(key)
        for port in entries(service, "spec", "ports"):
            name = text(port, "name")
            if key == _API:
                found = Endpoints(ready=((_API_ENDPOINT, 0),))
            elif self._elsewhere is not None:
                behind = endpoints(slices, name)
                there = tuple((address, number(port, "nodePort")) for address in self._elsewhere())
                found = Endpoints(ready=there if behind.ready or behind.serving else ())
            else:
                found = endpoints(slices, name)
            self._balancers.setdefault((key, name), Balancer()).set(found, sticky_s=sticky)

    def _choices(self, key: str, name: str) -> Callable[[str], Iterator[Endpoint]]:
        pods = self._network.pods

        def choose(client: str) -> Iterator[Endpoint]:
            balancer = self._balancers.get((key, name))
            if balancer is None:
                return iter(())
            return balancer.choices(client, self._clock.monotonic(), pods.all_leaving())

        return choose

    def _chosen(self, key: str, name: str) -> Callable[[str, Endpoint], None]:
        def tell(client: str, endpoint: Endpoint) -> None:
            balancer = self._balancers.get((key, name))
            if balancer is not None:
                balancer.chosen(client, endpoint, self._clock.monotonic())

        return tell

    def _resolve(self, endpoint: Endpoint) -> tuple[str, int] | None:
        address, port = endpoint
        if address == _API_ENDPOINT:
            return self._network.api_server
        if self._elsewhere is not None:
            return address, port
        loopback = self._network.pods.loopback(address)
        return None if loopback is None else (loopback, port)

    # Ports

    def _wanted(self, service: JsonObject, balancer: str | None) -> Iterator[_Port]:
        cluster = self._network.service_address(service)
        for port in entries(service, "spec", "ports"):
            if text(port, "protocol", default="TCP") != "TCP":
                self._refuse(service, port)
                continue
            name, number_of_port, node_port = text(port, "name"), number(port, "port"), number(port, "nodePort")
            if balancer is not None:
                yield _Port(balancer, number_of_port, name, "balancer")
            if self._elsewhere is not None:
                continue
            if cluster is not None:
                yield _Port(cluster, number_of_port, name, "cluster")
            if node_port:
                for node in self._nodes():
                    yield _Port(node, node_port, name, "node")

    def _refuse(self, service: JsonObject, port: JsonObject) -> None:
        protocol = text(port, "protocol")
        mark = (f"{namespace_of(service)}/{name_of(service)}", _Port("", number(port, "port"), protocol, "refused"))
        if mark not in self._failed:
            self._failed[mark] = protocol
            said = f"port {number(port, 'port')}/{protocol} is not served: the proxy of this cluster forwards TCP only"
            self._recorder.event(service, "Warning", "UnsupportedProtocol", said)

    async def _listen(self, key: str, wanted: set[_Port]) -> None:
        listeners = self._listeners.setdefault(key, {})
        for port in [port for port in listeners if port not in wanted]:
            await listeners.pop(port).close(keep=bool(wanted))
        for mark in [m for m in self._failed if m[0] == key and m[1].kind != "refused" and m[1] not in wanted]:
            del self._failed[mark]
        for port in sorted(wanted - set(listeners)):
            listener = PortListener(
                port.address,
                port.port,
                choices=self._choices(key, port.name),
                resolve=self._resolve,
                chosen=self._chosen(key, port.name),
            )
            try:
                await listener.open()
            except OSError as problem:
                self._cannot(key, port, problem)
                continue
            self._failed.pop((key, port), None)
            listeners[port] = listener
        if not wanted:
            self._listeners.pop(key, None)
            for each in [each for each in self._balancers if each[0] == key]:
                del self._balancers[each]
            for mark in [m for m in self._failed if m[0] == key]:
                del self._failed[mark]

    def _cannot(self, key: str, port: _Port, problem: OSError) -> None:
        if problem.errno in (errno.EACCES, errno.EPERM):
            why = (
                "this user may not listen on ports below 1024; use a port above, or"
                f" 'sysctl net.ipv4.ip_unprivileged_port_start={port.port}' on this machine"
            )
        elif problem.errno == errno.EADDRINUSE:
            why = "another program of this machine listens there"
        else:
            why = problem.strerror or str(problem)
        before = self._failed.get((key, port))
        self._failed[key, port] = why
        service = self._network.services.by_key(key)
        if before != why and service is not None and key != _API:
            said = f"port {port.port} of {port.address} cannot be opened: {why}"
            reason = "SyncLoadBalancerFailed" if port.kind == "balancer" else "PortNotOpen"
            self._recorder.event(service, "Warning", reason, said)

    # Load balancers

    async def _balancer_address(self, key: str, service: JsonObject) -> str | None:
        """The address of a Service that has a load balancer of ours."""
        spec = service.get("spec")
        if (
            text(spec, "type") != "LoadBalancer"
            or text(spec, "loadBalancerClass")
            or dig(service, "metadata", "deletionTimestamp")
        ):
            return None
        former = [text(i, "ip") for i in entries(service, "status", "loadBalancer", "ingress")]
        if key not in self._balanced:
            self._balanced.add(key)
            if not former:
                self._recorder.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
        return self._runtime.allocate_address(self._name(key), former[0] if former else None)

    async def _give_up(self, key: str) -> None:
        if key not in self._balanced:
            return
        self._balanced.discard(key)
        self._runtime.release_address(self._name(key))
        service = self._network.services.by_key(key)
        if service is not None and entries(service, "status", "loadBalancer", "ingress"):
            await self._write(service, {"loadBalancer": {"ingress": None}})

    async def _tell(self, service: JsonObject, address: str) -> None:
        ingress: list[Json] = [{"ip": address, "ipMode": "VIP"}]
        known = entries(service, "status", "loadBalancer", "ingress")
        if [text(i, "ip") for i in known] == [address]:
            return
        await self._write(service, {"loadBalancer": {"ingress": ingress}})
        self._recorder.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")

    async def _write(self, service: JsonObject, status: JsonObject) -> None:
        try:
            taken = await self._objects.patch(
                SERVICE, namespace_of(service), name_of(service), {"status": status}, subresource="status"
            )
        except StatusError as problem:
            if problem.code != 404:
                raise
            return
        self._network.services.observe(taken)

    def _name(self, key: str) -> str:
        namespace, name = split_key(key)
        return f"{self._owner}/services/{namespace}/{name}"
