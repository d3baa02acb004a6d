"""The lists of resources and of resource groups, with ``$filter``, ``$expand``, ``$top`` and pages."""

from __future__ import annotations

import base64
import binascii
from itertools import islice
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from windtunnel_emulators.arm.errors import ArmError, resource_group_not_found
from windtunnel_emulators.arm.responses import Answer, rfc3339
from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.providers.resources import filters, groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.arm.resources import Listed
    from windtunnel_emulators.jsontypes import Json, JsonObject

_PAGE = 1000  # ARM's
_TOP_LEVEL = ("sku", "kind", "identity", "plan", "managedBy", "zones", "extendedLocation", "systemData")
_EXPANDED = frozenset(("createdtime", "changedtime", "provisioningstate"))
_NAMES = frozenset(
    ("name", "resourcetype", "location", "resourcegroup", "kind", "identity/principalid", "plan/name", "plan/publisher")
)

_T = TypeVar("_T")


def resources(kernel: Kernel, call: Call) -> Answer:
    """The resources of the subscription, or of a group."""
    name = call.parameters.get("group")
    if name is not None and kernel.groups.get(call.subscription, name) is None:
        raise resource_group_not_found(name)
    expand = _expand(call)
    text = call.query.get("$filter")
    test = filters.parse(text, _NAMES) if text else None
    after = _after(call)
    found = (
        listed
        for listed in kernel.resources.tracked(subscription=kernel.subscription, group=name)
        if listed.resource.id.key > after
        and (test is None or test(_fields(listed.resource), listed.resource.tags or {}))
    )
    path = "/resources" if name is None else f"/resourceGroups/{name}/resources"
    return _page(
        call, path, found, lambda listed: listed.resource.id.key, lambda listed: _shown(kernel, listed, expand)
    )


def all_groups(kernel: Kernel, call: Call) -> Answer:
    """The groups of the subscription; the filter knows tags only, as Azure's."""
    text = call.query.get("$filter")
    test = filters.parse(text, frozenset()) if text else None
    after = _after(call)
    found = (
        group
        for group in kernel.groups.list(kernel.subscription)
        if group.key > after and (test is None or test({}, group.tags or {}))
    )
    return _page(call, "/resourcegroups", found, lambda group: group.key, groups.shown)


def _page(
    call: Call, path: str, found: Iterable[_T], key: Callable[[_T], str], show: Callable[[_T], JsonObject]
) -> Answer:
    top = _top(call)
    page = list(islice(found, top + 1))
    value: list[Json] = [show(one) for one in page[:top]]
    body: JsonObject = {"value": value}
    if len(page) > top:
        token = base64.urlsafe_b64encode(key(page[top - 1]).encode()).decode()
        query = urlencode({**call.query, "$skiptoken": token}, safe="$")
        body["nextLink"] = f"{call.base_url}/subscriptions/{call.subscription}{path}?{query}"
    return Answer(status=200, body=body)


def _shown(kernel: Kernel, listed: Listed, expand: frozenset[str]) -> JsonObject:
    resource = listed.resource
    kind = kernel.catalogue.kind(resource.id.type)
    shown: JsonObject = {
        "id": str(resource.id),
        "name": "/".join(resource.id.names),
        "type": kind.name if kind else resource.id.type,
    }
    shown.update({name: resource.envelope[name] for name in _TOP_LEVEL if name in resource.envelope})
    shown["location"] = resource.location
    if resource.tags is not None:
        shown["tags"] = dict(resource.tags)
    if "createdtime" in expand:
        shown["createdTime"] = rfc3339(listed.created)
    if "changedtime" in expand:
        shown["changedTime"] = rfc3339(listed.changed)
    if "provisioningstate" in expand:
        shown["provisioningState"] = as_str(resource.properties.get("provisioningState"), "Succeeded")
    return shown


def _fields(resource: Resource) -> dict[str, str | None]:
    envelope = resource.envelope
    plan = as_object(envelope.get("plan"))
    return {
        "name": resource.id.name,
        "resourcetype": resource.id.type,
        "location": resource.location,
        "resourcegroup": resource.id.group,
        "kind": as_str(envelope.get("kind")),
        "identity/principalid": as_str(as_object(envelope.get("identity")).get("principalId")),
        "plan/name": as_str(plan.get("name")),
        "plan/publisher": as_str(plan.get("publisher")),
    }


def _expand(call: Call) -> frozenset[str]:
    text = call.query.get("$expand") or ""
    found = frozenset(part.strip().lower() for part in text.split(",") if part.strip())
    unknown = found - _EXPANDED
    if unknown:
        raise ArmError(
            400,
            "InvalidExpandInQueryString",
            f"Invalid $expand '{text}' specified in the query string: it may name createdTime, changedTime and"
            " provisioningState.",
        )
    return found


def _top(call: Call) -> int:
    text = call.query.get("$top")
    if text is None:
        return _PAGE
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise ArmError(
            400, "InvalidTopInQueryString", f"Invalid $top '{text}' specified in the query string: a number from 1 on."
        )
    return min(int(text), _PAGE)


def _after(call: Call) -> str:
    """The key of the last one of the page before."""
    text = call.query.get("$skiptoken")
    if not text:
        return ""
    try:
        return base64.urlsafe_b64decode(text.encode("ascii")).decode()
    except (binascii.Error, UnicodeError) as problem:
        raise ArmError(
            400, "InvalidSkipTokenInQueryString", f"Invalid $skiptoken '{text}' specified in the query string."
        ) from problem
