"""The state folder: who may use it, what it is known by, and the ready file that tells clients where everything is.

    lock                held by the running process, whose id it holds
    credentials.json    tenant, subscription and the application that clients log in as; made once
    ready.json          there while the emulators run
    state.db            the store
    <part>/             files of each part of the emulators
    ephemeral/          all of that but lock and ready.json, of a process that keeps nothing

StateProblem
+-- AlreadyRunning    another process uses the folder
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.files import private_folder, read_secret, write_secret

if TYPE_CHECKING:
    from collections.abc import Mapping


_BEFORE_THE_START = frozenset(("client", "emulators.log"))
"""What ``windtunnel`` puts into the folder before it starts the emulators."""


class StateProblem(Exception):
    """The state folder cannot be used; the message is a sentence for the user."""


class AlreadyRunning(StateProblem):
    """Another process uses the folder."""


class Credentials(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What clients log in with, and where."""

    tenant: str
    subscription: str
    client_id: str
    client_secret: str

    def __repr__(self) -> str:
        """Without the secret, wherever it may be printed."""
        return f"Credentials(tenant={self.tenant!r}, subscription={self.subscription!r}, client_id={self.client_id!r})"


class Endpoints(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Where everything is."""

    resource_manager: str
    authority: str
    control: str
    managed_identity: str


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What the ready file says."""

    pid: int
    version: str
    endpoints: Endpoints
    environment: dict[str, str]


def default_folder(environment: Mapping[str, str]) -> Path:
    """The user's own state folder: ``WINDTUNNEL_STATE_DIR``, else below the XDG state folder."""
    named = environment.get("WINDTUNNEL_STATE_DIR")
    if named:
        return Path(named)
    base = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME") or Path.home()) / ".local" / "state"
    return Path(base) / "windtunnel"


class State:
    """A state folder that this process holds."""

    def __init__(self, folder: Path | None, *, ephemeral: bool) -> None:
        """Take the folder; None, with ``ephemeral``, is one that is made and removed again. Raises ``StateProblem``."""
        self.ephemeral = ephemeral
        self._temporary = folder is None
        self._ready: list[Path] = []
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="windtunnel-")) if folder is None else private_folder(folder)
            self.folder = self.folder.resolve()
            _close_to_others(self.folder)
            self._lock = self._take()
        except OSError as problem:
            raise StateProblem(f"the state folder {folder} cannot be used: {problem.strerror or problem}") from problem
        self.parts = self.folder / "ephemeral" if ephemeral else self.folder
        """Where the parts of the emulators keep their files."""
        if ephemeral:
            shutil.rmtree(self.parts, ignore_errors=True)  # of a predecessor that was killed
            private_folder(self.parts)
        self.withdraw()

    @property
    def store_file(self) -> Path | None:
        """The store's file; None for memory."""
        return None if self.ephemeral else self.folder / "state.db"

    def credentials(self) -> Credentials:
        """The credentials of this folder, made at the first start. Raises ``StateProblem`` for a damaged file."""
        file = self.parts / "credentials.json"
        content = read_secret(file)
        if content is not None:
            try:
                return msgspec.json.decode(content, type=Credentials)
            except msgspec.DecodeError as problem:
                raise StateProblem(
                    f"{file} is damaged ({problem}); restore it, or use another state folder"
                ) from problem
        made = Credentials(
            tenant=str(uuid.uuid4()),
            subscription=str(uuid.uuid4()),
            client_id=str(uuid.uuid4()),
            # Never a dash first: "az login -p" would take the secret for an option.
            client_secret=f"wt~{secrets.token_urlsafe(30)}",
        )
        write_secret(file, msgspec.json.encode(made))
        return made

    def announce(self, ready: Ready, also: Path | None) -> None:
        """Write the ready file, whole, into the folder and to where the user asked for it."""
        content = msgspec.json.format(msgspec.json.encode(ready), indent=2) + b"\n"
        for file in (self.folder / "ready.json", *([] if also is None else [also])):
            try:
                write_secret(file, content)
            except OSError as problem:
                raise StateProblem(f"the ready file {file} cannot be written: {problem.strerror}") from problem
            self._ready.append(file)

    def withdraw(self) -> None:
        """Take the ready files away; what a predecessor that was killed left in the folder too."""
        for file in {*self._ready, self.folder / "ready.json"}:
            file.unlink(missing_ok=True)
        self._ready.clear()

    def close(self) -> None:
        """Let go of the folder, and of what was not to be kept."""
        self.withdraw()
        if self.ephemeral:
            shutil.rmtree(self.parts, ignore_errors=True)
        os.close(self._lock)
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _take(self) -> int:
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise AlreadyRunning(
                f"the emulators are running already on the state folder {self.folder}, as process"
                f" {holder or 'unknown'}; stop them first, or use another --state-dir"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor


def _close_to_others(folder: Path) -> None:
    """Take away the access that others have to a folder that somebody made for us, as ``mkdir`` gives it.

    A folder that has other things in it is left as it is; what is secret in it has files that others cannot read.
    """
    if folder.stat().st_mode & 0o077 and {path.name for path in folder.iterdir()} <= _BEFORE_THE_START:
        folder.chmod(0o700)
