"""``ScoringClient``: HTTP to one service, over one connection that is kept.

The standard library is enough for this; it connects to the endpoint's address rather than to what its name resolves to,
and trusts the service's own certificate besides the public authorities.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from windtunnel.errors import InvalidSpec, ScoringFailed
from windtunnel.jsontypes import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel.interface import Endpoint
    from windtunnel.jsontypes import Json

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the service answered."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Json:
        """Raises ``ScoringFailed`` when the body is not JSON."""
        try:
            value: Json = json.loads(self.body)
        except ValueError as error:
            raise ScoringFailed(
                f"the service answered something that is not JSON: {self.text(200)!r}",
                status=self.status,
                body=self.text(2000),
            ) from error
        return value

    def text(self, limit: int) -> str:
        """The beginning of the body."""
        return self.body[:limit].decode("utf-8", "replace")


class ScoringClient:
    """Not for several threads at once. Raises ``ScoringFailed`` when the service cannot be reached."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float = TIMEOUT_S) -> None:
        self.endpoint = endpoint
        self._url = urlsplit(endpoint.scoring_uri)
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise InvalidSpec(f"{endpoint.scoring_uri!r} is no URL that could be called")
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def score(self, body: bytes, *, content_type: str = "application/json") -> Answer:
        """POST to the scoring URI, with the endpoint's key."""
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        if self.endpoint.key is not None:
            headers["Authorization"] = f"Bearer {self.endpoint.key}"
        return self.request("POST", self._url.path or "/", body, headers)

    def example(self) -> bytes:
        """The input that the service's own swagger gives as an example. Raises ``ScoringFailed`` when there is none."""
        headers = {} if self.endpoint.key is None else {"Authorization": f"Bearer {self.endpoint.key}"}
        answer = self.request("GET", urlsplit(self.endpoint.swagger_uri).path, None, headers)
        found: Json = answer.json() if answer.status == 200 else None
        for step in ("definitions", "ServiceInput", "example"):
            found = as_object(found).get(step)
        if not found:
            raise ScoringFailed(
                f"the service at {self.endpoint.scoring_uri} gives no example of its input in its swagger",
                status=answer.status,
                way_out="Give the input of a request yourself: --input FILE",
            )
        return json.dumps(found).encode()

    def alive(self) -> bool:
        """Whether GET / is answered with 200."""
        try:
            return self.request("GET", "/", None, {}).status == 200
        except ScoringFailed:
            return False

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """One request. A connection that the service closed meanwhile is opened again, once."""
        fresh = self._connection is None
        try:
            return self._exchange(method, path, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self.close()
            if fresh:
                raise self._unreachable(error) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from error
        try:
            return self._exchange(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from error

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            self._connection = self._open()
        self._connection.request(method, path, body, {"Host": self._url.netloc, **headers})
        response = self._connection.getresponse()
        content = response.read()
        return Answer(
            status=response.status,
            headers={name.lower(): value for name, value in response.getheaders()},
            body=content,
        )

    def _open(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        address = self.endpoint.address or host
        if self._url.scheme == "http":
            return http.client.HTTPConnection(address, port, timeout=self._timeout_s)
        return _Https(host, address, port, tls_context(self.endpoint), self._timeout_s)

    def _unreachable(self, error: Exception) -> ScoringFailed:
        return ScoringFailed(
            f"the service at {self.endpoint.scoring_uri} cannot be reached: {error or type(error).__name__}",
            way_out="Look at its state and its log: `windtunnel show`, `windtunnel logs`.",
        )

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Trusts the public authorities, and the certificate that the service was given."""
    context = ssl.create_default_context()
    if endpoint.certificate is not None:
        context.load_verify_locations(cadata=endpoint.certificate)
        # A certificate that signs nothing else is trusted as it stands, as a browser's exception is; and it need not
        # have the extensions that Python 3.13 wants of an authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class _Https(http.client.HTTPSConnection):
    """HTTPS that connects to one address and checks the certificate for the name of another."""

    def __init__(self, host: str, address: str, port: int, context: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(host, port, timeout=timeout_s, context=context)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
