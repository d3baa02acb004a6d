"""``BlobError``: a refusal in Azure Storage's shape. Codes: Microsoft's "Blob service error codes"."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from windtunnel_emulators.asgi import respond

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Send


class BlobError(Exception):
    """Raised anywhere in the blob service, answered by its application."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def container_not_found() -> BlobError:
    return BlobError(404, "ContainerNotFound", "The specified container does not exist.")


def blob_not_found() -> BlobError:
    return BlobError(404, "BlobNotFound", "The specified blob does not exist.")


def not_implemented(what: str) -> BlobError:
    return BlobError(501, "NotImplemented", f"{what} is not emulated. Use an account in Azure for it.")


async def refuse(send: Send, error: BlobError, *, head: bool) -> None:
    """Answer with an error; without a body for HEAD."""
    request = str(uuid.uuid4())
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{error.code}</Code>'
        f"<Message>{escape(str(error))}\nRequestId:{request}</Message></Error>"
    ).encode()
    headers = [(b"x-ms-error-code", error.code.encode()), (b"x-ms-request-id", request.encode())]
    await respond(send, error.status, b"" if head else body, content_type=b"application/xml", headers=headers)
