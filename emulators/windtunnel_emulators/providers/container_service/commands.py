"""``az aks command invoke``: a command line that runs with a cluster's admin kubeconfig, its files beside it.

On Azure it runs in a pod of the cluster that has kubectl and helm. Here it is a child process of the emulators, with
this machine's programs: in a folder of its own that is removed afterwards, with an environment that has nothing but a
path, that folder and the kubeconfig, within limits of time, memory and output, and ended with all that it
started. It is not kept from reading what the user who started the emulators can read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import io
import os
import secrets
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.arm.errors import ArmError, not_implemented
from windtunnel_emulators.arm.longrunning import retry
from windtunnel_emulators.arm.provider import Action, Reply
from windtunnel_emulators.files import private_folder, write_secret
from windtunnel_emulators.images import children
from windtunnel_emulators.jsontypes import as_object

from . import checks, plans

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.world import World

    from .service import ContainerService

_LIMIT_S = 600.0
_LONGEST_COMMAND = 64 * 1024
_LONGEST_LOG = 512 * 1024
_MOST_FILES = 2000
_MOST_BYTES = 64 * 1024 * 1024
_AT_ONCE = 4
# Memory in KiB, size of a file in blocks of 512 bytes; then the command, in the same shell.
_SHELL = 'ulimit -v 4194304; ulimit -f 262144; cd "$HOME/command-files" && eval "$WINDTUNNEL_COMMAND"'
_KEPT = 100


class Result(msgspec.Struct, kw_only=True, rename="camel"):
    """One command, running or done."""

    id: str
    cluster: str
    """Its uid."""
    started_at: str
    finished_at: str = ""
    exit_code: int | None = None
    logs: str = ""
    state: str = "Running"
    reason: str = ""


class Commands:
    """The commands of all clusters; results are kept until the cluster is gone, the latest hundred of each."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._folder = world.folder / "kubernetes-commands"
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(_AT_ONCE)

    def sweep(self) -> None:
        """Commands that were cut off have failed, and say so."""
        if not self._folder.is_dir():
            return
        for file in self._folder.glob("*/*.json"):
            found = msgspec.json.decode(file.read_bytes(), type=Result)
            if found.state == "Running":
                found.state, found.reason = "Failed", "The emulators were stopped while it ran."
                found.finished_at = self._now()
                self._save(found)

    def start(self, cluster: str, kubeconfig: str, command: str, context: bytes) -> Result:
        """Run a command behind the answer. Raises ``ArmError`` 400 for files that are no usable zip."""
        work = Path(tempfile.mkdtemp(prefix="windtunnel-command-"))
        try:
            files = private_folder(work / "command-files")
            if context:
                _unpack(context, files)
            write_secret(work / "kubeconfig", kubeconfig.encode("utf-8"))
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        made = Result(id=secrets.token_hex(16), cluster=cluster, started_at=self._now())
        self._save(made)
        self._prune(cluster)
        task = asyncio.create_task(self._run(made, work, command), name=f"command {made.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return made

    def get(self, cluster: str, id: str) -> Result | None:
        """None for an id that is none of the cluster's."""
        if not id.isalnum():
            return None
        try:
            content = (self._folder / cluster / f"{id}.json").read_bytes()
        except FileNotFoundError:
            return None
        return msgspec.json.decode(content, type=Result)

    def forget(self, cluster: str) -> None:
        """A cluster is gone."""
        shutil.rmtree(self._folder / cluster, ignore_errors=True)

    async def close(self) -> None:
        """End what runs."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, result: Result, work: Path, command: str) -> None:
        lines: list[str] = []
        size = 0

        def log(line: str) -> None:
            nonlocal size
            size += len(line) + 1
            if size <= _LONGEST_LOG:
                lines.append(line)

        try:
            async with self._gate:
                outcome = await children.run(
                    ["/bin/sh", "-c", _SHELL], self._environment(work, command), log, limit_s=_LIMIT_S
                )
            result.exit_code = _exit_code(outcome.code)
            if outcome.code is None:
                lines.append(f"The command was ended after {_LIMIT_S:.0f} seconds.")
            result.state = "Succeeded"
        except asyncio.CancelledError:
            result.state, result.reason = "Failed", "The emulators were stopped while it ran."
            raise
        except OSError as problem:
            result.state, result.reason = "Failed", f"It could not be started: {problem}."
        finally:
            if size > _LONGEST_LOG:
                lines.append(f"The output is cut off at {_LONGEST_LOG} characters.")
            result.logs = "".join(f"{line}\n" for line in lines)
            result.finished_at = self._now()
            with contextlib.suppress(FileNotFoundError):  # the cluster is gone
                self._save(result)
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)

    def _environment(self, work: Path, command: str) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
            "HOME": str(work),
            "TMPDIR": str(work),
            "KUBECONFIG": str(work / "kubeconfig"),
            "LANG": "C.UTF-8",
            "WINDTUNNEL_COMMAND": command,
        }

    def _save(self, result: Result) -> None:
        folder = private_folder(self._folder / result.cluster)
        write_secret(folder / f"{result.id}.json", msgspec.json.encode(result))

    def _prune(self, cluster: str) -> None:
        files = sorted((self._folder / cluster).glob("*.json"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_KEPT]:
            file.unlink(missing_ok=True)

    def _now(self) -> str:
        return f"{self._world.clock.now():%Y-%m-%dT%H:%M:%SZ}"


async def run_command(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Start a command; its result is asked for at the ``Location``."""
    assert cluster is not None
    if as_object(cluster.properties.get("apiServerAccessProfile")).get("disableRunCommand") is True:
        raise ArmError(
            403,
            "RunCommandDisabled",
            f"Run command is disabled for managed cluster '{cluster.id.name}' (apiServerAccessProfile"
            ".disableRunCommand).",
        )
    body = as_object(call.body)
    command = checks.text(body, "command", "runCommand")
    if command is None or not command.strip():
        raise checks.invalid("command", "command is required")
    if len(command) > _LONGEST_COMMAND or "\0" in command:
        raise checks.invalid("command", f"command must be text of at most {_LONGEST_COMMAND} characters")
    if not Path("/bin/sh").exists():
        raise not_implemented("Running commands on a machine without a shell", "Use kubectl with its kubeconfig.")
    user = f"clusterAdmin_{cluster.id.group}_{cluster.id.name}"
    kubeconfig = service.running(cluster).kubeconfig("admin", user=user)
    context = _decoded(checks.text(body, "context", "runCommand") or "")
    made = service.commands.start(plans.uid_of(cluster), kubeconfig, command, context)
    return Reply(status=202, headers=_headers(call, cluster, made.id, service))


async def result(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """How a command is doing: 202 with a body while it runs (``az`` reads it), then 200."""
    assert cluster is not None
    id = call.parameters["command"]
    found = service.commands.get(plans.uid_of(cluster), id)
    if found is None:
        raise ArmError(404, "NotFound", f"Managed cluster '{cluster.id.name}' has no command '{id}'.")
    properties: JsonObject = {"provisioningState": found.state, "startedAt": found.started_at}
    if found.state == "Running":
        body: JsonObject = {"id": found.id, "properties": properties}
        return Reply(status=202, body=body, headers=_headers(call, cluster, id, service))
    properties.update({"finishedAt": found.finished_at, "logs": found.logs})
    if found.exit_code is not None:
        properties["exitCode"] = found.exit_code
    if found.reason:
        properties["reason"] = found.reason
    return Reply(status=200, body={"id": found.id, "properties": properties})


ACTIONS: tuple[Action[ContainerService], ...] = (
    Action(method="POST", path="runCommand", act=run_command),
    Action(method="GET", path="commandResults/{command}", act=result),
)


def _headers(call: Call, cluster: Resource, id: str, service: ContainerService) -> dict[str, str]:
    link = f"{call.base_url}{cluster.id}/commandResults/{id}?api-version={call.api_version}"
    return {"Location": link, **retry(service.world.pace, None)}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as problem:
        raise checks.invalid("context", f"context is no base 64: {problem}") from problem


def _unpack(content: bytes, folder: Path) -> None:
    """Regular files only, inside the folder, within limits. Raises ``ArmError`` 400."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > _MOST_FILES or sum(member.file_size for member in members) > _MOST_BYTES:
                raise checks.invalid("context", f"context has over {_MOST_FILES} files or {_MOST_BYTES} bytes")
            for member in members:
                _extract(archive, member, folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as problem:
        raise checks.invalid("context", f"context is no zip file that can be read: {problem}") from problem


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    kind = (member.external_attr >> 16) & 0o170000
    if name.is_absolute() or ".." in name.parts or kind not in (0, 0o100000, 0o040000):
        raise checks.invalid("context", f"context has '{member.filename}', which is no file inside it")
    target = folder.joinpath(*name.parts)
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as out:
        left = member.file_size
        while chunk := source.read(min(1 << 16, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise checks.invalid("context", f"'{member.filename}' of context is larger than it says")
            out.write(chunk)


def _exit_code(code: int | None) -> int:
    if code is None:
        return 137
    return code if code >= 0 else 128 - code
