"""The edge devices of all hubs: the emulators keep a process for every device with ``capabilities.iotEdge``.

Each has a loopback address and a folder of its own, ``<state>/edge/<hub instance>/<device>/``. Processes go on when the
emulators are killed, and are adopted by the next ones; an orderly stop, and the deletion of a device or its hub, ends
them. A device that is disabled keeps its process, as a real one does: the hub just does not let it in.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import shutil
import zlib
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.device import DeviceFile
from windtunnel_emulators.files import private_folder
from windtunnel_emulators.iot.hub import addresses
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.tls import CertificateAuthority

from .edge_process import CannotStart, EdgeProcess

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.listening import Listening
    from windtunnel_emulators.jsontypes import Json
    from windtunnel_emulators.world import World

_FIRST_BLOCK, _BLOCKS = 1, 200
"""Devices are at 127.0.1.x to 127.0.200.x, behind the hubs. Where they begin to look depends on the state folder: a
device that starts again finds its address free then, whatever other emulators have started meanwhile."""
_LONGEST_NAME = 80
_STOP_S = 0.8
_log = logging.getLogger(__name__)


class Fleet:
    """Of all hubs. ``folder`` of the world's is where devices' folders are."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._folder = world.folder / "edge"
        self._block = _FIRST_BLOCK + zlib.crc32(os.fsencode(world.folder)) % _BLOCKS
        self._authority = CertificateAuthority(world.folder / "tls")
        self._processes: dict[str, dict[str, EdgeProcess]] = {}
        self._hubs: dict[str, tuple[Hub, Listening]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, hub: Hub, listening: Listening) -> None:
        """A hub that listens: its devices are kept from now on."""
        key = hub.definition.key
        self._hubs[key] = (hub, listening)
        processes = self._processes.setdefault(key, {})
        for process in processes.values():
            process.changed()
        for identity in list(hub.identities.each()):
            if identity.edge and not identity.module:
                self._keep(key, identity.device)
        hub.identities.listen(lambda who: self._soon(key, who))

    def leave(self, key: str) -> None:
        """A hub that listens no more, for now: its devices go on without it."""
        self._hubs.pop(key, None)

    async def remove(self, key: str) -> None:
        """A hub that is deleted: its devices end, and what they kept is gone."""
        self._hubs.pop(key, None)
        processes = self._processes.pop(key, {})
        await asyncio.gather(*(self._forget(key, process) for process in processes.values()))
        shutil.rmtree(self._folder / key, ignore_errors=True)

    async def stop(self) -> None:
        """End all processes in order, within a second; those that take longer end by themselves."""
        for task in list(self._tasks):
            task.cancel()
        all_ = [process for processes in self._processes.values() for process in processes.values()]
        ended = await asyncio.gather(*(process.stop(_STOP_S) for process in all_))
        late = ended.count(False)
        if late:
            _log.info("%d edge devices are still ending their modules", late)

    def shown(self) -> list[Json]:
        """All of them, for people."""
        return [process.shown() for processes in self._processes.values() for process in processes.values()]

    # What happens to devices.

    def _soon(self, key: str, who: Who) -> None:
        """The registry's transaction may still be open, and may be undone: look when it is over."""
        if not who.module:
            asyncio.get_running_loop().call_soon(self._look, key, who.device)

    def _look(self, key: str, device: str) -> None:
        found = self._hubs.get(key)
        if found is None:
            return
        identity = found[0].identities.get(Who(device))
        process = self._processes.setdefault(key, {}).get(device)
        if identity is not None and identity.edge:
            if process is None:
                self._keep(key, device)
            else:
                process.changed()
        elif process is not None:
            del self._processes[key][device]
            task = asyncio.get_running_loop().create_task(self._forget(key, process), name=f"end of {device}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _keep(self, key: str, device: str) -> None:
        if device in self._processes[key]:
            return
        hub, _ = self._hubs[key]
        private_folder(self._folder)
        private_folder(self._folder / key)
        folder = private_folder(self._folder / key / safe_name(device))
        process = EdgeProcess(
            device, hub.definition.name, folder, self._world.clock, lambda: self._settings(key, device, folder)
        )
        self._processes[key][device] = process
        process.start()

    async def _forget(self, key: str, process: EdgeProcess) -> None:
        await process.remove()
        shutil.rmtree(process.folder, ignore_errors=True)
        addresses.give_back(self._world.store, _name(key, process.device))
        self._authority.forget(_name(key, process.device))

    def _settings(self, key: str, device: str, folder: Path) -> DeviceFile:
        """What a device is told. Raises ``CannotStart``."""
        from windtunnel_emulators.edge.device import holder

        found = self._hubs.get(key)
        if found is None:
            raise CannotStart("its hub does not listen")
        hub, listening = found
        keys = hub.identities.keys(Who(device))
        if not keys.primary:
            raise CannotStart("it has no symmetric key, and edge devices with certificates are not supported here")
        world = self._world
        address = self._address(key, device, running=holder(folder) is not None)
        certificate, key_file = self._authority.own_files(
            _name(key, device), names=("localhost",), addresses=(address,), now=world.clock.now()
        )
        return DeviceFile(
            hub=hub.definition.host_name,
            hub_address=hub.definition.address,
            service=f"{hub.definition.address}:{listening.port}",
            device_id=device,
            primary_key=keys.primary,
            address=address,
            certificate=str(certificate),
            key=str(key_file),
            ca=str(self._authority.bundle_file),
            authority=str(self._authority.ca_file),
            runtime=world.runtime.name,
            pace=world.pace.name,
            environments=str(world.folder / "environments"),
        )

    def _address(self, key: str, device: str, *, running: bool) -> str:
        """The device's own: what it had, or one whose port 8883 is free."""
        name = _name(key, device)
        if running:
            known = addresses.remembered(self._world.store, name)
            if known is not None:
                return known
        try:
            place = addresses.take(self._world.store, name, device, first_block=self._block)
        except addresses.NoAddress as problem:
            raise CannotStart(str(problem)) from problem
        # Its process takes the port in a moment; among hubs and devices the address is this one's by the store.
        place.mqtt.close()
        return place.address


def safe_name(device: str) -> str:
    """The name of a device's folder: of letters, digits, ``-`` and ``_``, another for each device."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", device)[:_LONGEST_NAME]
    if plain == device and plain == plain.lower():
        return plain
    # File systems may not tell capitals apart.
    return f"{plain}-{hashlib.sha256(device.encode()).hexdigest()[:12]}"


def _name(key: str, device: str) -> str:
    """Of a device's address and certificate."""
    return f"edge-{key}-{safe_name(device)}"
