"""The one way to refuse a registry request: ``RegistryError``, and the refusals of the distribution specification.

Codes: OCI distribution specification 1.1, "Error Codes". Sentences: Azure Container Registry's where they are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject


class RegistryError(Exception):
    """A refusal: HTTP status, code, sentence and detail. Answered as ``{"errors": [{code, message, detail}]}``."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        detail: Json = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = dict(headers or {})

    def body(self) -> JsonObject:
        error: JsonObject = {"code": self.code, "message": self.message, "detail": self.detail}
        return {"errors": [error]}


def blob_unknown(digest: str) -> RegistryError:
    return RegistryError(404, "BLOB_UNKNOWN", "blob unknown to registry", detail={"digest": digest})


def manifest_unknown(repository: str, reference: str) -> RegistryError:
    if ":" in reference:
        return RegistryError(
            404,
            "MANIFEST_UNKNOWN",
            f"manifest {reference} is not found",
            detail={"Name": repository, "Digest": reference},
        )
    return RegistryError(
        404,
        "MANIFEST_UNKNOWN",
        f'manifest tagged by "{reference}" is not found',
        detail={"Name": repository, "Tag": reference},
    )


def name_unknown(repository: str) -> RegistryError:
    return RegistryError(404, "NAME_UNKNOWN", f'repository "{repository}" is not found', detail={"name": repository})


def tag_unknown(repository: str, tag: str) -> RegistryError:
    return RegistryError(
        404,
        "TAG_UNKNOWN",
        "the specified tag does not exist",
        detail={"name": repository, "tag": tag},
    )


def digest_invalid(text: str, why: str) -> RegistryError:
    return RegistryError(400, "DIGEST_INVALID", why, detail={"digest": text})


def name_invalid(text: str, why: str) -> RegistryError:
    return RegistryError(400, "NAME_INVALID", why, detail={"name": text})


def tag_invalid(text: str) -> RegistryError:
    return RegistryError(
        400,
        "TAG_INVALID",
        f"{text!r} is not a tag: 1 to 128 letters, digits, '_', '.' and '-', of which the first is not '.' or '-'",
        detail={"tag": text},
    )


def manifest_invalid(why: str, *, detail: Json = None) -> RegistryError:
    return RegistryError(400, "MANIFEST_INVALID", why, detail=detail)


def manifest_blob_unknown(digest: str, what: str) -> RegistryError:
    """404, for a manifest that names what its repository does not have."""
    return RegistryError(
        404,
        "MANIFEST_BLOB_UNKNOWN",
        f"the manifest references a {what} that is unknown to the repository: {digest}",
        detail={"digest": digest},
    )


def upload_unknown(upload: str) -> RegistryError:
    return RegistryError(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", detail={"upload": upload})


def size_invalid(why: str) -> RegistryError:
    """413, for content over a limit."""
    return RegistryError(413, "SIZE_INVALID", why)


def disallowed(what: str) -> RegistryError:
    """405, for what the attributes of a repository, manifest or tag lock."""
    return RegistryError(
        405,
        "DENIED",
        "The operation is disallowed on this registry, repository or image. View troubleshooting steps at"
        " https://aka.ms/acr/faq/#why-does-my-pull-or-push-request-fail-with-disallowed-operation",
        detail={"locked": what},
    )
