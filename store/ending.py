"""Ends tasks for certain: on Python 3.11 one cancellation may get lost, so it is asked for until it is heard."""

import asyncio
from collections.abc import Iterable
from typing import Any

_PATIENCE_SECONDS = 0.5


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and return once all of them are done; what they raise is dropped.

    `asyncio.wait_for` of Python 3.11 swallows a cancellation that arrives together with the result it waits for
    (cpython issue 81839), and the connection pool uses it: a loop that takes a connection at that moment would go on.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_PATIENCE_SECONDS)
        for task in done:
            if not task.cancelled():
                task.exception()  # retrieved, so that nobody warns about it
