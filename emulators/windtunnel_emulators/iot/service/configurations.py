"""``/configurations``: automatic configurations, their metrics, and queries tried out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from windtunnel_emulators.iot.hub.configurations import KINDS, Configuration
from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid
from windtunnel_emulators.iot.hub.identity import short
from windtunnel_emulators.iot.manifests.content import is_layered, read_portion, read_portions
from windtunnel_emulators.iot.manifests.errors import ContentProblem
from windtunnel_emulators.iot.manifests.validation import check_base, check_layer
from windtunnel_emulators.iot.query.errors import QueryError
from windtunnel_emulators.iot.query.parsing import parse
from windtunnel_emulators.iot.query.query import Collection
from windtunnel_emulators.iot.service import edge_content, metrics
from windtunnel_emulators.iot.service.bodies import read
from windtunnel_emulators.iot.service.collections import read_target, refused
from windtunnel_emulators.iot.service.requests import Answer, check_etag
from windtunnel_emulators.iot.service.routes import READ_OR_SERVICE, WRITE, Route
from windtunnel_emulators.iot.service.targeting import EDGE, MODULE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.requests import Request
    from windtunnel_emulators.jsontypes import Json, JsonObject

_ID = re.compile(r"[a-z0-9\-:+%_#*?!(),=@;']{1,128}")
_HIGHEST_PRIORITY = 2**31 - 1


class MetricsBody(msgspec.Struct):
    queries: dict[str, str] | None = None


class ConfigurationBody(msgspec.Struct, rename="camel"):
    """A configuration as clients write it; what the service adds to one that was read is ignored."""

    id: str | None = None
    schema_version: str | None = None
    labels: dict[str, str] | None = None
    content: dict[str, Any] | None = None
    target_condition: str | None = None
    priority: int | None = None
    metrics: MetricsBody | None = None


class QueriesBody(msgspec.Struct, rename="camel"):
    """Queries to be tried out."""

    target_condition: str | None = None
    custom_metric_queries: dict[str, str] | None = None


async def put(hub: Hub, request: Request) -> Answer:
    """Without an etag a configuration is made, with one it is changed: all but its id and content."""
    id = request.parameters["id"]
    body = read(request.object(), ConfigurationBody)
    if not _ID.fullmatch(id):
        raise argument_invalid(
            f"The configuration's id '{id[:130]}' has 1 to 128 lower-case letters, digits and any of"
            " - : + % _ # * ? ! ( ) , = @ ; '"
        )
    if body.id not in (None, "", id):
        raise argument_invalid(f"The path is about configuration '{id}', and the body about '{body.id}'.")
    before = hub.configurations.get(id)
    if request.etag is None:
        if before is not None:
            raise HubError(409, "ConfigurationAlreadyExists", f"There is a configuration '{id}' already.")
        most = hub.definition.most_configurations()
        if len(hub.configurations.all()) >= most:
            raise HubError(403, "ConfigurationCountLimitExceeded", f"This hub may have {most} configurations.")
        made = _new(hub, id, body)
    else:
        if before is None:
            raise not_found(id)
        check_etag(request, before.etag, f"Configuration '{id}'")
        made = _changed(hub, before, body)
    hub.configurations.save(made)
    return _answer(hub, made)


async def get(hub: Hub, request: Request) -> Answer:
    return _answer(hub, _existing(hub, request))


async def delete(hub: Hub, request: Request) -> Answer:
    """What it has given to devices stays, until another configuration applies."""
    found = _existing(hub, request)
    check_etag(request, found.etag, f"Configuration '{found.id}'")
    hub.configurations.remove(found.id)
    return Answer(status=204)


async def list_all(hub: Hub, request: Request) -> Answer:
    most = request.top(hub.definition.most_configurations())
    return Answer(body=[shown(hub, one) for one in hub.configurations.all()[:most]])


async def try_queries(_: Hub, request: Request) -> Answer:
    """What is wrong with a target condition and with queries for metrics; null and nothing for what is right."""
    body = read(request.object(), QueriesBody)
    try:
        read_target(body.target_condition or "")
        wrong = None
    except QueryError as problem:
        wrong = f"The target condition is invalid: {problem}."
    errors: JsonObject = {}
    for name, query in (body.custom_metric_queries or {}).items():
        try:
            parse(query)
        except QueryError as problem:
            errors[name] = f"The query is invalid: {problem}."
    return Answer(body={"targetConditionError": wrong, "customMetricQueryErrors": errors})


def shown(hub: Hub, configuration: Configuration) -> JsonObject:
    """A configuration as the service answers it, with its metrics counted now."""
    of_system = metrics.system_queries(configuration)
    content: JsonObject = {configuration.kind: configuration.content}
    return {
        "id": configuration.id,
        "schemaVersion": configuration.schema_version,
        "labels": {**configuration.labels},
        "content": content,
        "contentType": "assignment",
        "targetCondition": configuration.condition,
        "createdTimeUtc": short(configuration.created),
        "lastUpdatedTimeUtc": short(configuration.updated),
        "priority": configuration.priority,
        "systemMetrics": _metrics(hub, of_system),
        "metrics": _metrics(hub, configuration.metrics),
        "etag": configuration.etag,
    }


def not_found(id: str) -> HubError:
    return HubError(404, "ConfigurationNotFound", f"There is no configuration '{id[:130]}' in this hub.")


def _metrics(hub: Hub, queries: Mapping[str, str]) -> JsonObject:
    results: JsonObject = {name: metrics.count(hub, query) for name, query in queries.items()}
    return {"results": results, "queries": {**queries}}


def _new(hub: Hub, id: str, body: ConfigurationBody) -> Configuration:
    kind, content = _read_content(body.content)
    now = hub.clock.now()
    condition = body.target_condition or ""
    _check_condition(condition, kind)
    return Configuration(
        id=id,
        schema_version=body.schema_version or "2.0",
        labels=body.labels or {},
        kind=kind,
        content=content,
        condition=condition,
        priority=_priority(body.priority),
        metrics=_read_metrics(body.metrics),
        created=now,
        updated=now,
    )


def _changed(hub: Hub, before: Configuration, body: ConfigurationBody) -> Configuration:
    given = {name: value for name, value in (body.content or {}).items() if value is not None}
    if given and given != {before.kind: before.content}:
        raise argument_invalid(
            f"The content of configuration '{before.id}' cannot be changed. Make a new one, of a higher priority."
        )
    condition = before.condition if body.target_condition is None else body.target_condition
    _check_condition(condition, before.kind)
    return msgspec.structs.replace(
        before,
        labels=before.labels if body.labels is None else body.labels,
        condition=condition,
        priority=before.priority if body.priority is None else _priority(body.priority),
        metrics=before.metrics if body.metrics is None else _read_metrics(body.metrics),
        updated=hub.clock.now(),
        changes=before.changes + 1,
    )


def _read_content(content: Mapping[str, Json] | None) -> tuple[str, JsonObject]:
    """The one kind of content that is there, checked. Raises ``HubError`` 400."""
    given = {name: value for name, value in (content or {}).items() if value is not None and name in KINDS}
    if len(given) != 1:
        raise argument_invalid(f"'content' has one of {', '.join(KINDS)}.")
    ((kind, value),) = given.items()
    if not isinstance(value, dict):
        raise argument_invalid(f"'content.{kind}' is not an object.")
    try:
        if kind == EDGE:
            portions = read_portions(value)
            (check_layer if is_layered(portions) else check_base)(portions)
            whole = {module: portion.applied({}) for module, portion in portions.items()}
        else:
            whole = {"": read_portion(value, kind).applied({})}
    except ContentProblem as problem:
        raise edge_content.refused(problem) from problem
    for module, properties in whole.items():
        edge_content.check(properties, f"content.{kind}.{module}" if module else f"content.{kind}")
    return kind, value


def _check_condition(condition: str, kind: str) -> None:
    try:
        found = read_target(condition)
    except QueryError as problem:
        raise refused(problem, "'targetCondition'") from problem
    if condition.strip() and (found.source is Collection.MODULES) != (kind == MODULE):
        raise argument_invalid(
            f"The target condition of {kind} "
            + ("begins with FROM devices.modules WHERE." if kind == MODULE else "is about devices, not modules.")
        )


def _read_metrics(body: MetricsBody | None) -> dict[str, str]:
    queries = (body.queries if body is not None else None) or {}
    for name, query in queries.items():
        try:
            parse(query)
        except QueryError as problem:
            raise refused(problem, f"The query of the metric '{name[:100]}'") from problem
    return queries


def _priority(value: int | None) -> int:
    if value is None:
        return 0
    if not 0 <= value <= _HIGHEST_PRIORITY:
        raise argument_invalid(f"'priority' is {value}; it is from 0 to {_HIGHEST_PRIORITY}.")
    return value


def _existing(hub: Hub, request: Request) -> Configuration:
    found = hub.configurations.get(request.parameters["id"])
    if found is None:
        raise not_found(request.parameters["id"])
    return found


def _answer(hub: Hub, configuration: Configuration) -> Answer:
    return Answer(body=shown(hub, configuration), headers={"ETag": f'"{configuration.etag}"'})


ROUTES: Sequence[Route] = (
    Route(method="POST", path="configurations/testQueries", act=try_queries, needs=READ_OR_SERVICE),
    Route(method="GET", path="configurations", act=list_all, needs=READ_OR_SERVICE),
    Route(method="GET", path="configurations/{id}", act=get, needs=READ_OR_SERVICE),
    Route(method="PUT", path="configurations/{id}", act=put, needs=WRITE),
    Route(method="DELETE", path="configurations/{id}", act=delete, needs=WRITE),
)
