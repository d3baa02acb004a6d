"""A connection to a Docker engine: the docker package, called in threads, with types and with our errors.

The package is imported with the first connection, and by its name alone, since it comes without types of its own.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from windtunnel_emulators.runtime.interface import RuntimeProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import IO

    from windtunnel_emulators.jsontypes import JsonObject

T = TypeVar("T")

_WORKERS = 16


class EngineProblem(RuntimeProblem):
    """What the engine refused, with its status; None when it does not answer at all."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


class DockerApi(Protocol):
    """What is used of ``docker.APIClient``; every call blocks."""

    def version(self) -> JsonObject: ...
    def pull(
        self, repository: str, tag: str | None, *, stream: bool, decode: bool, auth_config: Mapping[str, str] | None
    ) -> Iterator[JsonObject]: ...
    def push(
        self, repository: str, tag: str | None, *, stream: bool, decode: bool, auth_config: Mapping[str, str] | None
    ) -> Iterator[JsonObject]: ...
    def tag(self, image: str, repository: str, tag: str | None) -> bool: ...
    def remove_image(self, image: str, *, noprune: bool) -> object: ...
    def build(
        self,
        *,
        fileobj: IO[bytes],
        custom_context: bool,
        encoding: str | None,
        dockerfile: str,
        buildargs: Mapping[str, str],
        target: str | None,
        nocache: bool,
        rm: bool,
        forcerm: bool,
        decode: bool,
    ) -> Iterator[JsonObject]: ...
    def inspect_image(self, image: str) -> JsonObject: ...
    def import_image_from_data(self, data: bytes, *, repository: str, tag: str, changes: Sequence[str]) -> str: ...
    def create_host_config(self, **settings: object) -> JsonObject: ...
    def create_container(self, image: str, **settings: object) -> JsonObject: ...
    def start(self, container: str) -> None: ...
    def kill(self, container: str, signal: str | int | None = None) -> None: ...
    def wait(self, container: str, timeout: int | None = None) -> JsonObject: ...
    def inspect_container(self, container: str) -> JsonObject: ...
    def remove_container(self, container: str, *, v: bool, force: bool) -> None: ...
    def containers(self, *, all: bool, filters: Mapping[str, str]) -> list[JsonObject]: ...
    def attach_socket(self, container: str, params: Mapping[str, int]) -> object: ...
    def stats(self, container: str, *, stream: bool, one_shot: bool) -> JsonObject: ...
    def exec_create(
        self,
        container: str,
        cmd: Sequence[str],
        *,
        stdin: bool,
        tty: bool,
        environment: Mapping[str, str] | None,
    ) -> JsonObject: ...
    def exec_start(self, exec_id: str, *, tty: bool, socket: bool) -> object: ...
    def exec_inspect(self, exec_id: str) -> JsonObject: ...
    def exec_resize(self, exec_id: str, *, height: int, width: int) -> None: ...
    def close(self) -> None: ...


class Engine:
    """One engine. Calls run in threads of its own, so that a slow pull keeps nothing else waiting."""

    def __init__(self, url: str | None = None) -> None:
        """``url`` None asks ``DOCKER_HOST`` and then Docker's current context, as the ``docker`` command does."""
        self._url = url
        self._shared: DockerApi | None = None
        self._connecting = threading.Lock()
        self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="docker")

    @property
    def url(self) -> str:
        """Where it is. Raises ``EngineProblem`` when the docker package is not installed."""
        if self._url is None:
            self._url = os.environ.get("DOCKER_HOST") or _context_host()
        return self._url

    @property
    def connected(self) -> bool:
        """It has answered, and ``close`` was not called."""
        return self._shared is not None

    async def call(self, work: Callable[[DockerApi], T]) -> T:
        """The result of a call, or of several. Raises ``EngineProblem``."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.call_here, work)

    def call_here(self, work: Callable[[DockerApi], T]) -> T:
        """The same in the own thread, which is blocked."""
        with self._connecting:
            shared = self._shared = self._shared or self.connect()
        return checked(lambda: work(shared), self.url)

    def connect(self) -> DockerApi:
        """A connection of its own, for a thread that holds on to a stream."""
        return checked(lambda: _connect(self.url), self.url)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._shared is not None:
            self._shared.close()
            self._shared = None


def checked(work: Callable[[], T], url: str) -> T:
    """The result, with the package's errors turned into ``EngineProblem``."""
    docker = _package()
    errors = docker.errors
    try:
        return work()
    except errors.APIError as error:
        raise EngineProblem(_explanation(error), _status(error)) from error
    except (errors.DockerException, OSError) as error:
        # requests' errors are OSErrors.
        raise EngineProblem(
            f"no Docker engine answers at {url} ({error}); start Docker, or use --runtime process", None
        ) from error


class _Errors(Protocol):
    APIError: type[Exception]
    DockerException: type[Exception]


class _Docker(Protocol):
    errors: _Errors


def _package() -> _Docker:
    try:
        return cast("_Docker", importlib.import_module("docker"))
    except ModuleNotFoundError as error:
        raise EngineProblem(
            "the docker runtime needs the package docker: pip install 'windtunnel[docker]'", None
        ) from error


def _connect(url: str) -> DockerApi:
    docker = _package()
    if url.startswith("unix://"):
        # The package would leave its socket open when nobody listens.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(url.removeprefix("unix://"))
    utils = importlib.import_module("docker.utils")
    settings: dict[str, object] = utils.kwargs_from_env() if os.environ.get("DOCKER_HOST") == url else {}
    make = cast("Callable[..., DockerApi]", vars(docker)["APIClient"])
    # A stream may be silent for as long as its container is, so there is no limit on a read.
    return make(**{**settings, "base_url": url, "version": "auto", "timeout": None})


def _context_host() -> str:
    _package()
    contexts = importlib.import_module("docker.context")
    found: object = contexts.ContextAPI.get_current_context()
    host: object = getattr(found, "Host", None)
    return host if isinstance(host, str) else "unix:///var/run/docker.sock"


def _explanation(error: Exception) -> str:
    explanation: object = getattr(error, "explanation", None)
    text = explanation.decode("utf-8", "replace") if isinstance(explanation, bytes) else explanation
    return (text if isinstance(text, str) and text else str(error)).strip()


def _status(error: Exception) -> int | None:
    status: object = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None
