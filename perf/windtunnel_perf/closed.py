"""A closed-loop client for throughput: one request, over and over, on kept-alive TLS connections.

For ratios between two servers in one run. Latency under load is ``load.py``'s subject: a closed loop flatters it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

LIMIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """What came of it."""

    requests: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


class _Connection(asyncio.Protocol):
    """Sends the request again as soon as its answer is whole."""

    def __init__(self, request: bytes, counter: _Counter) -> None:
        self._request = request
        self._counter = counter
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._counter.fail(head.split(b"\r\n", 1)[0].decode("latin-1"))
            self._transport.close()
            return
        length = _content_length(head)
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if self._counter.one():
            self._transport.write(self._request)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._counter.lost(exc)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without content-length")


class _Counter:
    def __init__(self, wanted: int, connections: int) -> None:
        self.left = wanted
        self.answered = 0
        self.open = connections
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def one(self) -> bool:
        """Whether to go on."""
        self.answered += 1
        self.left -= 1
        return self.left > 0

    def fail(self, line: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"the server answered {line}"))

    def lost(self, exc: Exception | None) -> None:
        self.open -= 1
        if not self.done.done():
            if exc is not None or (self.left > 0 and self.open == 0):
                self.done.set_exception(RuntimeError(f"connection lost: {exc}"))
            elif self.open == 0:
                self.done.set_result(None)


async def throughput(
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext,
    path: str,
    token: str,
    requests: int,
    connections: int,
) -> Throughput:
    """GET ``path`` ``requests`` times over ``connections`` connections; ``RuntimeError`` for any answer but 200."""
    loop = asyncio.get_running_loop()
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}:{port}", f"Authorization: Bearer {token}", "Accept: */*")
    request = "\r\n".join((*lines, "", "")).encode()
    counter = _Counter(requests, connections)
    start = time.perf_counter()
    await asyncio.gather(
        *(
            loop.create_connection(lambda: _Connection(request, counter), host, port, ssl=tls, server_hostname=host)
            for _ in range(connections)
        )
    )
    await asyncio.wait_for(counter.done, LIMIT_S)
    return Throughput(requests=counter.answered, seconds=time.perf_counter() - start)
