"""Pulling by the OCI distribution protocol: manifests and blobs over HTTPS, with basic or token authentication."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import httpx
import msgspec

from windtunnel_emulators.edge.interface import Unreachable
from windtunnel_emulators.images.reference import DOCKER_HUB
from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.registry.manifests import LARGEST, MEDIA_TYPES
from windtunnel_emulators.runtime.interface import ImageError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from windtunnel_emulators.images.reference import Reference
    from windtunnel_emulators.jsontypes import Json
    from windtunnel_emulators.runtime.interface import Credentials

_HOSTS = {DOCKER_HUB: "registry-1.docker.io"}
_PARAMETER = re.compile(r'([a-zA-Z_]+)="([^"]*)"')
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class Registry:
    """One repository's registry, for the length of one pull. ``close`` it."""

    def __init__(self, reference: Reference, credentials: Credentials | None, tls: ssl.SSLContext) -> None:
        """``tls`` trusts the registry's authority."""
        self._reference = reference
        self._credentials = credentials
        host = _HOSTS.get(reference.domain, reference.domain)
        self._base = f"https://{host}/v2/{reference.path}"
        self._authorization: str | None = None
        # The environment's proxies and .netrc are none of the device's business.
        self._client = httpx.AsyncClient(verify=tls, timeout=_TIMEOUT, follow_redirects=True, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def manifest(self, wanted: str) -> tuple[str, bytes]:
        """By tag or digest: its own digest, and the document. Raises ``ImageError``, ``Unreachable``."""
        answer = await self._get(f"{self._base}/manifests/{wanted}", accept=", ".join(MEDIA_TYPES))
        try:
            body = await _whole(answer, LARGEST)
        finally:
            await answer.aclose()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if wanted.startswith("sha256:") and wanted != digest:
            raise self._error(f"its registry sent another manifest than {wanted}")
        return digest, body

    async def blob(self, digest: str, size: int | None, target: Path) -> None:
        """Write a blob to a file. Raises ``ImageError`` for one that is not what its digest says, ``Unreachable``."""
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise self._error(f"it has a part with the digest {digest[:100]!r}, and only sha256 is known here")
        answer = await self._get(f"{self._base}/blobs/{digest}", accept="*/*")
        found, count = hashlib.sha256(), 0
        try:
            with target.open("wb") as file:
                async for piece in _pieces(answer):
                    count += len(piece)
                    if size is not None and count > size:
                        raise self._error(f"its part {digest} is larger than its manifest says")
                    found.update(piece)
                    file.write(piece)
        finally:
            await answer.aclose()
        if f"sha256:{found.hexdigest()}" != digest:
            raise self._error(f"its registry sent something else for its part {digest}")

    async def _get(self, url: str, *, accept: str) -> httpx.Response:
        """An answer of 200, whose body is not read yet."""
        answer = await self._send(url, accept)
        if answer.status_code == 401 and self._authorization is None:
            challenge = answer.headers.get("www-authenticate", "")
            await answer.aclose()
            self._authorization = await self._authorize(challenge)
            answer = await self._send(url, accept)
        if answer.status_code == 200:
            return answer
        reason = await _reason(answer)
        await answer.aclose()
        if answer.status_code in (401, 403):
            given = "" if self._credentials else "; registryCredentials of the deployment have none for this registry"
            raise self._error(
                f"its registry refuses the credentials ({answer.status_code}{reason}{given})", denied=True
            )
        if answer.status_code == 404:
            raise self._error(f"its registry does not have it ({reason.lstrip(', ') or 'not found'})", denied=True)
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Unreachable(f"the registry {self._reference.domain} answers {answer.status_code}{reason}")
        raise self._error(f"its registry answers {answer.status_code}{reason}")

    async def _send(self, url: str, accept: str) -> httpx.Response:
        headers = {"accept": accept}
        if self._authorization is not None:
            headers["authorization"] = self._authorization
        try:
            return await self._client.send(self._client.build_request("GET", url, headers=headers), stream=True)
        except httpx.HTTPError as problem:
            raise self._unreachable(problem) from problem

    async def _authorize(self, challenge: str) -> str:
        """The header that a challenge asks for."""
        scheme, _, rest = challenge.partition(" ")
        given = self._credentials
        basic = None if given is None else httpx.BasicAuth(given.username, given.password)
        if scheme.lower() == "basic" and given is not None:
            request = httpx.Request("GET", self._base)
            assert basic is not None
            return next(basic.auth_flow(request)).headers["authorization"]
        parameters = dict(_PARAMETER.findall(rest))
        realm = parameters.pop("realm", "")
        if scheme.lower() != "bearer" or not realm.startswith("https://"):
            raise self._error(
                "its registry wants credentials, and the deployment's registryCredentials have none for it", denied=True
            )
        parameters.setdefault("scope", f"repository:{self._reference.path}:pull")
        try:
            answer = await self._client.get(realm, params=parameters, auth=basic)
        except httpx.HTTPError as problem:
            raise self._unreachable(problem) from problem
        if answer.status_code != 200:
            raise self._error(f"its registry refuses the credentials ({answer.status_code})", denied=True)
        try:
            value: Json = msgspec.json.decode(answer.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise self._error("its registry's token service does not answer with JSON") from problem
        token = as_str(as_object(value).get("token")) or as_str(as_object(value).get("access_token"))
        if not token:
            raise self._error("its registry's token service gives no token", denied=True)
        return f"Bearer {token}"

    def _error(self, why: str, *, denied: bool = False) -> ImageError:
        return ImageError(f"image {str(self._reference)!r} cannot be pulled: {why}", denied=denied)

    def _unreachable(self, problem: Exception) -> Unreachable:
        return Unreachable(
            f"the registry {self._reference.domain} cannot be reached: {problem or type(problem).__name__}"
        )


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw(1 << 16):
            yield piece
    except httpx.HTTPError as problem:
        raise Unreachable(f"the registry stopped in the middle of an answer: {problem}") from problem


async def _whole(answer: httpx.Response, most: int) -> bytes:
    found = bytearray()
    async for piece in _pieces(answer):
        found += piece
        if len(found) > most:
            raise ImageError(f"a manifest has more than {most} bytes", denied=False)
    return bytes(found)


async def _reason(answer: httpx.Response) -> str:
    """What an error of a registry says of itself."""
    try:
        body = await _whole(answer, 1 << 16)
        value: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ImageError, Unreachable):
        return ""
    errors = as_object(value).get("errors")
    first = as_object(errors[0]) if isinstance(errors, list) and errors else {}
    text = as_str(first.get("message")) or as_str(first.get("code"))
    return f", {text[:200]}" if text else ""
