"""The edge devices that the emulators have started, found on this machine's disk and spoken to at their control API.

Each is a process of its own, which goes on when the emulators are gone; so nothing here asks the emulators.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel.errors import EmulatorsFailed, InvalidSpec, NotFound
from windtunnel.iothub_errors import sentence_of
from windtunnel.jsontypes import as_object, as_str

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel.jsontypes import Json, JsonObject

FOLDER = "edge"
_DEVICE, _READY, _LOG = "device.json", "ready.json", "edge.log"
_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeDevice:
    """One device, whether it runs or not."""

    folder: Path
    name: str
    hub: str
    """The hub's name."""
    address: str
    pid: int | None
    """None when it does not run."""
    control: str = ""
    token: str = field(default="", repr=False)

    def status(self) -> JsonObject:
        """What it says of itself. Raises ``EmulatorsFailed``."""
        return self._ask("GET", "/status")

    def cut(self) -> JsonObject:
        """Take its cloud away. Raises ``EmulatorsFailed``."""
        return self._ask("POST", "/cut")

    def restore(self) -> JsonObject:
        """Give its cloud back. Raises ``EmulatorsFailed``."""
        return self._ask("POST", "/restore")

    def set_faults(self, faults: JsonObject) -> JsonObject:
        """What is wrong with its link. Raises ``InvalidSpec`` and ``EmulatorsFailed``."""
        return self._ask("PUT", "/faults", faults)

    def waiting(self) -> int:
        """How many messages for the cloud it stores. Raises ``EmulatorsFailed``."""
        found = as_object(self.status().get("queues")).get("$upstream")
        return found if isinstance(found, int) else 0

    def log(self, tail: int) -> str:
        """The end of its own log; empty when it has none."""
        try:
            text = (self.folder / _LOG).read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "".join(f"{line}\n" for line in text.splitlines()[-tail:])

    def _ask(self, method: str, path: str, body: Json = None) -> JsonObject:
        if self.pid is None or not self.control:
            raise EmulatorsFailed(
                f"edge device {self.name!r} does not run (folder {self.folder})",
                log=self.log(30),
                way_out="The emulators start it: windtunnel up",
            )
        # Always on this machine: a proxy of the environment is none of its business.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.control + path, method=method, data=data, headers=headers)  # noqa: S310
        try:
            with opener.open(request, timeout=_LIMIT_S) as answer:
                content: bytes = answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                said = sentence_of(refused.read(2000).decode("utf-8", "replace"))
            if refused.code == 400:
                raise InvalidSpec(said) from refused
            raise EmulatorsFailed(
                f"edge device {self.name!r} answered {method} {path} with {refused.code}: {said}"
            ) from refused
        except OSError as error:
            raise EmulatorsFailed(
                f"edge device {self.name!r} does not answer at {self.control}: {error}", log=self.log(30)
            ) from error
        return as_object(json.loads(content)) if content else {}


class EdgeDevices:
    """Those of one state folder."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER

    def all(self) -> list[EdgeDevice]:
        """By hub and name."""
        files = sorted(self._folder.glob(f"*/*/{_DEVICE}"))
        found = [device for device in map(_read, files) if device is not None]
        return sorted(found, key=lambda device: (device.hub, device.name))

    def find(self, name: str, hub: str | None = None) -> EdgeDevice:
        """Raises ``NotFound``, and ``InvalidSpec`` for a name that devices of two hubs have."""
        devices = self.all()
        found = [d for d in devices if d.name == name and (hub is None or d.hub.lower() == hub.lower())]
        if not found:
            known = ", ".join(device.name for device in devices) or "none"
            raise NotFound(
                f"there is no local edge device {name!r}" + (f" of hub {hub!r}" if hub else ""),
                way_out=f"There are: {known} (windtunnel edge list). A deployment to IoT Edge makes one.",
            )
        if len(found) > 1:
            hubs = ", ".join(device.hub for device in found)
            raise InvalidSpec(f"{len(found)} hubs have a device {name!r}: {hubs}", way_out="Say which one: --hub NAME")
        return found[0]


def _read(file: Path) -> EdgeDevice | None:
    """None for a folder that is being made or removed."""
    said = _json(file)
    ready = _json(file.parent / _READY)
    if not said:
        return None
    pid = ready.get("pid")
    runs = isinstance(pid, int) and _is_alive(pid)
    return EdgeDevice(
        folder=file.parent,
        name=as_str(said.get("deviceId")),
        hub=as_str(said.get("hub")).partition(".")[0],
        address=as_str(said.get("address")),
        pid=pid if runs and isinstance(pid, int) else None,
        control=as_str(ready.get("control")),
        token=as_str(ready.get("token")),
    )


def _json(file: Path) -> JsonObject:
    try:
        return as_object(json.loads(file.read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
