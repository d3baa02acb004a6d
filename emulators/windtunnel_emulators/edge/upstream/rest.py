"""The service API of the hub in the cloud, as a device or module calls it for what is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from windtunnel_emulators.edge.interface import Refused, Unreachable
from windtunnel_emulators.edge.upstream.place import API_VERSION
from windtunnel_emulators.jsontypes import as_object, as_str

if TYPE_CHECKING:
    from windtunnel_emulators.edge.upstream.place import Place, Signer
    from windtunnel_emulators.jsontypes import Json, JsonObject

_BUSY = 429
_ANSWER_S = 20.0


class Rest:
    """Calls go through the link, each on a connection of its own: there are few."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def call(
        self,
        method: str,
        segments: tuple[str, ...],
        signer: Signer,
        body: JsonObject | None = None,
        *,
        etag: str | None = None,
        version: str = API_VERSION,
    ) -> Json:
        """The JSON that is answered; None without one. Raises ``Unreachable``, ``Refused``."""
        import httpcore

        from windtunnel_emulators.edge.upstream.streams import LinkBackend

        place = self._place
        path = "/".join(quote(segment, safe="") for segment in segments)
        try:
            headers: dict[bytes | str, bytes | str] = {"Authorization": signer.token(place)}
        except ValueError as problem:
            raise Refused(401, f"The key of '{signer.who}' is no base64 text.") from problem
        if etag is not None:
            headers["If-Match"] = f'"{etag}"'
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"

        url = f"http://{place.service}/{path}?{urlencode({'api-version': version})}"
        limits = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), _ANSWER_S)}
        try:
            async with httpcore.AsyncConnectionPool(network_backend=LinkBackend(place)) as pool:
                answer = await pool.request(method, url, headers=headers, content=content, extensions=limits)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as problem:
            place.link.check()
            raise Unreachable(f"The hub's service API at {place.service} cannot be reached: {problem}.") from problem
        return _checked(answer.status, answer.content)


def _checked(status: int, content: bytes) -> Json:
    try:
        found: Json = msgspec.json.decode(content) if content else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Refused(502, f"The hub answered with {status} and no JSON.") from problem
    if status < 300:
        return found
    said = as_str(as_object(found).get("Message")).rpartition(";")[2] or f"The hub answered with {status}."
    if status >= 500 or status == _BUSY:
        raise Unreachable(said)
    raise Refused(status, said)
