"""The options that only AKS has, of ``deploy`` and ``update``: one for each field of ``AksOptions``."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from windtunnel.aks_options import AksChange, AksOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

_PANEL = "AKS"
_ELSEWHERE = frozenset({"cpu_cores", "memory_gb", "num_replicas", "autoscale_enabled"})
"""Given by options that other targets have too."""
_HELP = {
    "cpu_cores_limit": "Cores that a replica may use at most.",
    "memory_gb_limit": "Gigabytes that a replica may use at most.",
    "gpu_cores": "GPUs of a replica.",
    "autoscale_min_replicas": "The fewest replicas; default: 1.",
    "autoscale_max_replicas": "The most replicas; default: 10.",
    "autoscale_refresh_seconds": "How often the load is looked at; default: 1.",
    "autoscale_target_utilization": "Percent of the replicas' places that should be busy; default: 70.",
    "scoring_timeout_ms": "The longest prediction; then 504. Default: 60000.",
    "replica_max_concurrent_requests": "Predictions at once in one replica; default: 1.",
    "max_request_wait_time": "Milliseconds in the queue, then 503; default: 500.",
    "period_seconds": "Between two liveness probes; default: 10.",
    "initial_delay_seconds": "Before the first liveness probe; default: 310.",
    "timeout_seconds": "Of a liveness probe; default: 2.",
    "success_threshold": "Probes in a row that make it alive; default: 1.",
    "failure_threshold": "Probes in a row that restart it; default: 3.",
    "namespace": "Kubernetes namespace; default: the router's.",
    "token_auth_enabled": "Predictions need a token that expires, instead of a key.",
    "version_name": "Of a version of the service; default: the service's own name.",
    "mirror_percentile": "Percent of the requests that are copied to the version.",
    "is_default": "Make it the version that gets what the others leave.",
    "remove_version": "Remove the version.",
    "traffic_percentile": "Percent of the requests for this version.",
    "collect_model_data": "Keep inputs and predictions.",
    "app_insights": "Telemetry of requests.",
}


def parameters(kind: type[AksOptions | AksChange]) -> list[inspect.Parameter]:
    """Options for the fields of ``kind``, all without a default."""
    hints = get_type_hints(kind)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=_annotation(field.name, hints[field.name]),
        )
        for field in fields(kind)
        if field.name not in _ELSEWHERE
    ]


def switches() -> list[inspect.Parameter]:
    """Those of ``deploy`` that are fields of the spec itself."""
    return [p for p in parameters(AksChange) if p.name in ("collect_model_data", "app_insights")]


def _annotation(name: str, hint: object) -> Any:
    flag = f"--{name.replace('_', '-')}"
    of: dict[object, Any] = {int: int | None, float: float | None, bool: bool | None, str: str | None}
    found = next(t for t in of if t in (hint, *getattr(hint, "__args__", ())))
    spelled = f"{flag}/--no-{flag[2:]}" if found is bool else flag
    return Annotated[of[found], typer.Option(spelled, help=_HELP[name], rich_help_panel=_PANEL)]


def options(given: Mapping[str, object], **shared: object) -> AksOptions:
    """Raises ``InvalidSpec``. What is None keeps its default."""
    return AksOptions(**_known({**given, **shared}, AksOptions))


def change(given: Mapping[str, object], **shared: object) -> AksChange | None:
    """None when nothing of it is given. Raises ``InvalidSpec``."""
    values = _known({**given, **shared}, AksChange)
    return AksChange(**values) if values else None


def _known(given: Mapping[str, object], kind: type[AksOptions | AksChange]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in given.items() if value is not None and name in names}
