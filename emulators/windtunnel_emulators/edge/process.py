"""The process of one edge device: puts its parts together, starts them in order, and stops them in order.

It works without its hub: nothing here waits for the cloud. It ends with SIGTERM or SIGINT, orderly; when its folder has
vanished; and when a part of it has failed in a way that nobody foresaw, for whoever started it to start it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.clock import Pace, RealClock
from windtunnel_emulators.edge.agent.agent import Agent
from windtunnel_emulators.edge.agent.backup import Backup
from windtunnel_emulators.edge.agent.connection import AgentConnection
from windtunnel_emulators.edge.agent.listing import ModuleListing
from windtunnel_emulators.edge.agent.machine import Machine
from windtunnel_emulators.edge.agent.methods import AgentMethods
from windtunnel_emulators.edge.agent.records import Records
from windtunnel_emulators.edge.agent.uploads import Uploads
from windtunnel_emulators.edge.control import NAME as CONTROL
from windtunnel_emulators.edge.control import EdgeControl
from windtunnel_emulators.edge.device import LOG, READY, DeviceFile, DeviceProblem, Ready, hold
from windtunnel_emulators.edge.hub.definition import EdgeDefinition
from windtunnel_emulators.edge.hub.hub import EdgeHub
from windtunnel_emulators.edge.hub.listening import EdgeListening
from windtunnel_emulators.edge.interface import UPSTREAM
from windtunnel_emulators.edge.modules import make_runtime
from windtunnel_emulators.edge.queues import DurableQueues
from windtunnel_emulators.edge.upstream.cloud import UpstreamCloud
from windtunnel_emulators.edge.upstream.link import Link
from windtunnel_emulators.edge.upstream.place import Place, Signer
from windtunnel_emulators.edge.upstream.registry import Registry
from windtunnel_emulators.edge.upstream.rest import Rest
from windtunnel_emulators.edge.upstream.scope import Scope
from windtunnel_emulators.edge.upstream.sink import UpstreamSink
from windtunnel_emulators.edge.workload.places import Places
from windtunnel_emulators.edge.workload.secrets import Secrets
from windtunnel_emulators.edge.workload.sockets import Sockets
from windtunnel_emulators.files import private_folder
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.server import Listeners
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from windtunnel_emulators.clock import Clock

_GRACE_S = 5.0
"""For the modules, at the end."""
_LOOK_S = 1.0
_log = logging.getLogger(__name__)


class EdgeDevice:
    """One device, from start to stop."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self._folder = folder
        self._clock = clock or RealClock()
        self._stack = contextlib.AsyncExitStack()
        self._lock = -1
        self.failed = asyncio.Event()
        """A part has failed, or the folder has vanished: the device has to be stopped."""
        self.vanished = False

    async def start(self) -> Ready:
        """Raises ``EdgeProblem``, ``StoreProblem``, ``PortTaken``, ``RuntimeProblem``, having undone what was done."""
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything, in the opposite order; what was acknowledged is on the disk."""
        await self._stack.aclose()

    async def _start(self) -> Ready:
        folder, clock = self._folder, self._clock
        file = DeviceFile.read(folder)
        pace = _pace(file)
        self._lock = hold(folder)
        self._stack.callback(os.close, self._lock)
        (folder / READY).unlink(missing_ok=True)
        store = Store(folder / "edge.db")
        self._stack.callback(store.close)
        trusted = _trusted(file)

        # The way to the cloud.
        link = Link(folder / "link.json", clock)
        place = Place(hub=file.hub, address=file.hub_address, service=file.service, tls=trusted, link=link, clock=clock)
        own = Signer(who=Who(file.device_id), key=file.primary_key)
        rest = Rest(place)
        scope = Scope(folder / "scope.json", own, rest, clock)
        cloud = UpstreamCloud(place, scope)
        self._stack.push_async_callback(cloud.close)
        self._run(link.run(), "link")
        self._run(scope.run(), "scope")
        self._run(cloud.run(), "cloud")

        # The local hub.
        queues = DurableQueues(folder / "queues.db", clock, pace)
        self._stack.push_async_callback(queues.close)
        self._run(queues.run(), "queues")
        hub = EdgeHub(
            EdgeDefinition(
                device=file.device_id,
                hub=file.hub,
                address=file.address,
                other_names=frozenset(("localhost", file.hub_address)),
            ),
            cloud=cloud,
            queues=queues,
            identities=scope,
            store=store,
            clock=clock,
        )
        context = _context(file)
        listeners = Listeners(store, context)
        self._stack.push_async_callback(listeners.close_all)
        listening = EdgeListening(hub, listeners)
        self._stack.push_async_callback(listening.close)
        await listening.open(context)
        queues.attach(UPSTREAM, UpstreamSink(cloud))
        cloud.start()

        # The modules.
        connection = AgentConnection(place, scope)
        self._stack.push_async_callback(connection.close)
        agent = await self._agent(file, pace, connection, scope, Registry(rest, own, scope), link, trusted)
        uploads = Uploads(link, trusted)
        self._stack.push_async_callback(uploads.close)
        connection.answer(
            AgentMethods(agent, uploads, clock=clock, host=file.hub, device=file.device_id, log=folder / LOG)
        )
        connection.open()

        control = EdgeControl(link=link, cloud=cloud, hub=hub, queues=queues, agent=agent)
        port = await listeners.open(CONTROL, control, tls=False)
        ready = Ready(
            pid=os.getpid(),
            control=f"http://127.0.0.1:{port}",
            token=control.token,
            address=file.address,
            device=file.device_id,
            hub=file.hub,
        )
        ready.write(folder)
        self._stack.callback(self._withdraw)
        self._run(self._watch_folder(), "folder")
        _log.info("device %s of %s listens at %s", file.device_id, file.hub, file.address)
        return ready

    async def _agent(
        self,
        file: DeviceFile,
        pace: Pace,
        connection: AgentConnection,
        scope: Scope,
        registry: Registry,
        link: Link,
        trusted: ssl.SSLContext,
    ) -> Agent:
        folder, clock = self._folder, self._clock
        modules = private_folder(folder / "modules")
        runtime, images = make_runtime(file, folder, clock, link=link, tls=trusted)
        self._stack.push_async_callback(runtime.close)
        await runtime.start_up()
        sockets = Sockets(folder / "sockets")
        sockets.sweep()
        self._stack.push_async_callback(sockets.close_all)
        listing = ModuleListing()
        places = Places(
            device=file.device_id,
            host=file.hub,
            address=file.address,
            known=scope,
            secrets=Secrets(private_folder(folder / "secrets"), Path(file.authority or file.ca)),
            sockets=sockets,
            listing=listing,
            runtime=runtime,
            clock=clock,
        )
        machine = Machine(
            runtime=runtime,
            images=images,
            surroundings=places,
            records=Records(folder / "modules.json"),
            clock=clock,
            folder=modules,
            owner=f"edge device {file.device_id}",
        )
        agent = Agent(
            cloud=connection,
            machine=machine,
            identities=registry,
            backup=Backup(folder),
            clock=clock,
            pace=pace,
        )
        listing.of(agent)
        # Registered first, so that the agent ends before it says good-bye.
        self._stack.push_async_callback(agent.stop, _GRACE_S)
        self._run(agent.run(), "agent")
        return agent

    def _run(self, work: Coroutine[object, object, None], name: str) -> None:
        """Until the end, when it is cancelled; it is not expected to end before."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(self._ended)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(end)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        problem = task.exception()
        if problem is not None:
            _log.error("the %s has failed, and the device stops", task.get_name(), exc_info=problem)
            self.failed.set()

    def _withdraw(self) -> None:
        (self._folder / READY).unlink(missing_ok=True)

    async def _watch_folder(self) -> None:
        """Until the folder is another's, or gone: the device was removed."""
        held = os.fstat(self._lock)
        while True:
            await self._clock.sleep(_LOOK_S)
            try:
                found = os.stat(self._folder / "lock")
            except OSError:
                break
            if (found.st_ino, found.st_dev) != (held.st_ino, held.st_dev):
                break
        _log.warning("the folder of the device is gone, and so is the device")
        self.vanished = True
        self.failed.set()


async def serve(folder: Path) -> int:
    """Run until SIGTERM or SIGINT; the exit status. Raises what ``EdgeDevice.start`` raises."""
    loop = asyncio.get_running_loop()
    device = EdgeDevice(folder)
    asked = False

    def ask() -> None:
        nonlocal asked
        asked = True
        device.failed.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    await device.start()
    try:
        await device.failed.wait()
        _log.info("stopping")
    finally:
        await device.stop()
    return 0 if asked or device.vanished else 1


def _pace(file: DeviceFile) -> Pace:
    try:
        return Pace.parse(file.pace)
    except ValueError as problem:
        raise DeviceProblem(f"device.json: {problem}") from problem


def _trusted(file: DeviceFile) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=file.ca)
    except OSError as problem:
        raise DeviceProblem(f"the authorities in {file.ca} cannot be read: {problem}") from problem
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _context(file: DeviceFile) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(file.certificate, file.key)
    except OSError as problem:
        raise DeviceProblem(f"the certificate {file.certificate} cannot be used: {problem}") from problem
    return context
