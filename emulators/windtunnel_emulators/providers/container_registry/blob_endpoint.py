"""The blob endpoint of tasks: build contexts come in, logs go out, both by signed URLs of the front door.

It speaks the part of Azure Storage that the Azure CLI and azure-storage-blob use with such URLs: Put Blob, Put Block
and Put Block List; Get Blob (with ranges) and Get Blob Properties.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from asyncio import to_thread
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from windtunnel_emulators.asgi import ClientGone, chunks, respond

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.clock import Clock

    from .contexts import Contexts
    from .logs import RunLogs
    from .signing import Signer

WORD = "acrblobs"
"""The first word of its paths at the front door; to azure-storage-blob, the account."""

LARGEST_CONTEXT = 1024**3
_LARGEST_LIST = 1 << 20
_PIECE = 1 << 18
_BLOCK = re.compile(rb"<(?:Latest|Uncommitted|Committed)>([A-Za-z0-9+/=]{1,128})</")
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


class StorageError(Exception):
    """A refusal in Azure Storage's shape."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


class BlobEndpoint:
    """The ASGI application."""

    def __init__(self, contexts: Contexts, logs: RunLogs, signer: Signer, clock: Clock) -> None:
        self._contexts = contexts
        self._logs = logs
        self._signer = signer
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            await self._answer(scope["method"], path, query, headers, receive, send)
        except ClientGone:
            return
        except StorageError as error:
            await _refuse(send, error, head=scope["method"] == "HEAD")

    async def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        receive: Receive,
        send: Send,
    ) -> None:
        container, _, blob = path.lstrip("/").removeprefix(f"{WORD}/").partition("/")
        permission = {"PUT": "w", "GET": "r", "HEAD": "r"}.get(method)
        if permission is None:
            raise StorageError(405, "UnsupportedHttpVerb", "The resource doesn't support specified Http Verb.")
        why = self._signer.allows(path, query, permission)
        if why is not None:
            raise StorageError(
                403,
                "AuthenticationFailed",
                "Server failed to authenticate the request. Make sure the value of Authorization header is formed"
                f" correctly including the signature. {why}",
            )
        if container == "contexts" and method == "PUT":
            await self._upload(blob, query, headers, receive, send)
        elif container == "logs" and method in ("GET", "HEAD"):
            await self._download(method, blob, headers, send)
        else:
            raise StorageError(404, "ResourceNotFound", "The specified resource does not exist.")

    async def _upload(
        self, blob: str, query: Mapping[str, str], headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        target = self._contexts.target(blob)
        if target is None:
            raise StorageError(404, "ResourceNotFound", "The specified resource does not exist.")
        blocks = target.with_suffix(".blocks")
        comp = query.get("comp", "")
        if comp == "":
            kind = headers.get("x-ms-blob-type")
            if kind is None:
                raise StorageError(400, "MissingRequiredHeader", "The header x-ms-blob-type: BlockBlob is missing.")
            if kind.lower() != "blockblob":
                raise StorageError(400, "InvalidHeaderValue", "The header x-ms-blob-type must be BlockBlob.")
            await _write(receive, headers, target, LARGEST_CONTEXT)
        elif comp == "block":
            blocks.mkdir(exist_ok=True)
            file = blocks / hashlib.sha256(query.get("blockid", "").encode()).hexdigest()
            taken = sum(block.stat().st_size for block in blocks.iterdir() if block != file)
            await _write(receive, headers, file, LARGEST_CONTEXT - taken)
        elif comp == "blocklist":
            wanted = _BLOCK.findall(await _read(receive))
            files = [blocks / hashlib.sha256(id).hexdigest() for id in wanted]
            if not files or not all(file.is_file() for file in files):
                raise StorageError(400, "InvalidBlockList", "The specified block list is invalid.")
            await to_thread(_join, files, target)
            shutil.rmtree(blocks, ignore_errors=True)
        else:
            raise StorageError(400, "InvalidQueryParameterValue", f"comp={comp[:40]} is not supported here.")
        await respond(send, 201, headers=_stamped(self._clock, f"{target.name}-{comp}"))

    async def _download(self, method: str, blob: str, headers: Mapping[str, str], send: Send) -> None:
        found = self._logs.find(blob)
        if found is None:
            raise StorageError(404, "BlobNotFound", "The specified blob does not exist.")
        # Asked before the size is: whoever is told that the log is complete must also get all of it.
        complete = self._logs.completion(blob)
        size = found.stat().st_size
        raw = _stamped(self._clock, f"{blob}-{size}")
        raw += [(b"accept-ranges", b"bytes"), (b"x-ms-blob-type", b"AppendBlob"), (b"x-ms-lease-status", b"unlocked")]
        if complete is not None:
            raw.append((b"x-ms-meta-complete", complete.encode()))
        wanted = headers.get("x-ms-range") or headers.get("range")
        start, end, status = 0, size, 200
        if wanted is not None and (match := _RANGE.fullmatch(wanted.strip())):
            start = int(match[1])
            end = min(size, int(match[2]) + 1) if match[2] else size
            status = 206
            if start >= size or end <= start:
                message = "The range specified is invalid for the current size of the resource."
                raise StorageError(416, "InvalidRange", message, {"Content-Range": f"bytes */{size}"})
            raw.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)))
        raw += [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % (end - start))]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        if method == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        with found.open("rb") as source:
            source.seek(start)
            left = end - start
            while left and (piece := source.read(min(_PIECE, left))):
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _write(receive: Receive, headers: Mapping[str, str], target: Path, limit: int) -> None:
    """The body as a file, whole and durable or not at all; as it comes, so that memory holds a piece of it only."""
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limit:
        raise _too_large()
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as file:
            size = 0
            async for piece in chunks(receive):
                size += len(piece)
                if size > limit:
                    raise _too_large()
                file.write(piece)
            file.flush()
            await to_thread(os.fsync, file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


async def _read(receive: Receive) -> bytes:
    content = b""
    async for piece in chunks(receive):
        content += piece
        if len(content) > _LARGEST_LIST:
            raise _too_large()
    return content


def _join(files: list[Path], target: Path) -> None:
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as joined:
            for file in files:
                with file.open("rb") as source:
                    shutil.copyfileobj(source, joined)
            joined.flush()
            os.fsync(joined.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _too_large() -> StorageError:
    return StorageError(
        413,
        "RequestBodyTooLarge",
        f"The request body is too large and exceeds the maximum permissible limit: a build context may have"
        f" {LARGEST_CONTEXT} bytes.",
    )


def _stamped(clock: Clock, mark: str) -> list[tuple[bytes, bytes]]:
    moment = format_datetime(clock.now(), usegmt=True).encode()
    return [
        (b"etag", b'"0x%s"' % hashlib.sha256(mark.encode()).hexdigest()[:15].upper().encode()),
        (b"last-modified", moment),
        (b"x-ms-request-id", str(uuid.uuid4()).encode()),
        (b"x-ms-version", b"2024-08-04"),
        (b"x-ms-request-server-encrypted", b"true"),
    ]


async def _refuse(send: Send, error: StorageError, *, head: bool) -> None:
    text = str(error).replace("&", "&amp;").replace("<", "&lt;")
    xml = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{error.code}</Code><Message>{text}</Message></Error>'
    raw = [(b"x-ms-error-code", error.code.encode()), (b"x-ms-request-id", str(uuid.uuid4()).encode())]
    raw += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    await respond(send, error.status, b"" if head else xml.encode(), content_type=b"application/xml", headers=raw)
