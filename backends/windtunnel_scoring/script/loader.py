"""Importing a score.py and finding out how its ``run()`` is to be called.

``AZUREML_ENTRY_SCRIPT`` is relative to ``AML_APP_ROOT``; without it the module ``main`` is imported from there. Both
the root and ``AZUREML_SOURCE_DIRECTORY`` inside it can be imported from.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, cast

from windtunnel_scoring.errors import ScriptError
from windtunnel_scoring.script import imports, rawhttp, schema
from windtunnel_scoring.script.inputs import InputParser, ObjectInput, RawInput, TextInput
from windtunnel_scoring.swagger import Description

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from windtunnel_scoring.asgi import Request
    from windtunnel_scoring.settings import ServerSettings

logger = logging.getLogger("windtunnel.script")


class _Init(Protocol):
    def __call__(self) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script that can be called."""

    init: _Init
    run: Callable[..., object]
    parser: InputParser
    wants_headers: bool
    """Whether ``run()`` takes ``request_headers``."""
    description: Description


def present(settings: ServerSettings) -> bool:
    """Whether there is a script at all: one that is named, or a ``main.py``."""
    return bool(settings.entry_script) or (settings.app_root / "main.py").is_file()


def load(settings: ServerSettings) -> Script:
    """Import it; raises ``ScriptError``, with what the script raised as its cause."""
    for folder in (settings.app_root, settings.app_root / settings.source_directory):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    imports.offer()
    module = _import(settings)
    where = getattr(module, "__file__", settings.entry_script)
    init, run = (_function(module, name, str(where)) for name in ("init", "run"))
    driven: object = getattr(module, "driver_module", None)
    if isinstance(driven, ModuleType) and hasattr(driven, "run"):
        # Azure ML's SDK v1 wraps a score.py in a driver script whose run() loses the parameters of @input_schema.
        run = _function(driven, "run", str(getattr(driven, "__file__", where)))
    logger.info("found the script %s", where)
    return _analyse(cast("_Init", init), run)


def _import(settings: ServerSettings) -> ModuleType:
    try:
        if not settings.entry_script:
            return importlib.import_module("main")
        path = settings.app_root / settings.entry_script
        if not path.is_file():
            raise ScriptError(
                f"there is no script {path}: AZUREML_ENTRY_SCRIPT is {settings.entry_script!r}"
                f" and is looked up in AML_APP_ROOT, which holds: {_listing(settings.app_root)}"
            )
        specification = importlib.util.spec_from_file_location("entry_module", path)
        if specification is None or specification.loader is None:
            raise ScriptError(f"{path} is no Python file: AZUREML_ENTRY_SCRIPT must name one")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    except ScriptError:
        raise
    except BaseException as error:
        # SystemExit too: a script that exits while it is imported has failed, and the log shall say where.
        raise ScriptError("the script could not be imported") from error
    return module


def _listing(folder: Path) -> str:
    try:
        return ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
    except OSError as error:
        return f"nothing that can be read ({error.strerror})"


def _function(module: ModuleType, name: str, where: str) -> Callable[..., object]:
    function: object = getattr(module, name, None)
    if not callable(function):
        raise ScriptError(f"User script at {where} does not have a {name}() function defined.")
    return function


def _analyse(init: _Init, run: Callable[..., object]) -> Script:
    parameters = list(inspect.signature(run).parameters.values())
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(parameter.kind not in named for parameter in parameters):
        raise ScriptError("run() cannot accept positional-only arguments, *args, or **kwargs.")
    inputs = [parameter for parameter in parameters if parameter.name != "request_headers"]
    wants_headers = len(inputs) < len(parameters)
    if not inputs:
        raise ScriptError(
            'run() needs to accept an argument other than "request_headers".'
            if wants_headers
            else "run() needs to accept an argument for input data."
        )
    described = schema.description(run)
    return Script(
        init=init,
        run=run,
        parser=_parser(run, inputs, decorated=described is not None),
        wants_headers=wants_headers,
        description=described or Description(),
    )


def _parser(run: Callable[..., object], inputs: Sequence[inspect.Parameter], *, decorated: bool) -> InputParser:
    ours = bool(getattr(run, rawhttp.MARK, False))
    real = imports.real_rawhttp_requested()
    if (ours or real) and decorated:
        raise ScriptError("run() cannot be decorated with both @rawhttp and @input_schema")
    if ours or real:
        logger.info("run() is under @rawhttp: it gets the request itself")
        return RawInput(inputs[0].name, _flask_request if real else rawhttp.AMLRequest)
    if decorated:
        names = ", ".join(parameter.name for parameter in inputs)
        logger.info("run() is under @input_schema: it gets %s out of a JSON object", names)
        return ObjectInput(inputs)
    logger.info("run() is plain: it gets the body as text")
    return TextInput(inputs[0].name)


def _flask_request(request: Request) -> object:
    """The request class of Flask, which came with the package whose ``@rawhttp`` the script uses."""
    from windtunnel_scoring.script import wsgi

    return wsgi.flask_request(request)
