"""Images: built inside a registry by ACR tasks, so that nothing is needed on this machine; never built twice."""

from __future__ import annotations

import base64
import tempfile
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from xml.sax.saxutils import escape

from windtunnel.adapters.errors import translated
from windtunnel.errors import BuildFailed, Cancelled, ServiceError, WindtunnelError
from windtunnel.interface import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.core.rest import HttpResponse

    from windtunnel.adapters.clients import Clients
    from windtunnel.adapters.registries import Registry
    from windtunnel.context import Context

_RUNNING = frozenset({"Queued", "Started", "Running"})
# Put Blob is limited to 5,000 MiB by the service and to what can be sent again by common sense.
_ONE_PUT = 64 << 20
_BLOCK = 16 << 20
_TIMEOUT_S = 3600
_FIRST_POLL_S = 0.05
_LONGEST_POLL_S = 5.0
_LOG_TAIL_LINES = 40


class Waiting(Protocol):
    """How work waits and learns that it is to stop (``windtunnel.operation.Stop``)."""

    def check(self, left: str = ...) -> None: ...
    def sleep(self, seconds: float, left: str = ...) -> None: ...


def ensure_image(
    clients: Clients,
    registry: Registry,
    context: Context,
    image: str,
    *,
    progress: Callable[[Progress], None],
    waiting: Waiting,
) -> bool:
    """Build ``image`` (``repository:tag``) from the context unless the registry has it; True when it was built.

    Raises ``BuildFailed`` with the end of the log, ``Cancelled``, ``ServiceError``.
    """
    if registry.digest(image) is not None:
        progress(Progress(step=f"image {image} is there already"))
        return False
    progress(Progress(step=f"uploading {context.size / 1e6:.1f} MB of build context"))
    location = _upload(clients, registry, context)
    waiting.check("nothing was built")
    progress(Progress(step=f"building image {image}"))
    _build(clients, registry, location, image, progress, waiting)
    return True


def _upload(clients: Clients, registry: Registry, context: Context) -> str:
    """Where the registry finds the context."""
    with translated("asking for a place to upload the build context"):
        target = clients.tasks.registries.get_build_source_upload_url(registry.group, registry.name)
    if not target.upload_url or not target.relative_path:
        raise ServiceError("the registry gave no place to upload the build context")
    with tempfile.TemporaryDirectory(prefix="windtunnel-") as folder:
        archive = Path(folder) / "context.tar.gz"
        context.save(archive)
        _put_blob(clients, target.upload_url, archive)
    return target.relative_path


def _put_blob(clients: Clients, url: str, file: Path) -> None:
    """A block blob, in one request or, when large, in blocks (Azure Blob service REST API: Put Blob, Put Block)."""
    from azure.core.rest import HttpRequest

    doing = "uploading the build context"
    headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
    if file.stat().st_size <= _ONE_PUT:
        _expect(clients.send(HttpRequest("PUT", url, headers=headers, content=file.read_bytes()), doing), doing)
        return
    ids: list[str] = []
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            ids.append(base64.b64encode(f"{len(ids):08d}".encode()).decode())
            query = f"&comp=block&blockid={ids[-1].replace('=', '%3D').replace('+', '%2B')}"
            _expect(clients.send(HttpRequest("PUT", url + query, content=block), doing), doing)
    listing = "".join(f"<Latest>{escape(name)}</Latest>" for name in ids)
    body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listing}</BlockList>'.encode()
    request = HttpRequest(
        "PUT", f"{url}&comp=blocklist", headers={"x-ms-blob-content-type": "application/gzip"}, content=body
    )
    _expect(clients.send(request, doing), doing)


def _expect(answer: HttpResponse, doing: str) -> None:
    if answer.status_code not in (200, 201):
        raise ServiceError(f"{doing}: the storage answered {answer.status_code}", status=answer.status_code)


def _build(
    clients: Clients,
    registry: Registry,
    location: str,
    image: str,
    progress: Callable[[Progress], None],
    waiting: Waiting,
) -> None:
    request = {
        "type": "DockerBuildRequest",
        "dockerFilePath": "Dockerfile",
        "imageNames": [image],
        "isPushEnabled": True,
        "noCache": False,
        "sourceLocation": location,
        # Azure Container Instances runs nothing else.
        "platform": {"os": "Linux", "architecture": "amd64"},
        "timeout": _TIMEOUT_S,
    }
    with translated(f"starting the build of {image}"):
        run = clients.tasks.registries.schedule_run(registry.group, registry.name, request).properties
    if run is None or not run.run_id:
        raise ServiceError(f"the registry did not say how it runs the build of {image}")
    run_id, log = run.run_id, _Log(clients, registry, run.run_id, progress)
    delay, waited = _FIRST_POLL_S, 0.0
    status = _text(run.status) or "Queued"
    try:
        while status in _RUNNING:
            waiting.sleep(delay, "the build was cancelled")
            waited += delay
            # Quick at first, for builds that take no time; then no oftener than is polite.
            delay = min(_LONGEST_POLL_S, delay * 1.3)
            if waited > _TIMEOUT_S + 60:
                raise BuildFailed(f"the build of {image} (run {run_id}) is not over after {waited:.0f} s")
            with translated(f"asking for the state of run {run_id}"):
                run = clients.tasks.runs.get(registry.group, registry.name, run_id).properties
            status = _text(run.status if run is not None else None) or status
            if delay > 1:
                log.read_on()
    except Cancelled as cancelled:
        try:
            with translated(f"cancelling run {run_id}"):
                clients.tasks.runs.cancel(registry.group, registry.name, run_id)
        except WindtunnelError as error:
            raise Cancelled(f"cancelled; but the build goes on: {error}") from cancelled
        raise
    log.read_on()
    if status != "Succeeded":
        reason = run.run_error_message if run is not None else None
        raise BuildFailed(
            f"the build of {image} ended as {status} (run {run_id})" + (f": {reason}" if reason else ""),
            log=log.tail(),
            way_out="The end of the build log is below; the whole of it is kept in the registry.",
        )


def _text(status: str | Enum | None) -> str:
    """A status of the SDK, which makes a member of an enumeration of those that it knows."""
    return str(status.value if isinstance(status, Enum) else status or "")


class _Log:
    """The log of a run, read on from where it was left."""

    def __init__(self, clients: Clients, registry: Registry, run: str, progress: Callable[[Progress], None]) -> None:
        self._clients = clients
        self._registry = registry
        self._run = run
        self._progress = progress
        self._link: str | None = None
        self._offset = 0
        self._rest = b""
        self._lines: list[str] = []

    def read_on(self) -> None:
        """What was written since; a log that is not there yet is an empty one."""
        from azure.core.rest import HttpRequest

        if self._link is None:
            with translated(f"asking for the log of run {self._run}"):
                link = self._clients.tasks.runs.get_log_sas_url(self._registry.group, self._registry.name, self._run)
            self._link = link.log_link
            if self._link is None:
                return
        request = HttpRequest("GET", self._link, headers={"x-ms-range": f"bytes={self._offset}-"})
        answer = self._clients.send(request, f"reading the log of run {self._run}")
        # 404: the blob is made with its first line; 416: there is nothing after the offset.
        if answer.status_code in (404, 416):
            return
        if answer.status_code not in (200, 206):
            raise ServiceError(
                f"reading the log of run {self._run}: the storage answered {answer.status_code}",
                status=answer.status_code,
            )
        content = answer.content
        if answer.status_code == 200:
            content = content[self._offset :]
        self._offset += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._add(line)

    def _add(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        self._lines = [*self._lines[-_LOG_TAIL_LINES:], text]
        self._progress(Progress(step=text, log=True))

    def tail(self) -> str:
        """The last lines."""
        if self._rest:
            self._add(self._rest)
            self._rest = b""
        return "\n".join(self._lines[-_LOG_TAIL_LINES:])
