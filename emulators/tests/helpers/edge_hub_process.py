"""An edge device's hub as a process of its own, over TLS, on a fake cloud: for clients that must outlive it.

    python edge_hub_process.py '{"folder": ..., "address": ..., "device": ..., "keys": {"edge/m": ...}, "routes": ...}'

It prints a line when it listens. Then each line of its input is a JSON list, a command with its arguments, and is
answered by a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from edge_fakes import FakeCloud, FakeIdentities, MemoryQueues
from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.edge.hub.definition import EdgeDefinition
from windtunnel_emulators.edge.hub.hub import EdgeHub
from windtunnel_emulators.edge.hub.listening import EdgeListening
from windtunnel_emulators.edge.hub.status import status
from windtunnel_emulators.iot.hub.identity import EDGE_HUB, Who
from windtunnel_emulators.server import Listeners
from windtunnel_emulators.store import Store
from windtunnel_emulators.tls import CertificateAuthority

HUB = "hub1.azure-devices.net"


def who_of(text: str) -> Who:
    device, _, module = text.partition("/")
    return Who(device, module)


class Device:
    """The hub, and what the commands do to it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.folder = Path(given["folder"])
        self.address: str = given["address"]
        self.cloud = FakeCloud(is_reachable=given.get("online", True))
        self.identities = FakeIdentities()
        for name, key in given["keys"].items():
            self.identities.add(who_of(name), key=key)
        self.queues = MemoryQueues()
        self.store = Store(self.folder / "edge.db")
        self.hub = EdgeHub(
            EdgeDefinition(device=given["device"], hub=HUB, address=self.address),
            cloud=self.cloud,
            queues=self.queues,
            identities=self.identities,
            store=self.store,
            clock=RealClock(),
        )
        self.cloud.desire(Who(given["device"], EDGE_HUB), {"schemaVersion": "1.1", "routes": given["routes"]})

    async def serve(self) -> bool:
        """Listen; whether port 443 could be had."""
        now = self.hub.clock.now()
        authority = CertificateAuthority.load_or_create(self.folder / "tls", now=now, environment=os.environ)
        context = authority.own_context("edge", names=("localhost",), addresses=(self.address,), now=now)
        self.listening = EdgeListening(self.hub, Listeners(self.store, context))
        await self.listening.open(context)
        return self.listening.has_https

    async def run(self, command: str, arguments: list[Any]) -> Any:
        """Do what a line says."""
        match command, arguments:
            case "desire", [who, patch]:
                return self.cloud.desire(who_of(who), patch)
            case "reported", [who]:
                return self.cloud.reported(who_of(who))
            case "method", [who, name, payload]:
                result, body = await self.hub.method(who_of(who), name, json.dumps(payload).encode())
                return [result, json.loads(body)]
            case "command", [who, bag, body]:
                return await self.hub.command(who_of(who), bag, body.encode())
            case "upstream", []:
                return [[str(one.sender), one.output, one.bag] for one in self.queues.waiting["$upstream"]]
            case "status", []:
                return status(self.hub)
            case "cut", []:
                return self.cloud.cut()
            case "restore", []:
                return self.cloud.restore()
            case _:
                raise ValueError(command)


async def main() -> None:
    device = Device(json.loads(sys.argv[1]))
    print(json.dumps({"https": await device.serve()}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *arguments = json.loads(line)
        print(json.dumps(await device.run(command, arguments)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
