"""The direct methods of ``$edgeAgent``. Their names are read without case, as the real agent reads them."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from windtunnel_emulators.edge.agent import module_logs
from windtunnel_emulators.edge.agent.errors import BadRequest
from windtunnel_emulators.edge.agent.machine import StepFailed
from windtunnel_emulators.edge.agent.module_logs import BadFilter, Filter, Form, Selection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.agent.agent import Agent
    from windtunnel_emulators.edge.agent.uploads import Uploads
    from windtunnel_emulators.jsontypes import Json, JsonObject

_SYSTEM = ("edgeAgent", "edgeHub")
_LARGEST = 120_000
"""Of an answer's logs: a method's answer has 128 KiB at most."""
_log = logging.getLogger(__name__)
_S = TypeVar("_S", bound=msgspec.Struct)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Whose logs, and which lines. ``id`` is a regular expression for names of modules."""

    id: str
    filter: Filter | None = None


class _Request(msgspec.Struct, rename="camel", kw_only=True):
    schema_version: str


class _Restart(_Request, kw_only=True):
    id: str


class _Logs(_Request, kw_only=True):
    items: list[Item] | Item
    encoding: Literal["none", "gzip"] | None = None
    content_type: Literal["text", "json"] | None = None

    @property
    def each(self) -> Sequence[Item]:
        return self.items if isinstance(self.items, list) else (self.items,)

    @property
    def form(self) -> Form:
        return Form(json=self.content_type == "json", packed=self.encoding == "gzip")


class _UploadLogs(_Logs, kw_only=True):
    sas_url: str


class _Bundle(_Request, kw_only=True):
    sas_url: str
    since: str | None = None
    until: str | None = None
    edge_runtime_only: bool = False


class _Task(_Request, kw_only=True):
    correlation_id: str


class AgentMethods:
    """Implements ``connection.Methods``."""

    def __init__(self, agent: Agent, uploads: Uploads, *, clock: Clock, host: str, device: str, log: Path) -> None:
        """``log`` is the device's own, which is that of its system modules."""
        self._agent = agent
        self._uploads = uploads
        self._clock = clock
        self._host = host
        self._device = device
        self._log = log
        self._known: dict[str, tuple[str, Callable[[bytes], Awaitable[Json]]]] = {
            name.lower(): (name, handler)
            for name, handler in (
                ("ping", self._ping),
                ("RestartModule", self._restart),
                ("GetModuleLogs", self._get_logs),
                ("GetTaskStatus", self._task_status),
                ("UploadModuleLogs", self._upload_logs),
                ("UploadSupportBundle", self._upload_bundle),
            )
        }

    async def call(self, name: str, payload: bytes) -> tuple[int, bytes]:
        """Never raises: what fails has a status of its own."""
        known = self._known.get(name.lower())
        try:
            if known is None:
                commands = ", ".join(command for command, _ in self._known.values())
                raise BadRequest(f"Command '{name[:100]}' not found. The supported commands are - {commands}")
            answer = await known[1](payload)
        except (BadRequest, BadFilter) as problem:
            return _failed(400, str(problem))
        except StepFailed as problem:
            return _failed(500, str(problem))
        except Exception as problem:
            _log.exception("the method %s failed", name)
            return _failed(500, f"{type(problem).__name__}: {problem}")
        return 200, msgspec.json.encode(answer)

    async def _ping(self, payload: bytes) -> Json:
        del payload
        return None

    async def _restart(self, payload: bytes) -> Json:
        request = _read(payload, _Restart)
        if request.id in _SYSTEM:
            raise StepFailed(f"module {request.id} is part of the device's own process, which is not started again so")
        if request.id not in self._agent.machine.modules:
            raise BadRequest(f"Module {request.id[:128]} not found in the current environment")
        await self._agent.machine.restart(request.id)
        self._agent.wake()
        return None

    async def _get_logs(self, payload: bytes) -> Json:
        request = _read(payload, _Logs)
        found: list[Json] = []
        size = 0
        for module, selection in self._selected(request.each):
            content = await asyncio.to_thread(self._written, module, selection, request.form)
            size += len(content)
            if size > _LARGEST:
                raise BadRequest(
                    f"The logs have more than {_LARGEST} bytes, and a method's answer cannot be larger; use a filter"
                    " (tail, since), the encoding gzip, or UploadModuleLogs"
                )
            entry: JsonObject = {"id": module, "payload": None, "payloadBytes": None}
            if request.form.packed:
                entry["payloadBytes"] = base64.b64encode(content).decode()
            else:
                entry["payload"] = content.decode("utf-8", "replace")
            found.append(entry)
        return found

    async def _upload_logs(self, payload: bytes) -> Json:
        request = _read(payload, _UploadLogs)
        selected = self._selected(request.each)
        form = request.form

        async def files() -> dict[str, bytes]:
            stamp = self._clock.now().strftime("%Y-%m-%d--%H-%M-%S")
            return {
                f"{self._host}/{self._device}/{module}-{stamp}.{form.ending}": await asyncio.to_thread(
                    self._written, module, selection, form
                )
                for module, selection in selected
            }

        return self._uploads.begin(request.sas_url, files)

    async def _upload_bundle(self, payload: bytes) -> Json:
        request = _read(payload, _Bundle)
        selection = Selection.of(Filter(since=request.since, until=request.until), self._clock.now())
        modules = [] if request.edge_runtime_only else list(self._agent.machine.modules)

        async def files() -> dict[str, bytes]:
            stamp = self._clock.now().strftime("%Y-%m-%d--%H-%M-%S")
            content = await asyncio.to_thread(self._bundle, selection, modules)
            return {f"{self._host}/{self._device}/support-bundle-{stamp}.zip": content}

        return self._uploads.begin(request.sas_url, files)

    async def _task_status(self, payload: bytes) -> Json:
        request = _read(payload, _Task)
        status = self._uploads.status(request.correlation_id)
        if status is None:
            raise BadRequest(f"No task has the correlation id {request.correlation_id[:100]!r}")
        return status

    def _selected(self, items: Sequence[Item]) -> list[tuple[str, Selection]]:
        """Each module once, by the first item that names it."""
        now = self._clock.now()
        names = [*_SYSTEM, *self._agent.machine.modules]
        found: dict[str, Selection] = {}
        for item in items:
            try:
                pattern = re.compile(item.id)
            except re.error as problem:
                raise BadRequest(f"The id {item.id[:100]!r} is no regular expression: {problem}") from problem
            selection = Selection.of(item.filter, now)
            for name in names:
                if name not in found and pattern.search(name):
                    found[name] = selection
        return list(found.items())

    def _written(self, module: str, selection: Selection, form: Form) -> bytes:
        path = self._log if module in _SYSTEM else self._agent.machine.log(module)
        lines = module_logs.select(path, selection)
        return module_logs.written(lines, form, host=self._host, device=self._device, module=module)

    def _bundle(self, selection: Selection, modules: Sequence[str]) -> bytes:
        import io
        import zipfile

        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for module in (*_SYSTEM, *modules):
                content = self._written(module, selection, Form(json=False, packed=False))
                archive.writestr(f"logs/{module}_log.txt", content)
            archive.writestr("reported.json", msgspec.json.format(msgspec.json.encode(self._agent.reported), indent=2))
        return target.getvalue()


def _read(payload: bytes, kind: type[_S]) -> _S:
    try:
        found = msgspec.json.decode(payload or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise BadRequest(f"Error parsing command payload because of error - {problem}") from problem
    version = getattr(found, "schema_version", "")
    if not re.fullmatch(r"1(\.[0-9]+){0,2}", version):
        raise BadRequest(f"The schema version {version[:50]!r} of the payload is not compatible with 1.0")
    return found


def _failed(status: int, message: str) -> tuple[int, bytes]:
    return status, msgspec.json.encode({"message": message})
