"""The documented names by which a script imports raw HTTP, model paths and data collection, when nobody else has them.

A finder at the very end of ``sys.meta_path`` answers for a fixed list of module names. Because it is asked last, an
installed ``azureml-inference-server-http``, ``azureml-contrib-services``, ``azureml-core`` or ``azureml-monitoring``
always wins and nothing is shadowed; and because the modules exist only after ``offer`` was called, other programs in
the same environment never see them. A package of those names in our own distribution would do both.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

from windtunnel_scoring.collection.collector import ModelDataCollector
from windtunnel_scoring.script.models import Model
from windtunnel_scoring.script.rawhttp import AMLRequest, AMLResponse, rawhttp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

_REQUEST: Mapping[str, object] = {"AMLRequest": AMLRequest, "rawhttp": rawhttp}
_RESPONSE: Mapping[str, object] = {"AMLResponse": AMLResponse}
OFFERED: Mapping[str, Mapping[str, object]] = {
    "azureml_inference_server_http": {},
    "azureml_inference_server_http.api": {},
    "azureml_inference_server_http.api.aml_request": _REQUEST,
    "azureml_inference_server_http.api.aml_response": _RESPONSE,
    "azureml": {},
    "azureml.contrib": {},
    "azureml.contrib.services": {},
    "azureml.contrib.services.aml_request": _REQUEST,
    "azureml.contrib.services.aml_response": _RESPONSE,
    "azureml.core": {"Model": Model},
    "azureml.monitoring": {"ModelDataCollector": ModelDataCollector},
    "azureml.monitoring.modeldatacollector": {"ModelDataCollector": ModelDataCollector},
    "azureml.core.model": {"Model": Model},
}
"""Each module, and what is in it."""


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname not in OFFERED:
            return None
        is_package = any(name.startswith(fullname + ".") for name in OFFERED)
        return ModuleSpec(fullname, self, origin="windtunnel_scoring", is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(OFFERED[module.__name__])


def offer() -> None:
    """Let scripts of this process import them; safe to call twice."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def withdraw() -> None:
    """Undo ``offer``, imported modules included; for tests."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    for name in OFFERED:
        module = sys.modules.get(name)
        if module is not None and isinstance(getattr(module, "__loader__", None), _Finder):
            del sys.modules[name]


def real_rawhttp_requested() -> bool:
    """Whether a script used ``@rawhttp`` of one of the real packages, which note it in their module."""
    names = (name for name, content in OFFERED.items() if content is _REQUEST)
    return any(getattr(sys.modules.get(name), "_rawHttpRequested", False) is True for name in names)
