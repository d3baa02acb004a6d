"""``importImage``: from one emulated registry to another. Other sources are refused: there is no network promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.arm.errors import ArmError, not_implemented
from windtunnel_emulators.arm.provider import Reply
from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.manifests import INDEXES

from .bodies import ImportBody, one_of, read

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.registry.content import Content, Manifest
    from windtunnel_emulators.registry.registries import Registry

    from .bodies import ImportSource
    from .service import RegistryService

_DEEPEST = 4


async def import_image(call: Call, registry: Resource | None, service: RegistryService) -> Reply:
    """Copies at once and answers 200; Azure may answer 202, which takes clients a poll more for the same."""
    assert registry is not None
    body = read(call.body, ImportBody)
    force = one_of(body.mode, ("NoForce", "Force"), "mode") == "Force"
    source, path = _source(body.source, service)
    repository, reference = _split(path)
    targets = [_split(target) for target in body.target_tags or ([path] if "@" not in path else [])]
    untagged = body.untagged_target_repositories or []
    if not targets and not untagged:
        raise _bad("give targetTags or untaggedTargetRepositories for an image that is named by its digest")
    content = service.world.content
    key = registry.id.key
    try:
        manifest = content.manifest(source.key, repository, reference)
        if manifest is None:
            raise ArmError(
                404,
                "ImageNotFound",
                f"The image '{path}' was not found in registry '{source.name}'.",
                target="source.sourceImage",
            )
        for name, tag in targets:
            before = content.resolve(key, name, tag)
            if before is not None and before != manifest.digest and not force:
                raise ArmError(
                    409,
                    "TagAlreadyExists",
                    f"Tag {name}:{tag} already exists in target registry. Use mode Force to overwrite it.",
                    target="targetTags",
                )
        with content.store.transaction():
            for name, tag in targets:
                _copy(content, source.key, repository, key, name, manifest, tag)
            for name in untagged:
                _copy(content, source.key, repository, key, name, manifest, None)
    except RegistryError as error:
        raise ArmError(400, error.code, error.message) from error
    return Reply(status=200)


def _copy(
    content: Content,
    source: str,
    source_repository: str,
    target: str,
    repository: str,
    manifest: Manifest,
    tag: str | None,
    depth: int = 0,
) -> None:
    """A manifest with all that it needs: blobs are shared files, so only links are made."""
    if depth > _DEEPEST:
        raise _bad("the image is an index of indexes that is nested too deep")
    value = as_object(msgspec.json.decode(manifest.body))
    if manifest.media_type in INDEXES:
        for entry in as_list(value.get("manifests")):
            child = content.manifest(source, source_repository, as_str(as_object(entry).get("digest")))
            if child is None:
                raise _bad("the image is an index, and a part of it is not in the source registry any more")
            _copy(content, source, source_repository, target, repository, child, None, depth + 1)
    parts = [value.get("config"), *as_list(value.get("layers")), *as_list(value.get("blobs"))]
    for part in parts:
        digest = as_str(as_object(part).get("digest"))
        if content.has(source, source_repository, digest):
            content.link(target, repository, digest)
    content.put_manifest(target, repository, tag or manifest.digest, manifest.media_type, manifest.body)


def _source(source: ImportSource, service: RegistryService) -> tuple[Registry, str]:
    """The registry to copy from, and the image's path in it."""
    server, slash, path = source.source_image.partition("/")
    named = service.registries.at(server) if slash else None
    if source.resource_id is not None:
        found = service.registries.get(source.resource_id.lower())
        if found is None:
            raise ArmError(
                404,
                "ResourceNotFound",
                f"The source registry '{source.resource_id}' was not found.",
                target="source.resourceId",
            )
        return found, path if named is not None else source.source_image
    uri = (source.registry_uri or "").removeprefix("https://").rstrip("/")
    found = service.registries.at(uri) if uri else named
    if found is None:
        raise not_implemented(
            f"Importing from '{uri or server}'", "Only emulated registries are reached; push the image instead."
        )
    credentials = source.credentials
    if credentials is not None:
        granted = service.access.by_password(found, credentials.username or found.name, credentials.password)
        if granted is None:
            raise ArmError(
                401,
                "InvalidCredentials",
                f"The credentials for the source registry '{found.login_server}' were refused.",
                target="source.credentials",
            )
    return found, path if named is not None else source.source_image


def _split(text: str) -> tuple[str, str]:
    name, at, digest = text.partition("@")
    if at:
        return name.rpartition(":")[0] or name, digest
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon else (name, "latest")


def _bad(why: str) -> ArmError:
    return ArmError(400, "InvalidImportRequest", f"The import request is invalid: {why}.")
