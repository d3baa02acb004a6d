"""The folder of an edge device: what the device is told of itself, who holds the folder, and where its process is.

    device.json   written by whoever set the device up
    lock          held by the running process, whose id it holds
    ready.json    there while it runs: where its control API is

DeviceProblem
+-- AlreadyRunning   another process has the folder
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.edge.interface import EdgeProblem
from windtunnel_emulators.files import read_secret, write_secret

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

DEVICE, LOCK, READY, LOG = "device.json", "lock", "ready.json", "edge.log"
_ATTEMPTS, _AGAIN_S = 5, 0.02


class DeviceProblem(EdgeProblem):
    """The folder cannot be used; the message is a sentence."""


class AlreadyRunning(DeviceProblem):
    """Another process has the folder."""


class DeviceFile(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """``device.json``."""

    hub: str
    """``NAME.azure-devices.net``."""
    hub_address: str
    service: str
    """``HOST:PORT`` of the hub's service API."""
    device_id: str
    primary_key: str
    address: str
    """The loopback address that the device has for itself."""
    certificate: str
    """The file of the certificate for that address, and of its key."""
    key: str
    ca: str
    """The file of the authorities that the device trusts."""
    authority: str = ""
    """The file of those that modules have to trust; ``ca`` when empty."""
    runtime: str = "process"
    pace: str = "fast"
    environments: str = ""
    """The folder of Python environments, shared with others; one of the device's own when empty."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises ``DeviceProblem``."""
        file = folder / DEVICE
        content = read_secret(file)
        if content is None:
            raise DeviceProblem(f"there is no {file}: it says which device this is")
        try:
            return msgspec.json.decode(content, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise DeviceProblem(f"{file} cannot be read: {problem}") from problem

    def write(self, folder: Path) -> bool:
        """Whether anything is another than it was."""
        content = msgspec.json.encode(self)
        if read_secret(folder / DEVICE) == content:
            return False
        write_secret(folder / DEVICE, content)
        return True

    def __repr__(self) -> str:
        """Without the key."""
        return f"DeviceFile(hub={self.hub!r}, device_id={self.device_id!r}, address={self.address!r})"


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """``ready.json``."""

    pid: int
    control: str
    token: str
    address: str
    device: str
    hub: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """None when there is none, or it is only half there."""
        content = read_secret(folder / READY)
        if content is None:
            return None
        try:
            return msgspec.json.decode(content, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def write(self, folder: Path) -> None:
        write_secret(folder / READY, msgspec.json.encode(self))

    def __repr__(self) -> str:
        """Without the token."""
        return f"Ready(pid={self.pid}, device={self.device!r}, control={self.control!r})"


def hold(folder: Path) -> int:
    """Take the folder for this process, until the descriptor is closed. Raises ``AlreadyRunning``."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # Whoever looks for a holder has it for a moment.
            if attempt < _ATTEMPTS - 1:
                time.sleep(_AGAIN_S)
                continue
            process = _pid(descriptor)
            os.close(descriptor)
            raise AlreadyRunning(f"process {process or 'unknown'} runs the device of {folder} already") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def holder(folder: Path) -> int | None:
    """The process that has the folder; None when nobody has. 0 for one that has not said yet who it is."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(descriptor)
    finally:
        os.close(descriptor)
    return None


def _pid(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else 0
