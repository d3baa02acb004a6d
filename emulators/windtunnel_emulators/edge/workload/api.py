"""The workload API of one module as an ASGI application: who asks is known by the socket that it came on.

Paths and bodies are those of edgelet's ``workloadVersion_2020_07_07.yaml``. The generation in a path is not compared,
as the real daemon does not either; another module's name gets 403.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, unquote

import msgspec

from windtunnel_emulators.asgi import ClientGone, chunks, respond_json
from windtunnel_emulators.edge.interface import EdgeProblem
from windtunnel_emulators.edge.workload.secrets import CannotDecrypt
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.workload.secrets import Issued, Secrets
    from windtunnel_emulators.jsontypes import Json, JsonObject

_LARGEST_BODY = 1 << 20
_OWN = re.compile(r"/modules/([^/]+)/(?:genid/[^/]+/)?(sign|encrypt|decrypt|certificate/identity|certificate/server)")
_log = logging.getLogger(__name__)


class Keys(Protocol):
    """The keys of the device's modules."""

    async def key(self, module: str) -> str:
        """Base64. Raises ``EdgeProblem`` when it is not known and cannot be asked for."""
        ...


class Listing(Protocol):
    """The modules of the device."""

    def modules(self) -> list[Json]:
        """As ``GET /modules`` lists them."""
        ...


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class WorkloadApi:
    """For one module."""

    def __init__(self, module: str, *, secrets: Secrets, keys: Keys, listing: Listing, clock: Clock) -> None:
        self._module = module
        self._secrets = secrets
        self._keys = keys
        self._listing = listing
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            body = await _body(receive)
            status, answer = await self._answer(scope, body)
        except ClientGone:
            return
        except _Refused as problem:
            _log.warning("module %s: %s %s: %s", self._module, scope["method"], scope["path"], problem)
            status, answer = problem.status, _message(problem)
        except EdgeProblem as problem:
            _log.error("module %s: %s %s: %s", self._module, scope["method"], scope["path"], problem)
            status, answer = 500, _message(problem)
        await respond_json(send, status, answer)

    async def _answer(self, scope: Scope, body: bytes) -> tuple[int, JsonObject]:
        if "api-version" not in parse_qs(scope.get("query_string", b"").decode("latin-1")):
            raise _Refused(400, "The query has no api-version.")
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        path, method = raw.partition(b"?")[0].decode("latin-1").rstrip("/"), scope["method"]
        if path == "/trust-bundle":
            _only(method, "GET")
            return 200, {"certificate": self._secrets.trust_bundle(self._clock.now())}
        if path == "/modules":
            _only(method, "GET")
            return 200, {"modules": self._listing.modules()}
        found = _OWN.fullmatch(path)
        if found is None:
            raise _Refused(404, f"There is nothing at {path[:200]}.")
        _only(method, "POST")
        if unquote(found[1]) != self._module:
            raise _Refused(403, f"This socket is module {self._module}'s.")
        return await self._own(found[2], _json(body))

    async def _own(self, what: str, body: JsonObject) -> tuple[int, JsonObject]:
        module, secrets = self._module, self._secrets
        match what:
            case "sign":
                return 200, {"digest": await self._sign(body)}
            case "encrypt":
                sealed = secrets.encrypt(
                    module, _bytes(body, "initializationVector"), _bytes(body, "plaintext", required=True)
                )
                return 200, {"ciphertext": _text(sealed)}
            case "decrypt":
                vector, given = _bytes(body, "initializationVector"), _bytes(body, "ciphertext", required=True)
                try:
                    return 200, {"plaintext": _text(secrets.decrypt(module, vector, given))}
                except CannotDecrypt:
                    raise _Refused(
                        400, "The ciphertext was not made by this module with this initialization vector."
                    ) from None
            case "certificate/identity":
                return 201, _certificate(secrets.issue(module, now=self._clock.now(), identity=True))
            case _:
                name = body.get("commonName")
                if not isinstance(name, str) or not name or len(name) > 253:
                    raise _Refused(400, "commonName is missing.")
                try:
                    return 201, _certificate(secrets.issue(name, now=self._clock.now(), identity=False))
                except ValueError:
                    raise _Refused(400, f"No certificate can be made for the name {name[:100]!r}.") from None

    async def _sign(self, body: JsonObject) -> str:
        if str(body.get("algo", "")).upper() != "HMACSHA256":
            raise _Refused(400, "algo is not HMACSHA256.")
        if str(body.get("keyId", "primary")).lower() != "primary":
            raise _Refused(404, "A module has the key 'primary' only.")
        data = _bytes(body, "data", required=True)
        try:
            return self._secrets.sign(await self._keys.key(self._module), data)
        except ValueError:
            raise _Refused(500, f"The key of module {self._module} is not base64.") from None


def _message(problem: Exception) -> JsonObject:
    return {"message": str(problem)}


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise _Refused(405, f"Only {allowed} is allowed here.")


async def _body(receive: Receive) -> bytes:
    found = bytearray()
    async for chunk in chunks(receive):
        found += chunk
        if len(found) > _LARGEST_BODY:
            raise _Refused(413, f"The body has more than {_LARGEST_BODY} bytes.")
    return bytes(found)


def _json(body: bytes) -> JsonObject:
    if not body.strip():
        return {}
    try:
        value: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise _Refused(400, f"The body is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise _Refused(400, "The body is no JSON object.")
    return as_object(value)


def _bytes(body: JsonObject, key: str, *, required: bool = False) -> bytes:
    value = body.get(key)
    if value is None and not required:
        return b""
    if not isinstance(value, str):
        raise _Refused(400, f"{key} is missing.")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _Refused(400, f"{key} is not base64.") from None


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _certificate(issued: Issued) -> JsonObject:
    return {
        "privateKey": {"type": "key", "bytes": issued.key},
        "certificate": issued.chain,
        "expiration": issued.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
