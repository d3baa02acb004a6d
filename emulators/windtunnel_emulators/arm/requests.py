"""Reading a request: its query, its headers, its body within ARM's limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from windtunnel_emulators.arm.errors import ArmError, invalid_request_content
from windtunnel_emulators.asgi import ClientGone

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Receive, Scope
    from windtunnel_emulators.jsontypes import Json

LONGEST_BODY = 4 * 1024 * 1024
"""Bytes. Microsoft's limit for a request to ARM."""

_MOST_PARAMETERS = 100
_DEEPEST = 100  # levels of a body; far more than any provider's, far less than the interpreter can follow


class Query(dict[str, str]):
    """A query whose names are found in any case, as ARM does: ``$skipToken`` and ``$skiptoken`` are one."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]  # strings only
        return super().get(name.lower(), default)


@lru_cache(maxsize=1024)
def query(raw: bytes) -> Query:
    """Names and values; of a name that is given twice, the first counts. Raises 400 for far too many."""
    found = Query()
    if raw.count(b"&") > _MOST_PARAMETERS:
        raise ArmError(400, "BadRequest", f"The query has more than {_MOST_PARAMETERS} parameters.")
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True, errors="replace"):
        found.setdefault(name.lower(), value)
    return found


class Headers(Mapping[str, str]):
    """A request's headers by name in lower case; of one that is given twice, the last counts. Decoded when asked."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = dict(raw)

    def __getitem__(self, name: str) -> str:
        return self._raw[name.encode("latin-1")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def raw(self, name: bytes) -> bytes | None:
        """As it came; None when it did not."""
        return self._raw.get(name)


def base_url(scope: Scope, given: Headers) -> str:
    """Scheme, host and port as the client wrote them, without a slash at the end."""
    host = given.raw(b"host")
    if host:
        return f"{scope['scheme']}://{host.decode('latin-1')}"
    return "{}://{}:{}".format(scope["scheme"], *scope["server"])


def check_length(given: Headers) -> None:
    """Raises 413 for a body that says of itself that it is too long."""
    length = given.raw(b"content-length")
    # The server has read the number already; this is about its size.
    if length is not None and (len(length) > 12 or int(length) > LONGEST_BODY):
        raise _too_large(f"{length.decode()} bytes")


async def body(receive: Receive) -> bytes:
    """The whole body. Raises 413 as soon as it is longer than ARM takes, and ``ClientGone``."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        part: bytes = message.get("body", b"")
        length += len(part)
        if length > LONGEST_BODY:
            raise _too_large("more bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def json(raw: bytes) -> Json:
    """The body as JSON, whatever its content type says; None for no body. Raises 400."""
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if not raw.strip():
        return None
    if raw.count(b"[") + raw.count(b"{") > _DEEPEST and _depth(raw) > _DEEPEST:
        raise _malformed(f"it is nested more than {_DEEPEST} levels deep")
    try:
        found: Json = msgspec.json.decode(raw)
    except UnicodeDecodeError as problem:
        raise _malformed(f"it is not UTF-8 at {_position(raw, _first_bad(raw))}") from problem
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise _malformed(_where(raw, str(problem))) from problem
    return found


def _where(raw: bytes, said: str) -> str:
    """msgspec's ``JSON is malformed: invalid character (byte 12)`` with the line and position that an editor shows."""
    what, separator, byte = said.removeprefix("JSON is malformed: ").rpartition(" (byte ")
    if not separator or not byte[:-1].isdigit():
        return said.removeprefix("JSON is malformed: ")
    return f"{what} at {_position(raw, int(byte[:-1]))}"


def _first_bad(raw: bytes) -> int:
    """Where a body stops being UTF-8; msgspec counts from the beginning of the string that it is in."""
    try:
        raw.decode()
    except UnicodeDecodeError as problem:
        return problem.start
    return 0


def _position(raw: bytes, at: int) -> str:
    before = raw[:at]
    line = before.count(b"\n") + 1
    position = at - before.rfind(b"\n")
    return f"line {line}, position {position}"


def _depth(raw: bytes) -> int:
    """How deep a body is nested, its strings left out."""
    deepest = depth = 0
    quoted = escaped = False
    for byte in raw:
        if quoted:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                quoted = False
        elif byte == 0x22:
            quoted = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > _DEEPEST:
                break
        elif byte in b"]}":
            depth -= 1
    return deepest


def _malformed(why: str) -> ArmError:
    return invalid_request_content(f"The request content was invalid and could not be deserialized: {why}.")


def _too_large(what: str) -> ArmError:
    return ArmError(
        413,
        "RequestEntityTooLarge",
        f"The request content size exceeds the maximum size of {LONGEST_BODY} bytes ({what}).",
    )
