"""A process, or a container's own, at the other end of channels: until it ends or the client is gone."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from windtunnel_emulators.kubernetes.streams.channels import STDERR, STDOUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.streams.channels import Channels
    from windtunnel_emulators.runtime.interface import Attachment, ExecSession

SUCCESS: JsonObject = {"metadata": {}, "status": "Success"}


def ended_with(command: Sequence[str], code: int) -> JsonObject:
    """The Status of a command's end."""
    if code == 0:
        return SUCCESS
    said = f"error executing command [{' '.join(command)}], exit code {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {said}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failed(message: str) -> JsonObject:
    """The Status of a command that could not be run."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


async def execute(channels: Channels, session: ExecSession, command: Sequence[str], *, takes_input: bool) -> None:
    """Serve a command's session; it is ended when the client goes."""
    try:
        outputs = [_pour(channels, STDOUT, session.output()), _pour(channels, STDERR, session.errors())]
        inputs = [_resize(channels, session.resize)]
        if takes_input:
            inputs.append(_type(channels, session.send, session.close_input))
        else:
            await session.close_input()
        if await _until_over(channels, outputs, inputs):
            await channels.finish(ended_with(command, await session.wait()))
    finally:
        await session.close()


async def attach(channels: Channels, attachment: Attachment, *, takes_input: bool, once: bool) -> None:
    """Serve who attached to a container; it goes on when the client goes. ``once`` closes its input with that."""
    try:
        inputs = [_resize(channels, attachment.resize)]
        if takes_input:
            inputs.append(_type(channels, attachment.send, attachment.close_input))
        if await _until_over(channels, [_pour_all(channels, attachment.output())], inputs):
            await channels.finish(SUCCESS)
    finally:
        if once and takes_input:
            await attachment.close_input()
        attachment.close()


async def _until_over(
    channels: Channels,
    outputs: Sequence[Coroutine[Any, Any, None]],
    inputs: Sequence[Coroutine[Any, Any, None]],
) -> bool:
    """Until all outputs have ended; False when the client went before."""
    writing: list[asyncio.Future[None]] = [asyncio.ensure_future(work) for work in outputs]
    reading: list[asyncio.Future[None]] = [asyncio.ensure_future(work) for work in inputs]
    gone = asyncio.ensure_future(channels.gone())
    everything = asyncio.ensure_future(_all(writing))
    try:
        await asyncio.wait({everything, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not everything.done():
            return False
        try:
            everything.result()
        except ConnectionError:
            return False
        return True
    finally:
        for task in (*writing, *reading, gone, everything):
            task.cancel()
        await asyncio.gather(*writing, *reading, gone, everything, return_exceptions=True)


async def _all(works: Sequence[asyncio.Future[None]]) -> None:
    """Raises what the first that failed did."""
    await asyncio.gather(*works)


async def _pour(channels: Channels, channel: int, output: AsyncIterator[bytes]) -> None:
    async for data in output:
        await channels.write(channel, data)


async def _pour_all(channels: Channels, output: AsyncIterator[tuple[str, bytes]]) -> None:
    async for stream, data in output:
        await channels.write(STDERR if stream == "stderr" else STDOUT, data)


async def _type(
    channels: Channels, send: Callable[[bytes], Awaitable[None]], close: Callable[[], Awaitable[None]]
) -> None:
    try:
        async with aclosing(channels.input()) as typed:
            async for data in typed:
                await send(data)
        await close()
    except BrokenPipeError:
        # It does not read any more; what it writes still matters.
        return


async def _resize(channels: Channels, resize: Callable[[int, int], Awaitable[None]]) -> None:
    async for rows, columns in channels.sizes():
        await resize(rows, columns)
