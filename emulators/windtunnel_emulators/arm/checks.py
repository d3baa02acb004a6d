"""What ARM itself asks of a request before a provider sees it: versions, names, locations, tags.

Codes and sentences: recordings, quotations in public issues, azure-resource-manager-rpc; see ``errors``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID

from windtunnel_emulators.arm.errors import by_gateway
from windtunnel_emulators.arm.locations import region, regions
from windtunnel_emulators.arm.paths import plain_location
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from windtunnel_emulators.arm.catalogue import Kind
    from windtunnel_emulators.arm.errors import ArmError
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.jsontypes import Json, JsonObject

MOST_TAGS = 50
_LONGEST_TAG_NAME = 512
_LONGEST_TAG_VALUE = 256
_LONGEST_NAME = 260
_LONGEST_GROUP = 90

_NOT_IN_NAMES = re.compile(r"[<>*%&:\\?+/#\x00-\x1f\x7f]")
_NOT_IN_TAG_NAMES = re.compile(r"[<>%&\\?/]")
_NOT_IN_GROUPS = re.compile(r"[^\w.()\-]")
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-[a-z0-9]+)?", re.IGNORECASE)


def api_version_of(query: Mapping[str, str]) -> str:
    """The version that a request names. Raises 400 when it names none."""
    version = query.get("api-version", "")
    if not version:
        raise by_gateway(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    return version


def well_formed(version: str) -> bool:
    """Whether a version looks like one."""
    return _VERSION.fullmatch(version) is not None


def core_version(version: str, supported: Iterable[str]) -> None:
    """Raises 400 for a version that Microsoft.Resources has not published."""
    versions = list(supported)
    if version.lower() not in versions:
        raise by_gateway(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{','.join(reversed(versions))}'.",
        )


def provider_version(kind: Kind, version: str, location: str | None) -> None:
    """Raises 400 for a version that the provider has not published for the type."""
    if version.lower() not in kind.versions:
        place = f"location '{location}' and " if location else ""
        supported = ", ".join(reversed(kind.type.api_versions))
        raise by_gateway(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for {place}API version '{version}' for type"
            f" '{kind.type.name}'. The supported api-versions are '{supported}'.",
        )


def subscription(asked: str, known: str) -> None:
    """Raises for a subscription that is no GUID (400) or is not there (404)."""
    if asked.lower() == known.lower():
        return
    try:
        UUID(asked)
    except ValueError:
        raise by_gateway(
            400, "InvalidSubscriptionId", f"The provided subscription identifier '{asked}' is malformed or invalid."
        ) from None
    raise by_gateway(404, "SubscriptionNotFound", f"The subscription '{asked}' could not be found.")


def resource_name(name: str) -> None:
    """Raises 400 for a name that no resource of any type may have."""
    if len(name) > _LONGEST_NAME or name[-1:] in (".", " ", "") or _NOT_IN_NAMES.search(name):
        raise by_gateway(
            400,
            "InvalidResourceName",
            f"Resource name '{name[:_LONGEST_NAME]}' is invalid. A name has at most {_LONGEST_NAME} characters, none of"
            " <>*%&:\\?+/# or a control character, and does not end with a period or a space.",
        )


def group_name(name: str) -> None:
    """Raises 400 for a name that no resource group may have."""
    if len(name) > _LONGEST_GROUP:
        raise by_gateway(
            400,
            "InvalidResourceGroup",
            f"The provided resource group name '{name[:_LONGEST_NAME]}' has a length of '{len(name)}' which exceeds the"
            f" maximum length of '{_LONGEST_GROUP}'.",
        )
    wrong = sorted(set(_NOT_IN_GROUPS.findall(name)))
    if wrong:
        raise by_gateway(
            400,
            "InvalidResourceGroup",
            f"The provided resource group name '{name}' has these invalid characters: '{''.join(wrong)}'. The name can"
            " only be a letter, digit, '-', '.', '(', ')' or '_'.",
        )
    if name.endswith("."):
        raise by_gateway(
            400, "InvalidResourceGroup", f"The provided resource group name '{name}' must not end with a period."
        )


def object_body(body: Json, what: str) -> JsonObject:
    """The body as an object. Raises 400 when it is something else, or nothing."""
    if not isinstance(body, dict):
        raise _wrong(
            f"The request content was invalid and could not be deserialized: the body of {what} must be a JSON object."
        )
    return body


def tags(body: JsonObject) -> dict[str, str] | None:
    """The tags of a body, None when it has none. Raises 400 for tags that Azure does not take."""
    given = body.get("tags")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise _wrong("The request content was invalid: 'tags' must be an object.", target="tags")
    found: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, int | float):
            value = str(value)  # as Azure's own parser does
        if value is None:
            value = ""
        if not isinstance(value, str):
            raise _wrong(
                f"The request content was invalid: the value of tag '{name}' must be a string.", target=f"tags.{name}"
            )
        found[name] = value
    check_tags(found)
    return found


def check_tags(found: Mapping[str, str]) -> None:
    """Raises 400 for too many tags, and for names and values that are too long or have characters Azure refuses."""
    if len(found) > MOST_TAGS:
        raise by_gateway(
            400,
            "InvalidTags",
            f"The tags are invalid: {len(found)} tags are specified. The maximum number of tags is {MOST_TAGS}.",
        )
    folded: dict[str, str] = {}
    for name, value in found.items():
        if not name.strip() or len(name) > _LONGEST_TAG_NAME or _NOT_IN_TAG_NAMES.search(name):
            raise by_gateway(
                400,
                "InvalidTagNameCharacters" if name.strip() and len(name) <= _LONGEST_TAG_NAME else "InvalidTagName",
                f"The tag name '{name[:_LONGEST_TAG_NAME]}' is invalid. A tag name has 1 to {_LONGEST_TAG_NAME}"
                " characters, none of <>%&\\?/.",
            )
        if len(value) > _LONGEST_TAG_VALUE:
            raise by_gateway(
                400,
                "InvalidTagValueLength",
                f"The value of tag '{name}' has {len(value)} characters. The maximum length of a tag value is"
                f" {_LONGEST_TAG_VALUE}.",
            )
        twin = folded.setdefault(name.lower(), name)
        if twin != name:
            raise by_gateway(
                400, "InvalidTags", f"The tags are invalid: '{twin}' and '{name}' differ only in the case of letters."
            )


def location(body: JsonObject, kind: Kind, existing: Resource | None) -> str:
    """The location of a tracked resource, as its plain name.

    Raises 400 when it is missing or the type is not to be had there, 409 when the resource is somewhere else.
    """
    allowed = [plain_location(name) for name in kind.type.locations]
    return _location(body, existing.location if existing else None, allowed, kind.name, existing)


def group_location(body: JsonObject, existing: str | None) -> str:
    """The same for a resource group."""
    return _location(body, existing, list(regions()), "Microsoft.Resources/resourceGroups", None)


def _location(body: JsonObject, existing: str | None, allowed: list[str], type_: str, resource: Resource | None) -> str:
    given = body.get("location")
    if given is not None and not isinstance(given, str):
        raise _wrong("The request content was invalid: 'location' must be a string.", target="location")
    if not given or not given.strip():
        raise by_gateway(400, "LocationRequired", "The location property is required for this definition.")
    plain = plain_location(given)
    if plain not in allowed:
        known = region(given)
        raise by_gateway(
            400,
            "LocationNotAvailableForResourceType",
            f"The provided location '{known.name if known else given}' is not available for resource type '{type_}'."
            f" List of available regions for the resource type is '{','.join(allowed)}'.",
        )
    if existing is not None and plain_location(existing) != plain:
        if resource is None:
            raise by_gateway(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{plain}'. The Resource group already exists in location"
                f" '{existing}'.",
            )
        raise by_gateway(
            409,
            "InvalidResourceLocation",
            f"The resource '{resource.id.name}' already exists in location '{existing}' in resource group"
            f" '{resource.id.group}'. A resource with the same name cannot be created in location '{plain}'. Please"
            " select a new resource name.",
        )
    return plain


def properties_of(body: JsonObject) -> JsonObject:
    """The ``properties`` of a body. Raises 400 when they are no object."""
    given = body.get("properties")
    if given is not None and not isinstance(given, dict):
        raise _wrong("The request content was invalid: 'properties' must be an object.", target="properties")
    return as_object(given)


def optional_text(body: JsonObject, name: str) -> str | None:
    """A string of the body, None when it has none. Raises 400 when it is something else."""
    given = body.get(name)
    if given is not None and not isinstance(given, str):
        raise _wrong(f"The request content was invalid: '{name}' must be a string.", target=name)
    return given


def _wrong(message: str, *, target: str | None = None) -> ArmError:
    return by_gateway(400, "InvalidRequestContent", message, target=target)
