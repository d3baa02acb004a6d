"""The blob service over HTTP: ``/{account}/{container}/{blob}``, every request signed.

There are: containers (create, properties, list, delete) and blobs (Put Blob, Put Block, Put Block List, Append Block,
Get Blob with ranges, properties, list, delete). Leases, snapshots, tags, copies, tiers and shared access signatures are
refused.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape, quoteattr

from windtunnel_emulators.asgi import ClientGone, chunks, respond

from . import signature
from .content import Blob, write
from .errors import BlobError, blob_not_found, container_not_found, not_implemented, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.clock import Clock

    from .content import BlobContent

LARGEST = 256 << 20
"""Of one request's body; blobs are larger by blocks."""
MOST_APPENDS = 50_000
PAGE = 5000
_CONTAINER = re.compile(r"(?!.*--)[a-z0-9$][a-z0-9-]{1,61}[a-z0-9]")
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")
_BLOCK = re.compile(rb"<(?:Latest|Uncommitted|Committed)>([A-Za-z0-9+/=]{1,128})</")
_PIECE = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, signed and read."""

    method: str
    account: str
    container: str
    blob: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def comp(self) -> str:
        """What of the resource is meant."""
        return self.query.get("comp", "")

    @property
    def metadata(self) -> dict[str, str]:
        """``x-ms-meta-*``."""
        prefix = "x-ms-meta-"
        return {k.removeprefix(prefix): v for k, v in self.headers.items() if k.startswith(prefix)}


class BlobApp:
    """The ASGI application for all accounts."""

    def __init__(self, content: BlobContent, keys: Callable[[str], Sequence[str]], clock: Clock) -> None:
        self._content = content
        self._keys = keys
        self._clock = clock
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        try:
            request = await self._read(scope, receive)
            await self._answer(request, send)
        except ClientGone:
            return
        except BlobError as error:
            await refuse(send, error, head=head)

    async def _read(self, scope: Scope, receive: Receive) -> Request:
        raw = bytes(scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        account, _, rest = raw.lstrip("/").partition("/")
        container, _, blob = rest.partition("/")
        keys = self._keys(account)
        if not keys:
            raise BlobError(404, "ResourceNotFound", f"There is no storage account {account[:40]!r}.")
        signature.check(scope["method"], raw, pairs, headers, account, keys, self._clock.now())
        body = b""
        async for piece in chunks(receive):
            body += piece
            if len(body) > LARGEST:
                raise BlobError(413, "RequestBodyTooLarge", f"A request body may have {LARGEST} bytes.")
        return Request(
            method=scope["method"],
            account=account,
            container=unquote(container),
            blob=unquote(blob),
            query=dict(pairs),
            headers=headers,
            body=body,
        )

    async def _answer(self, request: Request, send: Send) -> None:
        if not request.container:
            if request.method == "GET" and request.comp == "list":
                await self._list_containers(request, send)
                return
            raise not_implemented(f"{request.method} of an account with comp={request.comp!r}")
        if not request.blob:
            await self._answer_container(request, send)
            return
        if self._content.container(request.account, request.container) is None:
            raise container_not_found()
        lock = self._locks.setdefault((request.account, request.container, request.blob), asyncio.Lock())
        try:
            async with lock:
                await self._answer_blob(request, send)
        finally:
            if not lock.locked():
                self._locks.pop((request.account, request.container, request.blob), None)

    # --- containers

    async def _answer_container(self, request: Request, send: Send) -> None:
        found = self._content.container(request.account, request.container)
        if request.method == "PUT" and request.comp == "":
            if not _CONTAINER.fullmatch(request.container):
                raise BlobError(400, "InvalidResourceName", "The specified resource name contains invalid characters.")
            if found is not None:
                raise BlobError(409, "ContainerAlreadyExists", "The specified container already exists.")
            made = self._content.add_container(request.account, request.container, request.metadata)
            await respond(send, 201, headers=_stamped(made.etag, made.modified))
            return
        if found is None:
            raise container_not_found()
        if request.method in ("GET", "HEAD") and request.comp == "":
            headers = [*_stamped(found.etag, found.modified), *_metadata(found.metadata)]
            headers += [(b"x-ms-lease-status", b"unlocked"), (b"x-ms-lease-state", b"available")]
            await respond(send, 200, headers=headers)
        elif request.method == "GET" and request.comp == "list":
            await self._list_blobs(request, send)
        elif request.method == "DELETE" and request.comp == "":
            files = self._content.remove_container(request.account, request.container)
            await asyncio.to_thread(self._content.drop_files, files)
            await respond(send, 202, headers=_stamped("", ""))
        else:
            raise not_implemented(f"{request.method} of a container with comp={request.comp!r}")

    async def _list_containers(self, request: Request, send: Send) -> None:
        prefix = request.query.get("prefix", "")
        found = [c for c in self._content.containers(request.account) if c.name.startswith(prefix)]
        items = "".join(
            f"<Container><Name>{escape(c.name)}</Name><Properties><Last-Modified>{c.modified}</Last-Modified>"
            f"<Etag>{escape(c.etag)}</Etag><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
            "</Properties></Container>"
            for c in found
        )
        await _xml(send, f"<EnumerationResults><Containers>{items}</Containers><NextMarker/></EnumerationResults>")

    async def _list_blobs(self, request: Request, send: Send) -> None:
        query = request.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        blobs = self._content.blobs(request.account, request.container, prefix)
        shown: dict[str, Blob | None] = {}
        for blob in blobs:
            rest = blob.name[len(prefix) :]
            if delimiter and delimiter in rest:
                shown[prefix + rest[: rest.index(delimiter) + len(delimiter)]] = None
            else:
                shown[blob.name] = blob
        most = query.get("maxresults", "")
        page = min(PAGE, int(most)) if most.isdigit() and int(most) > 0 else PAGE
        names = [name for name in shown if name > query.get("marker", "")]
        parts = [
            f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" if blob is None else _listed(blob)
            for name, blob in ((name, shown[name]) for name in names[:page])
        ]
        marker = escape(names[page - 1]) if len(names) > page else ""
        await _xml(
            send,
            f"<EnumerationResults ContainerName={quoteattr(request.container)}><Prefix>{escape(prefix)}</Prefix>"
            f"<Blobs>{''.join(parts)}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>",
        )

    # --- blobs

    async def _answer_blob(self, request: Request, send: Send) -> None:
        found = self._content.blob(request.account, request.container, request.blob)
        match request.method, request.comp:
            case "PUT", "":
                await self._put(request, found, send)
            case "PUT", "block":
                file = self._content.block_file(
                    request.account, request.container, request.blob, request.query.get("blockid", "")
                )
                await asyncio.to_thread(write, self._content.path(file), 0, request.body)
                await respond(send, 201, headers=_stamped("", ""))
            case "PUT", "blocklist":
                await self._put_blocks(request, found, send)
            case "PUT", "appendblock":
                await self._append(request, found, send)
            case (("GET" | "HEAD"), ""):
                await self._get(request, found, send)
            case "DELETE", "":
                if found is None:
                    raise blob_not_found()
                _check_conditions(request, found)
                self._content.remove(request.account, request.container, found)
                await asyncio.to_thread(self._content.drop_files, [found.file])
                await respond(send, 202, headers=_stamped("", ""))
            case _:
                raise not_implemented(f"{request.method} of a blob with comp={request.comp!r}")

    async def _put(self, request: Request, found: Blob | None, send: Send) -> None:
        asked = request.headers.get("x-ms-blob-type", "")
        kind = {"blockblob": "BlockBlob", "appendblob": "AppendBlob"}.get(asked.lower())
        if kind is None:
            raise not_implemented(f"x-ms-blob-type {asked!r}")
        _check_conditions(request, found)
        file = self._content.new_file()
        await asyncio.to_thread(write, self._content.path(file), 0, request.body)
        await self._replace(request, found, kind, file, len(request.body), send)

    async def _put_blocks(self, request: Request, found: Blob | None, send: Send) -> None:
        _check_conditions(request, found)
        ids = [id_.decode() for id_ in _BLOCK.findall(request.body)]
        account, container, name = request.account, request.container, request.blob
        paths = [self._content.path(self._content.block_file(account, container, name, id_)) for id_ in ids]
        if not all(path.is_file() for path in paths):
            raise BlobError(400, "InvalidBlockList", "The specified block list is invalid.")
        file = self._content.new_file()

        def join() -> int:
            data = b"".join(path.read_bytes() for path in paths)
            write(self._content.path(file), 0, data)
            for path in set(paths):
                path.unlink(missing_ok=True)
            return len(data)

        await self._replace(request, found, "BlockBlob", file, await asyncio.to_thread(join), send)

    async def _replace(self, request: Request, found: Blob | None, kind: str, file: str, size: int, send: Send) -> None:
        headers = request.headers
        content_type = (
            headers.get("x-ms-blob-content-type") or headers.get("content-type") or "application/octet-stream"
        )
        saved = self._content.save(
            request.account,
            request.container,
            Blob(
                name=request.blob,
                kind=kind,
                size=size,
                appends=0,
                file=file,
                etag="",
                created="" if found is None else found.created,
                modified="",
                content_type=content_type,
                metadata=request.metadata,
            ),
        )
        if found is not None:
            await asyncio.to_thread(self._content.drop_files, [found.file])
        await respond(send, 201, headers=_stamped(saved.etag, saved.modified))

    async def _append(self, request: Request, found: Blob | None, send: Send) -> None:
        if found is None:
            raise blob_not_found()
        if found.kind != "AppendBlob":
            raise BlobError(409, "InvalidBlobType", "The blob type is invalid for this operation.")
        _check_conditions(request, found)
        position = request.headers.get("x-ms-blob-condition-appendpos")
        if position is not None and position != str(found.size):
            raise BlobError(
                412, "AppendPositionConditionNotMet", "The append position condition specified was not met."
            )
        most = request.headers.get("x-ms-blob-condition-maxsize", "")
        if most.isdigit() and found.size + len(request.body) > int(most):
            raise BlobError(412, "MaxBlobSizeConditionNotMet", "The max blob size condition specified was not met.")
        if found.appends >= MOST_APPENDS:
            raise BlobError(409, "BlockCountExceedsLimit", f"An append blob has at most {MOST_APPENDS} blocks.")
        await asyncio.to_thread(write, self._content.path(found.file), found.size, request.body)
        grown = replace(found, size=found.size + len(request.body), appends=found.appends + 1)
        saved = self._content.save(request.account, request.container, grown)
        headers = _stamped(saved.etag, saved.modified)
        headers.append((b"x-ms-blob-append-offset", str(found.size).encode()))
        headers.append((b"x-ms-blob-committed-block-count", str(saved.appends).encode()))
        await respond(send, 201, headers=headers)

    async def _get(self, request: Request, found: Blob | None, send: Send) -> None:
        if found is None:
            raise blob_not_found()
        _check_conditions(request, found)
        start, end, status = 0, found.size, 200
        wanted = request.headers.get("x-ms-range") or request.headers.get("range") or ""
        if (match := _RANGE.fullmatch(wanted)) is not None:
            start, status = int(match[1]), 206
            end = min(found.size, int(match[2]) + 1) if match[2] else found.size
            if start >= found.size or end <= start:
                message = "The range specified is invalid for the current size of the resource."
                raise BlobError(416, "InvalidRange", message)
        headers = [*_stamped(found.etag, found.modified), *_metadata(found.metadata)]
        headers += [
            (b"content-type", found.content_type.encode()),
            (b"content-length", str(end - start).encode()),
            (b"x-ms-blob-type", found.kind.encode()),
            (b"x-ms-creation-time", found.created.encode()),
            (b"x-ms-lease-status", b"unlocked"),
            (b"x-ms-lease-state", b"available"),
            (b"accept-ranges", b"bytes"),
        ]
        if found.kind == "AppendBlob":
            headers.append((b"x-ms-blob-committed-block-count", str(found.appends).encode()))
        if status == 206:
            headers.append((b"content-range", f"bytes {start}-{end - 1}/{found.size}".encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if request.method == "GET" and end > start:
            with self._content.path(found.file).open("rb") as source:
                source.seek(start)
                left = end - start
                while left and (piece := source.read(min(_PIECE, left))):
                    left -= len(piece)
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _check_conditions(request: Request, found: Blob | None) -> None:
    """``If-Match`` and ``If-None-Match``."""
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
    missed = wanted is not None and (found is None or wanted not in ("*", found.etag))
    if unwanted is not None and found is not None and unwanted in ("*", found.etag):
        if request.method == "PUT" and unwanted == "*":
            raise BlobError(409, "BlobAlreadyExists", "The specified blob already exists.")
        missed = True
    if missed:
        raise BlobError(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")


def _stamped(etag: str, modified: str) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-ms-request-id", str(uuid.uuid4()).encode()), (b"x-ms-version", b"2024-11-04")]
    if etag:
        headers += [(b"etag", etag.encode()), (b"last-modified", modified.encode())]
    return headers


def _metadata(metadata: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(f"x-ms-meta-{name}".encode(), value.encode("latin-1", "replace")) for name, value in metadata.items()]


def _listed(blob: Blob) -> str:
    return (
        f"<Blob><Name>{escape(blob.name)}</Name><Properties><Creation-Time>{blob.created}</Creation-Time>"
        f"<Last-Modified>{blob.modified}</Last-Modified><Etag>{escape(blob.etag)}</Etag>"
        f"<Content-Length>{blob.size}</Content-Length><Content-Type>{escape(blob.content_type)}</Content-Type>"
        f"<BlobType>{blob.kind}</BlobType><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
        "</Properties></Blob>"
    )


async def _xml(send: Send, inner: str) -> None:
    body = f'<?xml version="1.0" encoding="utf-8"?>{inner}'.encode()
    await respond(send, 200, body, content_type=b"application/xml", headers=_stamped("", ""))
