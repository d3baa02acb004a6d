"""Blocking work in a thread that ends before its caller goes on, even when the caller is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

Given = ParamSpec("Given")
Result = TypeVar("Result")


async def in_thread(
    stop: threading.Event, function: Callable[Given, Result], /, *arguments: Given.args, **named: Given.kwargs
) -> Result:
    """The function's result. A cancellation sets ``stop``, which the function may look at, and waits for its end.

    So whoever owns the files that the function works on may remove them afterwards.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments, **named))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        # Looked at, so that asyncio does not report it as lost: the cancellation is what counts.
        _ = work.cancelled() or work.exception()
        raise
