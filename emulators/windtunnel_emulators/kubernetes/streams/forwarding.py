"""Port-forward: each connection of the client to a port of the pod, over SPDY streams or WebSocket channels."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.kubernetes.streams.connection import SpdyConnection, SpdyStream
    from windtunnel_emulators.kubernetes.streams.websocket import WebSocket

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
WEBSOCKET_PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
_MOST = 65536
_CONNECT_S = 10.0


class Pod(Protocol):
    """What is forwarded to."""

    @property
    def name(self) -> str:
        """``default/web, uid : 12-34``, for messages."""
        ...

    @property
    def address(self) -> str:
        """Where its processes listen."""
        ...


async def over_spdy(connection: SpdyConnection, pod: Pod) -> None:
    """Until the client is gone. Streams come in pairs of one ``requestid``."""
    waiting: dict[str, dict[str, SpdyStream]] = {}
    tasks: set[asyncio.Task[None]] = set()
    try:
        while (stream := await connection.accept()) is not None:
            kind, request = stream.headers.get("streamtype", ""), stream.headers.get("requestid", "")
            pair = waiting.setdefault(request, {})
            pair[kind] = stream
            if "data" in pair and "error" in pair:
                del waiting[request]
                task = asyncio.create_task(_forward(connection, pair["data"], pair["error"], pod))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(connection: SpdyConnection, data: SpdyStream, error: SpdyStream, pod: Pod) -> None:
    port = data.headers.get("port", "")
    try:
        try:
            reader, writer = await _connect(pod, port)
        except OSError as problem:
            await error.write(_refused(port, pod, problem).encode())
            await error.close()
            await data.close()
            return
        await error.close()

        async def upstream() -> None:
            while piece := await data.read():
                writer.write(piece)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

        sending = asyncio.ensure_future(upstream())
        try:
            while piece := await reader.read(_MOST):
                await data.write(piece)
            await data.close()
            # The pod has said all; what the client still sends is of no use to it.
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.transport.abort() if writer.transport.is_closing() else writer.close()
    except (ConnectionError, OSError):
        # Either side is gone, which ends the other.
        await _reset(data)
    finally:
        connection.forget(data)
        connection.forget(error)


async def _reset(stream: SpdyStream) -> None:
    try:
        await stream.reset(5)
    except ConnectionError:
        return


async def over_websocket(socket: WebSocket, ports: Sequence[int], pod: Pod, *, base64: bool = False) -> None:
    """One connection for each port, at once: channel 2n is the data of the nth, 2n+1 its error."""
    import base64 as coding

    async def send(channel: int, data: bytes) -> None:
        if base64:
            await socket.send_text(f"{channel}{coding.b64encode(data).decode()}")
        else:
            await socket.send(bytes((channel,)) + data)

    writers: dict[int, asyncio.StreamWriter] = {}
    tasks: list[asyncio.Task[None]] = []

    async def pour(channel: int, reader: asyncio.StreamReader) -> None:
        try:
            while piece := await reader.read(_MOST):
                await send(channel, piece)
        except (ConnectionError, OSError):
            return

    try:
        for index, port in enumerate(ports):
            for channel in (2 * index, 2 * index + 1):
                await send(channel, struct.pack("<H", port))
        for index, port in enumerate(ports):
            try:
                reader, writer = await _connect(pod, str(port))
            except OSError as problem:
                await send(2 * index + 1, _refused(str(port), pod, problem).encode())
                continue
            writers[2 * index] = writer
            tasks.append(asyncio.create_task(pour(2 * index, reader)))
        listening = asyncio.create_task(_listen(socket, writers, base64=base64))
        pouring = asyncio.create_task(_all(tasks))
        tasks += [listening, pouring]
        await asyncio.wait({listening, pouring}, return_when=asyncio.FIRST_COMPLETED)
    except ConnectionError:
        # The client is gone.
        return
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers.values():
            writer.close()
        await socket.close()


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Until all have ended; one that has nothing to do never ends by itself."""
    if tasks:
        await asyncio.wait(list(tasks))
    else:
        await asyncio.Event().wait()


async def _listen(socket: WebSocket, writers: dict[int, asyncio.StreamWriter], *, base64: bool) -> None:
    import base64 as coding

    while (message := await socket.receive()) is not None:
        if not message:
            continue
        channel, data = message[0], message[1:]
        if base64:
            channel, data = channel - ord("0"), coding.b64decode(data)
        writer = writers.get(channel)
        if writer is not None and data:
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                continue


async def _connect(pod: Pod, port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise OSError(f"{port!r} is no port")
    async with asyncio.timeout(_CONNECT_S):
        return await asyncio.open_connection(pod.address, int(port))


def _refused(port: str, pod: Pod, problem: OSError) -> str:
    why = problem.strerror or str(problem)
    return f"error forwarding port {port} to pod {pod.name}: failed to connect to localhost:{port} inside it: {why}"
