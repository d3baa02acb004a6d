"""Manifests, tags and referrers over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from windtunnel_emulators.registry.digests import check_digest
from windtunnel_emulators.registry.errors import manifest_unknown, name_unknown, tag_invalid
from windtunnel_emulators.registry.exchange import Answer, json_answer
from windtunnel_emulators.registry.manifests import LARGEST, OCI_INDEX, parse_manifest, too_large
from windtunnel_emulators.registry.names import check_tag

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.registry.content import Content, Referrer
    from windtunnel_emulators.registry.exchange import Request
    from windtunnel_emulators.registry.inventory import Inventory
    from windtunnel_emulators.registry.registries import Registry

_MOST_TAGS = 10  # of one push; the specification asks for at least 10


def get_manifest(content: Content, registry: Registry, name: str, reference: str, request: Request) -> Answer:
    """GET and HEAD."""
    found = content.manifest(registry.key, name, _reference(reference))
    if found is None:
        raise manifest_unknown(name, reference)
    headers = {"Docker-Content-Digest": found.digest, "ETag": f'"{found.digest}"'}
    if request.headers.get("if-none-match", "").strip() in (f'"{found.digest}"', found.digest):
        return Answer(status=304, headers=headers)
    return Answer(status=200, body=found.body, content_type=found.media_type, headers=headers)


async def put_manifest(content: Content, registry: Registry, name: str, reference: str, request: Request) -> Answer:
    """PUT, by tag or digest; by digest, ``?tag=`` names tags to give it."""
    tags = request.query.get("tag", []) if ":" in reference else []
    if len(tags) > _MOST_TAGS:
        raise tag_invalid(f"{len(tags)} tags in one push; the most are {_MOST_TAGS}")
    body = await request.body(LARGEST, too_large())
    media_type = request.headers.get("content-type", "")
    digest = content.put_manifest(registry.key, name, _reference(reference), media_type, body, tags=tags)
    headers = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest}
    subject = parse_manifest(body, media_type).subject
    if subject is not None:
        headers["OCI-Subject"] = subject
    if tags:
        headers["OCI-Tag"] = ", ".join(tags)
    return Answer(status=201, headers=headers)


def delete_manifest(content: Content, registry: Registry, name: str, reference: str) -> Answer:
    """DELETE: a digest takes the manifest and its tags, a tag only itself."""
    if ":" in reference:
        content.delete_manifest(registry.key, name, check_digest(reference))
    else:
        content.delete_tag(registry.key, name, check_tag(reference))
    return Answer(status=202)


def list_tags(content: Content, inventory: Inventory, registry: Registry, name: str, request: Request) -> Answer:
    """``/v2/{name}/tags/list``."""
    if inventory.repository(registry.key, name) is None:
        raise name_unknown(name)
    count = request.count()
    last = request.parameter("last") or ""
    limit = -1 if count is None else count + 1
    tags = content.tags(registry.key, name, last=last, limit=limit)
    headers: dict[str, str] = {}
    if count is not None and len(tags) > count:
        tags = tags[:count]
        if tags:
            headers = next_page(f"/v2/{name}/tags/list", last=tags[-1], n=str(count))
    body: JsonObject = {"name": name, "tags": [*tags]}
    return json_answer(200, body, headers=headers)


def list_referrers(content: Content, registry: Registry, name: str, digest: str, request: Request) -> Answer:
    """``/v2/{name}/referrers/{digest}``: an image index, empty when there are none."""
    check_digest(digest)
    wanted = request.parameter("artifactType")
    found = content.referrers(registry.key, name, digest)
    manifests: list[Json] = [_descriptor(one) for one in found if not wanted or one.artifact_type == wanted]
    headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
    answer = json_answer(200, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}, headers=headers)
    return Answer(status=200, body=answer.body, content_type=OCI_INDEX, headers=headers)


def next_page(path: str, **parameters: str) -> dict[str, str]:
    """The ``Link`` header of a list that goes on (RFC 8288)."""
    return {"Link": f'<{quote(path)}?{urlencode(parameters)}>; rel="next"'}


def _descriptor(referrer: Referrer) -> JsonObject:
    found: JsonObject = {
        "mediaType": referrer.media_type,
        "digest": referrer.digest,
        "size": referrer.size,
    }
    if referrer.artifact_type:
        found["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        found["annotations"] = referrer.annotations
    return found


def _reference(text: str) -> str:
    return check_digest(text) if ":" in text else check_tag(text)
