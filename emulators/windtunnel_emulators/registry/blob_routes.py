"""Blobs over HTTP: pulling whole or in part, pushing in one request or several, mounting, deleting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.registry.attributes import READ, WRITE
from windtunnel_emulators.registry.digests import check_algorithm, check_digest
from windtunnel_emulators.registry.errors import RegistryError, blob_unknown, digest_invalid
from windtunnel_emulators.registry.exchange import BYTES, Answer, FileAnswer
from windtunnel_emulators.registry.names import check_repository
from windtunnel_emulators.registry.ranges import sent_range, wanted_range

if TYPE_CHECKING:
    from windtunnel_emulators.registry.access import Grants
    from windtunnel_emulators.registry.content import Content
    from windtunnel_emulators.registry.exchange import Request
    from windtunnel_emulators.registry.registries import Registry
    from windtunnel_emulators.registry.uploads import Upload, Uploads


def get_blob(content: Content, registry: Registry, name: str, digest: str, request: Request) -> Answer | FileAnswer:
    """GET and HEAD of a blob."""
    check_digest(digest)
    kept = content.blobs.find(registry.key, name, digest, touch=True)
    path = content.blob_path(digest)
    if kept is None or path is None or not path.is_file():
        raise blob_unknown(digest)
    content.check(registry.key, name, READ)
    headers = {
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000",
    }
    if request.headers.get("if-none-match", "").strip() in (f'"{digest}"', digest):
        return Answer(status=304, headers=headers)
    headers["Content-Type"] = BYTES
    part = wanted_range(request.headers.get("range"), kept.size) if request.method == "GET" else None
    if part is None:
        return FileAnswer(path=path, start=0, length=kept.size, status=200, headers=headers)
    start, length = part
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{kept.size}"
    return FileAnswer(path=path, start=start, length=length, status=206, headers=headers)


def delete_blob(content: Content, registry: Registry, name: str, digest: str) -> Answer:
    content.delete_blob(registry.key, name, check_digest(digest))
    return Answer(status=202, headers={"Docker-Content-Digest": digest})


async def start_upload(
    content: Content, uploads: Uploads, registry: Registry, name: str, request: Request, grants: Grants
) -> Answer:
    """POST: mount a blob of another repository, take a whole blob, or begin an upload."""
    content.check(registry.key, name, WRITE)
    mount = request.parameter("mount")
    if mount is not None and _mount(content, registry, name, check_digest(mount), request.parameter("from"), grants):
        return _created(name, mount)
    digest = request.parameter("digest")
    if digest is not None:
        check_digest(digest)
    algorithm = check_algorithm(
        (digest or mount or request.parameter("digest-algorithm") or "sha256").partition(":")[0]
    )
    upload = uploads.start(registry.key, name, algorithm=algorithm)
    if digest is None:
        return _accepted(upload)
    try:
        upload = await uploads.append(upload, request.pieces(), length=request.length)
        await uploads.finish(upload, digest)
    except BaseException:
        uploads.discard(upload.id)
        raise
    return _created(name, digest)


async def patch_upload(uploads: Uploads, registry: Registry, name: str, id: str, request: Request) -> Answer:
    """PATCH: a chunk, in its place when it says which, else the next."""
    upload = uploads.get(registry.key, name, id)
    return _accepted(await _append(uploads, upload, request))


async def put_upload(uploads: Uploads, registry: Registry, name: str, id: str, request: Request) -> Answer:
    """PUT: the last chunk, if it has one, and the end."""
    upload = uploads.get(registry.key, name, id)
    digest = request.parameter("digest")
    if digest is None:
        raise digest_invalid("", "the upload cannot end without a digest parameter")
    check_digest(digest)
    await uploads.finish(await _append(uploads, upload, request), digest)
    return _created(name, digest)


def get_upload(uploads: Uploads, registry: Registry, name: str, id: str) -> Answer:
    """GET: how far it is."""
    upload = uploads.get(registry.key, name, id)
    return Answer(status=204, headers=_progress(upload))


def cancel_upload(uploads: Uploads, registry: Registry, name: str, id: str) -> Answer:
    uploads.cancel(uploads.get(registry.key, name, id))
    return Answer(status=204)


async def _append(uploads: Uploads, upload: Upload, request: Request) -> Upload:
    length = request.length
    header = request.headers.get("content-range")
    if header is not None and not (length == 0 and not header.strip()):
        first, count = sent_range(header)
        if first != upload.size:
            raise RegistryError(
                416,
                "RANGE_INVALID",
                f"the chunk begins at byte {first}, but the next one to send is byte {upload.size}",
                headers=_progress(upload),
            )
        if length is not None and length != count:
            raise RegistryError(
                400, "SIZE_INVALID", f"Content-Range {header} is {count} bytes, Content-Length says {length}"
            )
        length = count
    if length == 0:
        return upload
    return await uploads.append(upload, request.pieces(), length=length)


def _mount(content: Content, registry: Registry, name: str, digest: str, source: str | None, grants: Grants) -> bool:
    """Link a blob that the caller may read elsewhere in the registry; without a source, anywhere."""
    if source is None:
        sources = content.blobs.repositories_with(registry.key, digest)
    elif content.has(registry.key, check_repository(source), digest):
        sources = [source]
    else:
        sources = []
    if not any(grants.may_mount(repository) for repository in sources):
        return False  # the specification's way: the client gets an upload, and learns nothing of other repositories
    content.link(registry.key, name, digest)
    return True


def _created(name: str, digest: str) -> Answer:
    return Answer(status=201, headers={"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})


def _accepted(upload: Upload) -> Answer:
    return Answer(status=202, headers=_progress(upload))


def _progress(upload: Upload) -> dict[str, str]:
    return {
        "Location": f"/v2/{upload.repository}/blobs/uploads/{upload.id}",
        "Docker-Upload-UUID": upload.id,
        # An empty upload has no last byte; clients expect 0-0 all the same, as every registry sends it.
        "Range": f"0-{max(0, upload.size - 1)}",
    }
