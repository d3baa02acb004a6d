"""The control API as an ASGI application (FastAPI), and what the host gives it to work with.

Every handler is asynchronous: FastAPI runs the others in threads, and the store belongs to the event loop's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.security import HTTPBasic, HTTPBearer
from starlette.exceptions import HTTPException

from windtunnel_emulators import __version__
from windtunnel_emulators.control import models, page
from windtunnel_emulators.control.guard import Guard, problem
from windtunnel_emulators.faults import Fault, FaultProblem
from windtunnel_emulators.jsontypes import as_str

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from windtunnel_emulators.arm.journal import StoredOperation
    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.faults import Faults, Rule
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.logtail import LogTail
    from windtunnel_emulators.world import World

PREFIX = "/_windtunnel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What the control API can see and do."""

    world: World
    directory: Directory
    faults: Faults
    log: LogTail
    health: Callable[[], JsonObject]
    started: float
    """The clock's ``monotonic`` at the start."""
    operations: Callable[[int], Sequence[StoredOperation]]
    """The last operations, newest first, at most so many."""
    reset: Callable[[], Awaitable[None]]
    """Empties everything: containers, resources, images, files."""
    sign_out: Callable[[], int]
    """Takes all refresh tokens back; says how many."""
    edge_devices: Callable[[], list[Json]] = list
    """Every IoT Edge device with its process."""


def app(controls: Controls) -> ASGI:
    """The control API, guarded, for requests whose path begins with ``/_windtunnel``."""
    api = _Application()
    handlers = _Handlers(controls, api)
    documented: dict[int | str, dict[str, Any]] = {
        status: {"model": models.Problem, "description": what}
        for status, what in ((400, "What is asked for cannot be"), (401, "No credentials, or wrong ones"))
    }
    # The guard has checked already; this says in the OpenAPI document what it wants.
    closed = APIRouter(
        prefix=PREFIX,
        responses=documented,
        dependencies=[Security(HTTPBasic(auto_error=False)), Security(HTTPBearer(auto_error=False))],
    )
    closed.add_api_route("/clock", handlers.clock, methods=["GET"], tags=["State"])
    closed.add_api_route("/runtime", handlers.runtime, methods=["GET"], tags=["State"])
    closed.add_api_route("/operations", handlers.operations, methods=["GET"], tags=["State"])
    closed.add_api_route("/logs", handlers.logs, methods=["GET"], tags=["State"])
    closed.add_api_route("/edge", handlers.edge_devices, methods=["GET"], tags=["State"])
    closed.add_api_route("/faults", handlers.list_faults, methods=["GET"], tags=["Faults"])
    closed.add_api_route("/faults", handlers.add_fault, methods=["POST"], status_code=201, tags=["Faults"])
    closed.add_api_route("/faults", handlers.clear_faults, methods=["DELETE"], tags=["Faults"])
    closed.add_api_route(
        "/faults/{id}",
        handlers.remove_fault,
        methods=["DELETE"],
        tags=["Faults"],
        responses={404: {"model": models.Problem, "description": "No such rule"}},
    )
    closed.add_api_route("/sessions", handlers.sign_out, methods=["DELETE"], tags=["Everything"])
    closed.add_api_route("/reset", handlers.reset, methods=["POST"], tags=["Everything"])
    api.include_router(closed)
    api.add_api_route(
        f"{PREFIX}/health", handlers.health, methods=["GET"], tags=["State"], response_model_exclude_none=True
    )
    for path in (PREFIX, f"{PREFIX}/"):
        api.add_api_route(path, handlers.root, methods=["GET", "HEAD"], include_in_schema=False)
    api.add_api_route(f"{PREFIX}/docs", handlers.docs, methods=["GET", "HEAD"], include_in_schema=False)
    return Guard(api, prefix=PREFIX, directory=controls.directory, tokens=controls.world.tokens)


class _Application(FastAPI):
    """FastAPI with refusals of one shape, and an OpenAPI document that says so."""

    def __init__(self) -> None:
        # FastAPI's own pages load their scripts from another server: these emulators work without a network.
        super().__init__(
            title="Windtunnel emulators: control API",
            version=__version__,
            openapi_url=f"{PREFIX}/openapi.json",
            docs_url=None,
            redoc_url=None,
            swagger_ui_oauth2_redirect_url=None,
        )
        self.add_exception_handler(RequestValidationError, _invalid)
        self.add_exception_handler(FaultProblem, _refused_fault)
        self.add_exception_handler(HTTPException, _http_problem)

    def openapi(self) -> dict[str, Any]:
        """The document, without the 422 that is never answered."""
        if self.openapi_schema is None:
            document = get_openapi(title=self.title, version=self.version, routes=self.routes)
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                document.get("components", {}).get("schemas", {}).pop(name, None)
            self.openapi_schema = document
        return self.openapi_schema


class _Handlers:
    """The calls. Their docstrings are the document's descriptions."""

    def __init__(self, controls: Controls, application: FastAPI) -> None:
        self._controls = controls
        self._application = application

    async def root(self) -> RedirectResponse:
        return RedirectResponse(f"{PREFIX}/docs")

    async def docs(self) -> HTMLResponse:
        html = page.render(self._application.openapi())
        return HTMLResponse(html, headers={"Content-Security-Policy": page.POLICY, "Referrer-Policy": "no-referrer"})

    async def health(self) -> models.Health:
        """Whether the emulators are up. Needs no credentials."""
        return models.Health.model_validate(self._controls.health())

    async def clock(self) -> models.ClockState:
        """The emulators' time, how long they have been up, and how fast Azure's waits pass."""
        world = self._controls.world
        return models.ClockState(
            now=world.clock.now(),
            uptime_seconds=round(world.clock.monotonic() - self._controls.started, 3),
            pace=models.PaceState(name=world.pace.name, factor=world.pace.factor),
        )

    async def runtime(self) -> models.RuntimeState:
        """How containers run here, and which limits are really enforced."""
        runtime = self._controls.world.runtime
        return models.RuntimeState(name=runtime.name, limits=dict(runtime.limits()))

    async def operations(self, limit: int = Query(default=50, ge=1, le=1000)) -> models.OperationStates:
        """The last long-running operations, newest first."""
        return models.OperationStates(value=[_operation(stored) for stored in self._controls.operations(limit)])

    async def logs(self, lines: int = Query(default=100, ge=1, le=1000)) -> models.LogLines:
        """The last lines that the emulators logged, oldest first."""
        return models.LogLines(lines=self._controls.log.lines(lines))

    async def edge_devices(self) -> models.EdgeDevices:
        """The IoT Edge devices of all hubs, each with its process, its folder and how it fares."""
        return models.EdgeDevices.model_validate({"value": self._controls.edge_devices()})

    async def list_faults(self) -> models.FaultRules:
        """The fault rules, in the order in which they are tried."""
        return models.FaultRules(value=[_rule(rule) for rule in self._controls.faults.rules()])

    async def add_fault(self, order: models.FaultOrder) -> models.FaultRule:
        """Order something to go wrong. The first rule that matches a request applies; the control API is exempt."""
        return _rule(self._controls.faults.add(Fault(**order.model_dump())))

    async def clear_faults(self) -> models.Count:
        """Remove all fault rules."""
        return models.Count(count=self._controls.faults.clear())

    async def remove_fault(self, id: str) -> models.Count:
        """Remove one fault rule."""
        if not self._controls.faults.remove(id):
            raise HTTPException(404, f"There is no fault rule '{id[:100]}'.")
        return models.Count(count=1)

    async def sign_out(self) -> models.Count:
        """Take every refresh token back: people must sign in again. Access tokens hold until they expire."""
        return models.Count(count=self._controls.sign_out())

    async def reset(self, order: models.ResetOrder) -> models.ResetDone:
        """Delete everything and end every container. The tenant, its credentials and the ports stay."""
        await self._controls.reset()
        self._controls.faults.clear()
        return models.ResetDone(reset=order.confirm)


def _rule(rule: Rule) -> models.FaultRule:
    return models.FaultRule(id=rule.id, used=rule.used, **asdict(rule.fault))


def _operation(stored: StoredOperation) -> models.OperationState:
    error = stored.error or {}
    return models.OperationState(
        id=stored.id,
        target=stored.target_id,
        verb=stored.verb,
        status=stored.status,
        started=stored.started,
        ended=stored.ended,
        error_code=as_str(error.get("code")) or None,
        error_message=as_str(error.get("message")) or None,
    )


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """400, naming each field that will not do; never the value, which may be long or secret."""
    failures: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    sentences = "; ".join(
        f"{'.'.join(str(part) for part in failure['loc'][1:]) or 'the body'}: {failure['msg']}" for failure in failures
    )
    return JSONResponse(problem(400, "InvalidRequestContent", f"The request is not valid: {sentences}."), 400)


async def _refused_fault(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(problem(400, "InvalidFault", f"The fault rule is not valid: {error}."), 400)


async def _http_problem(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    code = {404: "NotFound", 405: "MethodNotAllowed", 400: "InvalidRequestContent"}.get(status, "InvalidRequest")
    if detail in ("Not Found", "Method Not Allowed"):
        detail = f"The control API has no {request.method} at this path; {PREFIX}/docs shows what it has."
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return JSONResponse(problem(status, code, detail), status, headers=headers)
