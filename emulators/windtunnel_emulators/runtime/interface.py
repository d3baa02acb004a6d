"""How containers run: the seam under every emulator that runs something (container group, pod, edge module).

RuntimeProblem
+-- ImageError       an image that cannot be had or cannot run here, and why
+-- StartError       a container that could not be started, and why
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime
    from pathlib import Path


class RuntimeProblem(Exception):
    """Anything that a runtime could not do; the message is a sentence for the user."""


class ImageError(RuntimeProblem):
    """An image that cannot be had (``denied``: wrong credentials, or no such image) or cannot run here."""

    def __init__(self, message: str, *, denied: bool) -> None:
        super().__init__(message)
        self.denied = denied


class StartError(RuntimeProblem):
    """A container that could not be started: no such command, a mount that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """For one registry."""

    server: str
    username: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that is ready to run on this runtime."""

    reference: str
    digest: str
    """``sha256:...`` of its manifest."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    working_directory: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    exposed_ports: tuple[int, ...] = ()
    root: Path | None = None
    """Where the process runtime unpacked it; None elsewhere."""
    packages: Path | None = None
    """The folder of Python packages that its ``RUN pip install`` asked for; None when it has none."""
    complete: bool = False
    """Its root has all that it needs, libraries included: the process runtime adds no program of the machine's."""
    stand_in: str | None = None
    """The sentence that says what stands in for the image; None for a real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder or file of this machine at a path of the container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One container to start."""

    id: str
    """Unique in this runtime; letters, digits, ``-``, ``_`` and ``.`` only."""
    owner: str
    """What it belongs to, for messages and sweeping."""
    image: Image
    command: tuple[str, ...] = ()
    """Replaces the image's entry point and command when given (ACI's rule)."""
    arguments: tuple[str, ...] = ()
    """Replaces only the image's command (Kubernetes' ``args``)."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    working_directory: str | None = None
    ports: tuple[int, ...] = ()
    group_ports: tuple[int, ...] = ()
    """The ports of its whole group, for a runtime that has to open them all at once."""
    address: str
    """The loopback address that its group answers at."""
    cpu: float | None = None
    """Cores; None for no limit."""
    memory_bytes: int | None = None
    mounts: tuple[Mount, ...] = ()
    takes_input: bool = False
    """It has a standard input that ``Container.attach`` writes to; nothing to read otherwise."""
    terminal: bool = False
    """Its standard files are a terminal."""
    hostname: str | None = None
    """What it is told that its machine is called; None for a name made of the id."""
    log: Path
    """Output is appended here, a line at a time as ``<RFC 3339 time> <stdout|stderr> <text>``."""
    directory: Path
    """The container's own folder: its writable layer and temporary files; removed by whoever made it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a container ended."""

    code: int
    """0-255; 128 + signal for one that was ended by a signal."""
    reason: str
    """``Completed``, ``Error`` or ``OOMKilled``."""
    started: datetime
    finished: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container uses, its children included."""

    cpu_seconds: float
    memory_bytes: int


class ExecSession(Protocol):
    """A process in a running container, with its input and output."""

    async def send(self, data: bytes) -> None:
        """Raises ``BrokenPipeError`` when the process does not read any more."""
        ...

    async def resize(self, rows: int, columns: int) -> None: ...
    async def close_input(self) -> None:
        """The process reads the end of its input; nothing for a terminal, whose users send an end themselves."""
        ...

    def output(self) -> AsyncIterator[bytes]:
        """stdout and stderr as they come (stdout alone for a session with ``separate`` outputs); ends with the
        process."""
        ...

    def errors(self) -> AsyncIterator[bytes]:
        """stderr of a session with ``separate`` outputs, nothing otherwise; ends with the process."""
        ...

    async def wait(self) -> int: ...
    async def close(self) -> None:
        """Ends the process if it still runs."""
        ...


class Attachment(Protocol):
    """What is seen of a running container by who attached to it: what it writes from then on."""

    def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """(``stdout`` or ``stderr``, what was written); ends with the container."""
        ...

    async def send(self, data: bytes) -> None:
        """To its input. Raises ``BrokenPipeError`` when it has none or does not read any more."""
        ...

    async def close_input(self) -> None: ...
    async def resize(self, rows: int, columns: int) -> None: ...
    def close(self) -> None:
        """See nothing more; the container goes on."""
        ...


class Container(Protocol):
    """A started container."""

    @property
    def spec(self) -> ContainerSpec: ...
    @property
    def started(self) -> datetime: ...
    @property
    def running(self) -> bool: ...
    async def wait(self) -> Exit:
        """May be called any number of times, by any number of tasks."""
        ...

    async def stop(self, grace_s: float) -> Exit:
        """SIGTERM, then SIGKILL to all its processes after the grace; safe to call twice."""
        ...

    async def execute(
        self, command: tuple[str, ...], *, terminal: tuple[int, int] | None = None, separate: bool = False
    ) -> ExecSession:
        """``terminal`` is (rows, columns) for a TTY; ``separate`` keeps stderr apart. Raises ``StartError``."""
        ...

    def attach(self) -> Attachment:
        """Raises ``StartError`` where the runtime cannot."""
        ...

    def usage(self) -> Usage: ...


class Runtime(Protocol):
    """Runs containers on this machine. Everything it started ends with the emulators, even when they are killed."""

    @property
    def name(self) -> str:
        """``process`` or ``docker``."""
        ...

    def limits(self) -> Mapping[str, str]:
        """What it enforces here and what not, in words: ``{"memory": "...", "cpu": "...", "filesystem": "..."}``."""
        ...

    async def start_up(self) -> None:
        """End whatever a predecessor that was killed left running."""
        ...

    async def close(self) -> None:
        """End everything that still runs."""
        ...

    async def pull(self, reference: str, credentials: tuple[Credentials, ...] = ()) -> Image:
        """Raises ``ImageError``."""
        ...

    async def start(self, spec: ContainerSpec) -> Container:
        """Raises ``StartError``."""
        ...

    def allocate_address(self, owner: str, preferred: str | None = None) -> str:
        """A loopback address for a group, always the same for the same owner as long as it is not released.

        ``preferred`` is what the owner had before the emulators were restarted: it gets that again when it is free.
        """
        ...

    def release_address(self, owner: str) -> None: ...
