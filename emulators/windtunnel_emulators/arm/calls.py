"""What a request on a provider's resource does: the part of each verb that ARM does for every type alike."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm import checks, longrunning
from windtunnel_emulators.arm.catalogue import action
from windtunnel_emulators.arm.errors import ArmError, by_gateway, resource_group_not_found, resource_not_found
from windtunnel_emulators.arm.journal import Removed
from windtunnel_emulators.arm.operations import another_operation
from windtunnel_emulators.arm.provider import View
from windtunnel_emulators.arm.responses import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from windtunnel_emulators.arm.catalogue import Called, Kind, Match
    from windtunnel_emulators.arm.groups import Group
    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.provider import Call, Change, Reply, Resource
    from windtunnel_emulators.jsontypes import JsonObject


async def answer(kernel: Kernel, call: Call, match: Match) -> Answer:
    """Answer a request below ``providers/{namespace}/{type}``; ``call.id`` is set unless it is about a collection."""
    on_collection = _collection_action(call, match)
    if on_collection is not None:
        parent = None if call.id is None else call.id.parent
        return await _act(kernel, replace(call, id=parent), match.kind, on_collection)
    if match.tail:
        called = action(match.kind.type.actions, call.method, match.tail)
        if called is None:
            raise type_not_found(match.kind.provider.namespace, call.api_version)
        return await _act(kernel, call, match.kind, called)
    if match.collection:
        if call.method == "GET":
            return _list(kernel, call, match.kind)
        raise method_not_allowed(call.method)
    if call.method == "GET":
        return _get(kernel, call, match.kind)
    if call.method == "PUT":
        return _put(kernel, call, match.kind)
    if call.method == "DELETE":
        return _delete(kernel, call, match.kind)
    if call.method == "PATCH":
        return _patch(kernel, call, match.kind)
    if call.method == "HEAD":
        return Answer(status=404 if kernel.resources.get(_id(call)) is None else 204)
    raise method_not_allowed(call.method)


def view(kind: Kind, resource: Resource, how: View) -> JsonObject:
    """A resource as its type shows it, with what every resource has."""
    shown: JsonObject = {"id": str(resource.id), "name": resource.id.name, "type": kind.name}
    if kind.type.tracked:
        if resource.location is not None:
            shown["location"] = resource.location
        if resource.tags is not None:
            shown["tags"] = dict(resource.tags)
    shown.update(kind.type.view(resource, kind.service, how))
    return shown


def _get(kernel: Kernel, call: Call, kind: Kind) -> Answer:
    return Answer(status=200, body=view(kind, _existing(kernel, call), View.GET))


def _list(kernel: Kernel, call: Call, kind: Kind) -> Answer:
    if call.group is not None:
        _group(kernel, call)
    parent = call.id
    if parent is not None and kernel.resources.get(parent) is None:
        raise _parent_not_found(parent)
    found: Sequence[Resource] = kernel.resources.list(
        kind.name, subscription=call.subscription, group=call.group, parent=parent
    )
    if kind.type.select is not None:
        found = kind.type.select(call, found, kind.service)
    return Answer(status=200, body={"value": [view(kind, one, View.LIST) for one in found]})


def _put(kernel: Kernel, call: Call, kind: Kind) -> Answer:
    if kind.type.put is None:
        raise method_not_allowed(call.method)
    kernel.registrations.check(kind.provider.namespace)
    group = _group(kernel, call)
    if group.deleting:
        raise by_gateway(
            409,
            "ResourceGroupBeingDeleted",
            f"The resource group '{group.name}' is in deprovisioning state and cannot perform this operation.",
        )
    asked = _id(call)
    existing = kernel.resources.get(asked)
    if existing is None:
        for name in asked.names:
            checks.resource_name(name)
        parent = asked.parent
        if parent is not None:
            above = kernel.resources.get(parent)
            if above is None:
                raise _parent_not_found(parent)
            asked = above.id.child(asked.types[-1], asked.name)
        else:
            asked = replace(asked, group=group.name)
    body = checks.object_body(call.body, f"a {kind.name}")
    if kind.type.tracked:
        body = _with_tags(body)
        if kind.type.locations:
            body["location"] = checks.location(body, kind, existing)
    checks.properties_of(body)
    _refuse_busy(kind, existing, call)
    id = asked if existing is None else existing.id
    change = kind.type.put(replace(call, id=id, body=body, group_location=group.location), existing, kind.service)
    return _changed(kernel, call, kind, change)


def _patch(kernel: Kernel, call: Call, kind: Kind) -> Answer:
    if kind.type.patch is None:
        raise method_not_allowed(call.method)
    existing = _existing(kernel, call)
    body = checks.object_body(call.body, f"a change of a {kind.name}")
    if kind.type.tracked:
        body = _with_tags(body)
    checks.properties_of(body)
    _refuse_busy(kind, existing, call)
    change = kind.type.patch(replace(call, id=existing.id, body=body), existing, kind.service)
    return _changed(kernel, call, kind, change)


def _with_tags(body: JsonObject) -> JsonObject:
    """A copy of the body, its tags checked and all of them strings."""
    tags = checks.tags(body)
    copy = dict(body)
    if tags is not None:
        copy["tags"] = dict(tags)
    return copy


def _changed(kernel: Kernel, call: Call, kind: Kind, change: Change) -> Answer:
    if change.work is None:
        saved = kernel.resources.save(change.resource)
        return Answer(status=change.status, body=view(kind, saved, View.PUT), headers=change.headers)
    operation = kernel.operations.begin(change.resource, change.work, api_version=call.api_version)
    headers = longrunning.announce(
        kind,
        operation,
        base_url=call.base_url,
        location=call.group_location,
        pace=kernel.pace,
        with_location=False,
    )
    return Answer(
        status=change.status, body=view(kind, change.resource, View.PUT), headers={**change.headers, **headers}
    )


def _delete(kernel: Kernel, call: Call, kind: Kind) -> Answer:
    if kind.type.delete is None:
        raise method_not_allowed(call.method)
    _group(kernel, call)
    existing = kernel.resources.get(_id(call))
    if existing is None:
        if kind.type.absent_delete_status == 404:
            raise _not_found(_id(call))
        return Answer(status=kind.type.absent_delete_status)
    _refuse_busy(kind, existing, call)
    removal = kind.type.delete(replace(call, id=existing.id), existing, kind.service)
    shown = view(kind, existing, View.DELETE) if removal.show else None
    below = planned_removal(kernel, call, kernel.resources.below(existing.id), at_once=removal.at_once)
    held = [existing.id, *(one.id for one in below)]
    if (
        removal.work is None
        and not any(one.verb for one in below)
        and not any(kernel.resources.held_by(id.key) for id in held)
    ):
        kernel.resources.remove(existing.id)
        return Answer(status=removal.status, body=shown, headers=removal.headers)
    itself = Removed(id=existing.id, verb=removal.work, resource=existing if removal.at_once else None)
    operation = kernel.operations.remove(
        existing,
        [*below, itself],
        verb=removal.work or "delete",
        at_once=removal.at_once,
        api_version=call.api_version,
    )
    headers = dict(removal.headers)
    if removal.announce:
        headers |= longrunning.announce(
            kind,
            operation,
            base_url=call.base_url,
            location=call.group_location,
            pace=kernel.pace,
            with_location=True,
        )
    return Answer(status=removal.status, body=shown, headers=headers)


def planned_removal(kernel: Kernel, call: Call, resources: Iterable[Resource], *, at_once: bool) -> list[Removed]:
    """What it takes to remove resources, as their types say. Raises the ``ArmError`` of a type that refuses."""
    found: list[Removed] = []
    for one in resources:
        kind = kernel.catalogue.kind(one.id.type)
        verb = None
        if kind is not None and kind.type.delete is not None:
            as_if = replace(call, method="DELETE", group=one.id.group, id=one.id, body=None, parameters={})
            verb = kind.type.delete(as_if, one, kind.service).work
        found.append(Removed(id=one.id, verb=verb, resource=one if at_once else None))
    return found


def _collection_action(call: Call, match: Match) -> Called | None:
    """An action on all resources of a type: what would be a name in its place is the action's path."""
    if match.collection or not match.kind.type.collection_actions:
        return None
    called = action(match.kind.type.collection_actions, call.method, (match.names[-1], *match.tail))
    return called if called is not None and called.action.method == call.method else None


async def _act(kernel: Kernel, call: Call, kind: Kind, called: Called) -> Answer:
    if called.action.method != call.method:
        raise method_not_allowed(call.method)
    if call.group is not None:
        _group(kernel, call)
    existing = None if call.id is None else kernel.resources.get(call.id)
    if existing is None and called.action.needs_resource and call.id is not None:
        raise _not_found(call.id)
    if called.action.refuse_busy:
        _refuse_busy(kind, existing, call)
    call = replace(call, parameters=called.parameters, id=call.id if existing is None else existing.id)
    reply = await called.action.act(call, existing, kind.service)
    return _acted(kernel, call, kind, existing, reply)


def _acted(kernel: Kernel, call: Call, kind: Kind, existing: Resource | None, reply: Reply) -> Answer:
    """Store what an action made, and start the work that it asks for."""
    made = None if reply.resource is None else _fresh(kernel, existing, reply.resource)
    target = made or existing
    if reply.work is None or target is None:
        if made is not None:
            kernel.resources.save(made)
        return Answer(status=reply.status, body=reply.body, headers=reply.headers)
    about = kernel.catalogue.kind(target.id.type) or kind
    _refuse_busy(about, kernel.resources.get(target.id), call)
    operation = kernel.operations.begin(target, reply.work, api_version=call.api_version)
    headers = dict(reply.headers)
    if reply.announce or reply.status in (201, 202):
        headers |= longrunning.announce(
            about,
            operation,
            base_url=call.base_url,
            location=call.group_location,
            pace=kernel.pace,
            with_location=call.method != "PUT",
        )
    return Answer(status=reply.status, body=reply.body, headers=headers)


def _fresh(kernel: Kernel, existing: Resource | None, made: Resource) -> Resource:
    """What an action made, if nobody else wrote the same meanwhile: it may have waited while it worked."""
    current = kernel.resources.get(made.id)
    if (current.etag if current else "") != made.etag:
        raise ArmError(
            409,
            "ConflictingConcurrentWriteNotAllowed",
            f"'{made.id.type_and_name}' was changed by another request at the same time. Read it and try again.",
        )
    if current is not None and existing is not None and made.state is existing.state:
        return replace(made, state=current.state)
    return made


def _refuse_busy(kind: Kind, existing: Resource | None, call: Call) -> None:
    if existing is None or existing.busy is None:
        return
    refusal = another_operation(existing) if kind.type.busy is None else kind.type.busy(existing, call)
    if refusal is not None:
        raise refusal
    if call.method != "DELETE":
        raise another_operation(existing)


def _id(call: Call) -> ResourceId:
    if call.id is None:
        raise TypeError("a request on a resource has an id")
    return call.id


def _existing(kernel: Kernel, call: Call) -> Resource:
    found = kernel.resources.get(_id(call))
    if found is None:
        _group(kernel, call)
        raise _not_found(_id(call))
    return found


def _group(kernel: Kernel, call: Call) -> Group:
    name = call.group or ""
    found = kernel.groups.get(call.subscription, name)
    if found is None:
        raise resource_group_not_found(name)
    return found


def _not_found(id: ResourceId) -> ArmError:
    return resource_not_found(id.type_and_name, id.group)


def _parent_not_found(parent: ResourceId) -> ArmError:
    return by_gateway(
        404,
        "ParentResourceNotFound",
        f"Failed to perform the operation because the parent resource '{parent.type_and_name}' could not be found.",
    )


def method_not_allowed(method: str) -> ArmError:
    """405, for a verb that a resource does not know."""
    return by_gateway(405, "MethodNotAllowed", f"The requested resource does not support http method '{method}'.")


def type_not_found(namespace: str, version: str) -> ArmError:
    """404, for a type that the namespace has not."""
    return by_gateway(
        404,
        "InvalidResourceType",
        f"The resource type could not be found in the namespace '{namespace}' for api version '{version}'.",
    )
