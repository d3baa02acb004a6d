"""Hubs: what a body may ask for, what an answer shows. The answers' shape is that of the recording.

A new hub answers 201 with little more than ``Accepted``; it is whole, and listens, when its work is done. Two things
differ from Azure, because this hub is on this machine: ``hostName`` is where it can be reached, and ``windtunnel``
tells clients of devices how to reach it by its Azure name.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Change, Links, Removal, Resource, View
from windtunnel_emulators.jsontypes import JsonObject, as_list, as_object, as_str

from . import settings
from .names import TYPE, check_new_name
from .policies import SECRET, default_policies, read_policies
from .skus import edition_of, read_sku
from .times import etag

if TYPE_CHECKING:
    from windtunnel_emulators.arm.errors import ArmError as Refusal
    from windtunnel_emulators.arm.provider import Call, Operation
    from windtunnel_emulators.jsontypes import Json

    from .service import IotHubs

LINKS = Links(
    path="/subscriptions/{subscription}/providers/{namespace}/locations/{location}/operationResults/{operation}",
    in_progress="Running",
)
_MOST_FREE = 1
_MOST = 50
_FIRST_SHOWN = ("enableFileUploadNotifications", "features", "allowedFqdnList")
_WITHOUT_EFFECT = ("ipFilterRules", "networkRuleSets", "publicNetworkAccess")
_log = logging.getLogger(__name__)


def put(call: Call, existing: Resource | None, service: IotHubs) -> Change:
    """A hub is made, or changed; what a body leaves out stays."""
    assert call.id is not None
    body = as_object(call.body)
    if existing is None:
        check_new_name(call.id, service.world.resources)
    _check_etag(call, body, existing)
    before_sku = as_object(existing.envelope.get("sku")) if existing else {}
    sku = read_sku(body.get("sku") if existing is None or "sku" in body else before_sku)
    if existing is None:
        _check_room(call, sku, service)
    elif before_sku["tier"] != sku["tier"]:
        raise ArmError(
            400,
            "InvalidSku",
            f"A hub of the tier {before_sku['tier']} cannot become one of the tier {sku['tier']}.",
            target="sku.name",
        )
    edition = edition_of(sku)
    asked = as_object(body.get("properties"))
    before = existing.properties if existing else settings.defaults(call.id.name, edition)
    properties = settings.merged(asked, before, edition, new=existing is None)
    _warn(call.id.name, asked)
    policies = as_list(existing.secrets.get(SECRET)) if existing else default_policies()
    envelope: JsonObject = {
        "subscriptionid": call.id.subscription,
        "resourcegroup": call.id.group,
        "sku": sku,
        "identity": _identity(body, existing),
        "systemData": existing.envelope["systemData"] if existing else {"createdAt": call.now.isoformat()},
    }
    resource = Resource(
        id=call.id,
        location=as_str(body.get("location")) or (existing.location if existing else None),
        tags={name: as_str(value) for name, value in as_object(body.get("tags")).items()},
        properties={
            **properties,
            "state": "Active" if existing else "Activating",
            "provisioningState": "Accepted",
        },
        envelope=envelope,
        secrets={SECRET: read_policies(asked.get("authorizationPolicies"), policies)},
        state=existing.state if existing else {"instance": uuid.uuid4().hex},
        etag=existing.etag if existing else "",
    )
    return Change(resource=resource, status=201, work="update" if existing else "create")


def patch(call: Call, existing: Resource | None, _: IotHubs) -> Change:
    """Tags, as Azure: anything else has to be sent whole."""
    assert existing is not None
    tags = as_object(call.body).get("tags")
    if tags is None:
        return Change(resource=existing, status=200)
    return Change(
        resource=replace(existing, tags={name: as_str(value) for name, value in as_object(tags).items()}), status=200
    )


def delete(_: Call, __: Resource, ___: IotHubs) -> Removal:
    return Removal(status=202, show=True, work="delete", at_once=False, announce=True)


def failed(resource: Resource, _: Refusal) -> Resource:
    """A hub whose making failed is there, and does nothing."""
    return replace(resource, properties={**resource.properties, "provisioningState": "Failed"})


def view(resource: Resource, _: IotHubs, how: View) -> JsonObject:
    """A hub that is being made shows little, and no etag."""
    properties = dict(resource.properties)
    shown: JsonObject = dict(resource.envelope)
    if properties.get("state") != "Active" and how is View.PUT:
        shown.pop("identity", None)
        shown.pop("systemData", None)
        shown["properties"] = {
            "provisioningState": properties["provisioningState"],
            **{name: properties[name] for name in _FIRST_SHOWN if name in properties},
            "features": "None",
        }
        return shown
    if how is View.DELETE:
        properties |= {"state": "Deleting", "provisioningState": "Deleting"}
    shown["etag"] = etag(resource.etag)
    shown["properties"] = properties
    return shown


def poll(operation: Operation, _: Resource | None, __: IotHubs) -> JsonObject:
    """As recorded: the status and nothing else, and what went wrong."""
    status: JsonObject = {"status": "Running" if operation.status == "InProgress" else operation.status}
    if operation.error is not None:
        status["error"] = operation.error
    return status


def _check_etag(call: Call, body: JsonObject, existing: Resource | None) -> None:
    asked = call.headers.get("if-match", "").strip('"') or as_str(body.get("etag"))
    if existing is not None and asked and asked not in ("*", etag(existing.etag)):
        raise ArmError(
            412,
            "PreconditionFailed",
            f"The hub '{existing.id.name}' has another etag than the one that was sent. Read it and try again.",
        )


def _check_room(call: Call, sku: JsonObject, service: IotHubs) -> None:
    hubs = service.world.resources.list(TYPE, subscription=call.subscription)
    free = sum(as_object(hub.envelope.get("sku")).get("tier") == "Free" for hub in hubs)
    if sku["tier"] == "Free" and free >= _MOST_FREE:
        raise ArmError(
            409, "FreeHubLimitReached", f"A subscription has at most {_MOST_FREE} free IoT hub, and this one has it."
        )
    if len(hubs) >= _MOST:
        raise ArmError(409, "HubLimitReached", f"A subscription has at most {_MOST} IoT hubs.")


def _identity(body: JsonObject, existing: Resource | None) -> Json:
    asked = as_object(body.get("identity"))
    kind = as_str(asked.get("type"), "None") if asked else "None"
    if kind != "None":
        raise ArmError(
            501,
            "NotImplemented",
            "The identity of a hub is not emulated. Leave 'identity' out: routes to other services are stored and not"
            " followed here.",
        )
    return {"type": kind}


def _warn(name: str, asked: JsonObject) -> None:
    for field in _WITHOUT_EFFECT:
        if asked.get(field):
            _log.warning("hub %s: 'properties.%s' is kept and has no effect: everything is on loopback", name, field)
