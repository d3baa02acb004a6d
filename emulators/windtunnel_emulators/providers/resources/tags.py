"""Tags of subscriptions, groups and resources as resources of their own, and the subscription's tag names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm import checks
from windtunnel_emulators.arm.errors import (
    ArmError,
    invalid_request_content,
    resource_group_not_found,
    resource_not_found,
)
from windtunnel_emulators.arm.paths import resource_id
from windtunnel_emulators.arm.responses import Answer
from windtunnel_emulators.jsontypes import as_str

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.arm.groups import Group
    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json, JsonObject

    Save = Callable[[Mapping[str, str]], None]

_TAGS = "/providers/Microsoft.Resources/tags/default"


def subscription_tags(kernel: Kernel) -> dict[str, str]:
    """The tags of the subscription itself."""
    return {
        str(name): str(value)
        for name, value in kernel.store.rows("SELECT name, value FROM subscription_tags ORDER BY name")
    }


def get(kernel: Kernel, call: Call) -> Answer:
    """The tags of a scope."""
    id, now, _ = _scope(kernel, call)
    return _answer(id, now)


def put(kernel: Kernel, call: Call) -> Answer:
    """Replace all tags of a scope."""
    id, _, save = _scope(kernel, call)
    tags = _asked(call)
    save(tags)
    return _answer(id, tags)


def patch(kernel: Kernel, call: Call) -> Answer:
    """Merge, replace or delete tags of a scope."""
    id, now, save = _scope(kernel, call)
    given = _asked(call)
    word = checks.object_body(call.body, "tags").get("operation", "Merge")
    operation = as_str(word).lower()
    folded = {name.lower(): name for name in now}
    tags = dict(now)
    if operation == "replace":
        tags = given
    elif operation == "merge":
        for name, value in given.items():
            tags[folded.get(name.lower(), name)] = value
    elif operation == "delete":
        for name, value in given.items():
            known = folded.get(name.lower())
            if known is not None and tags.get(known) == value:
                del tags[known]
    else:
        raise invalid_request_content(
            f"The request content was invalid: the operation '{word}' is none of Merge, Replace, Delete.",
            target="operation",
        )
    checks.check_tags(tags)
    save(tags)
    return _answer(id, tags)


def delete(kernel: Kernel, call: Call) -> Answer:
    """Take all tags away."""
    _, _, save = _scope(kernel, call)
    save({})
    return Answer(status=200)


def _asked(call: Call) -> dict[str, str]:
    properties = checks.properties_of(checks.object_body(call.body, "tags"))
    found = checks.tags(properties)
    if found is None:
        raise invalid_request_content(
            "The request content was invalid: 'properties.tags' is required.", target="properties.tags"
        )
    return found


def _answer(id: str, tags: Mapping[str, str]) -> Answer:
    shown: JsonObject = {**tags}
    return Answer(
        status=200,
        body={
            "id": id + _TAGS,
            "name": "default",
            "type": "Microsoft.Resources/tags",
            "properties": {"tags": shown},
        },
    )


def _scope(kernel: Kernel, call: Call) -> tuple[str, dict[str, str], Save]:
    """The id of what the tags are on, its tags now, and how to change them. Raises 404."""
    scope = call.parameters["scope"]
    parts = scope.strip("/").split("/")
    if len(parts) == 2:
        return f"/subscriptions/{kernel.subscription}", subscription_tags(kernel), _of_subscription(kernel)
    if len(parts) == 4 and parts[2].lower() == "resourcegroups":
        group = kernel.groups.get(call.subscription, parts[3])
        if group is None:
            raise resource_group_not_found(parts[3])
        return group.id, dict(group.tags or {}), _of_group(kernel, group)
    try:
        id = resource_id(scope)
    except ValueError:
        raise ArmError(404, "NotFound", f"'{scope}' is no subscription, resource group or resource.") from None
    resource = kernel.resources.get(id)
    if resource is None:
        if kernel.groups.get(call.subscription, id.group) is None:
            raise resource_group_not_found(id.group)
        raise resource_not_found(id.type_and_name, id.group)
    kind = kernel.catalogue.kind(id.type)
    if kind is not None and not kind.type.tracked:
        raise ArmError(400, "TagsNotSupportedForType", f"Resources of type '{kind.name}' have no tags.")
    return str(resource.id), dict(resource.tags or {}), _of_resource(kernel, resource)


def _of_subscription(kernel: Kernel) -> Save:
    def save(tags: Mapping[str, str]) -> None:
        with kernel.store.transaction():
            kernel.store.execute("DELETE FROM subscription_tags")
            for name, value in tags.items():
                kernel.store.execute("INSERT INTO subscription_tags VALUES (?, ?)", (name, value))

    return save


def _of_group(kernel: Kernel, group: Group) -> Save:
    return lambda tags: kernel.groups.save(replace(group, tags=tags))


def _of_resource(kernel: Kernel, resource: Resource) -> Save:
    def save(tags: Mapping[str, str]) -> None:
        kernel.resources.save(replace(resource, tags=tags))

    return save


def names(kernel: Kernel, call: Call) -> Answer:
    """The subscription's tag names: those predefined, and those in use, with how often."""
    found: dict[str, dict[str, int]] = {}
    for name, value in kernel.store.rows("SELECT name, value FROM tag_names ORDER BY name, value"):
        values = found.setdefault(str(name), {})
        if value:
            values.setdefault(str(value), 0)
    used = [group.tags for group in kernel.groups.list(kernel.subscription)]
    used += [listed.resource.tags for listed in kernel.resources.tracked(subscription=kernel.subscription)]
    for tags in used:
        for name, value in (tags or {}).items():
            values = found.setdefault(name, {})
            values[value] = values.get(value, 0) + 1
    shown: list[Json] = [_name(kernel, name, values) for name, values in found.items()]
    return Answer(status=200, body={"value": shown})


def put_name(kernel: Kernel, call: Call) -> Answer:
    """Predefine a tag name."""
    return _predefine(kernel, call.parameters["name"], "")


def put_value(kernel: Kernel, call: Call) -> Answer:
    """Predefine a value of a tag name."""
    name, value = call.parameters["name"], call.parameters["value"]
    if not _predefined(kernel, name, ""):
        raise ArmError(404, "TagNameNotFound", f"The tag name '{name}' was not found. Create it first.")
    return _predefine(kernel, name, value)


def delete_name(kernel: Kernel, call: Call) -> Answer:
    """Forget a predefined tag name and its values; tags in use stay."""
    gone = kernel.store.execute("DELETE FROM tag_names WHERE name = ?", (call.parameters["name"],))
    return Answer(status=200 if gone else 204)


def delete_value(kernel: Kernel, call: Call) -> Answer:
    """Forget a predefined value."""
    name, value = call.parameters["name"], call.parameters["value"]
    gone = kernel.store.execute("DELETE FROM tag_names WHERE name = ? AND value = ?", (name, value))
    return Answer(status=200 if gone else 204)


def _predefined(kernel: Kernel, name: str, value: str) -> bool:
    return kernel.store.row("SELECT 1 FROM tag_names WHERE name = ? AND value = ?", (name, value)) is not None


def _predefine(kernel: Kernel, name: str, value: str) -> Answer:
    checks.check_tags({name: value})
    there = _predefined(kernel, name, value)
    kernel.store.execute("INSERT OR IGNORE INTO tag_names VALUES (?, ?)", (name, value))
    id = f"/subscriptions/{kernel.subscription}/tagNames/{name}"
    if value:
        shown: JsonObject = {"id": f"{id}/tagValues/{value}", "tagValue": value}
    else:
        shown = {"id": id, "tagName": name, "values": []}
    return Answer(status=200 if there else 201, body={**shown, "count": {"type": "Total", "value": 0}})


def _name(kernel: Kernel, name: str, values: Mapping[str, int]) -> JsonObject:
    id = f"/subscriptions/{kernel.subscription}/tagNames/{name}"
    shown: list[Json] = [
        {"id": f"{id}/tagValues/{value}", "tagValue": value, "count": {"type": "Total", "value": count}}
        for value, count in values.items()
    ]
    return {
        "id": id,
        "tagName": name,
        "count": {"type": "Total", "value": sum(values.values())},
        "values": shown,
    }
