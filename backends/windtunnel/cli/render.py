"""Services and calls as people and programs read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from windtunnel.cli.output import Format

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from windtunnel.adapters.rehearsal import Call
    from windtunnel.cli.output import Output
    from windtunnel.interface import Deployment
    from windtunnel.jsontypes import Json, JsonObject

SERVICE_COLUMNS = ("name", "target", "state", "scoring uri", "auth", "model", "expires")


def service_row(service: Deployment) -> Sequence[object]:
    """One line of a list."""
    return (
        service.name,
        service.target,
        service.state,
        service.scoring_uri,
        "key" if service.auth_enabled else "-",
        service.model_name,
        _time(service.expires),
    )


def service_fields(service: Deployment) -> dict[str, object]:
    """Everything, for a person."""
    tags = ", ".join(f"{k}={v}" for k, v in service.tags.items())
    size = f"{service.cpu:g} cores, {service.memory_gb:g} GB" if service.cpu and service.memory_gb else None
    return {
        "name": service.name,
        "target": service.target,
        "state": service.state,
        "error": service.error,
        "scoring uri": service.scoring_uri,
        "swagger uri": service.swagger_uri,
        "authentication": "key" if service.auth_enabled else "off",
        "tls": "on" if service.tls_enabled else "off",
        "model": service.model_name,
        "model digest": service.model_digest,
        "image": service.image,
        "size": size,
        "location": service.location,
        "restarts": service.restarts or None,
        "replicas": service.replicas if service.replicas != 1 else None,
        "owner": service.owner,
        "created": _time(service.created),
        "expires": _time(service.expires),
        "tags": tags or None,
        "id": service.id,
    }


def service_json(service: Deployment) -> JsonObject:
    """Everything, for a program."""
    tags: JsonObject = dict(service.tags)
    return {
        "name": service.name,
        "target": service.target.value,
        "state": service.state.value,
        "error": service.error,
        "scoringUri": service.scoring_uri,
        "swaggerUri": service.swagger_uri,
        "authEnabled": service.auth_enabled,
        "sslEnabled": service.tls_enabled,
        "modelName": service.model_name,
        "modelDigest": service.model_digest,
        "image": service.image,
        "cpu": service.cpu,
        "memoryGb": service.memory_gb,
        "location": service.location,
        "restarts": service.restarts,
        "replicas": service.replicas,
        "owner": service.owner,
        "created": _time(service.created),
        "expires": _time(service.expires),
        "tags": tags,
        "id": service.id,
    }


def print_calls(output: Output, calls: Sequence[Call]) -> None:
    """The calls of a rehearsal: a line and a body each, or a JSON list."""
    if output.format is Format.JSON:
        values: list[Json] = [{"method": c.method, "url": c.url, "body": c.body} for c in calls]
        output.json(values)
        return
    for call in calls:
        output.text(f"{call.method} {call.url}")
        if call.body is not None:
            body = call.body if isinstance(call.body, str) else json.dumps(call.body, indent=2)
            output.text("\n".join(f"    {line}" for line in body.splitlines()))
    output.note(f"{len(calls)} calls, none was made")


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")
