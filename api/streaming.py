"""Server-sent events, built once for every route: heartbeat, deadline for slow readers, a maximum life.

Plain ASGI rather than sse-starlette's EventSourceResponse, for three reasons:
- the head leaves at once, before the first event exists (v2 clients wait for it before they start a run);
- all frames that are ready go out in one message: one call per batch instead of one task switch per token;
- the heartbeat follows the wall clock, not the last event: clients that measure it would otherwise lose patience.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from starlette.types import Receive, Scope, Send

from api.runs import metrics
from store.ending import end

_log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 5.0
SEND_SECONDS = 15.0
PIECE_BYTES = 65_536
"""As much as uvicorn takes before it asks to wait: a reader that stalls holds this much, not a page of the log."""
_HEARTBEAT = b": heartbeat\r\n\r\n"
_CLOSED = b": this account was closed\r\n\r\n"
_GOODBYE = b": this stream has lived long enough; rejoin it where you are\r\n\r\n"
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

Events = AsyncGenerator[bytes]


def event(name: str, data: str, event_id: int | str | None = None) -> bytes:
    """Return one event on the wire. `data` is JSON text, so it holds no line breaks."""
    if event_id is None:
        return f"event: {name}\r\ndata: {data}\r\n\r\n".encode()
    return f"event: {name}\r\ndata: {data}\r\nid: {event_id}\r\n\r\n".encode()


class EventStream:
    """An ASGI response that sends the byte strings of `events` as they come.

    `gone` runs once if the client left, or lost its account, before the events had ended.
    """

    def __init__(
        self,
        events: Events,
        *,
        headers: Mapping[str, str] | None = None,
        life: float = 3600.0,
        gone: Callable[[], Awaitable[None]] | None = None,
        media_type: bytes = b"text/event-stream; charset=utf-8",
        heartbeat: bytes = _HEARTBEAT,
    ) -> None:
        self._events = events
        self._heartbeat = heartbeat
        self._headers = [
            (b"content-type", media_type),
            *_HEADERS,
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ]
        self._life = life
        self._gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        lock = asyncio.Lock()

        async def push(body: bytes, more: bool = True) -> None:
            async with lock:
                for start in range(0, len(body) or 1, PIECE_BYTES):
                    last = start + PIECE_BYTES >= len(body)
                    piece = body if len(body) <= PIECE_BYTES else body[start : start + PIECE_BYTES]
                    async with asyncio.timeout(SEND_SECONDS):
                        await send({"type": "http.response.body", "body": piece, "more_body": more or not last})

        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await push(b"")
        saying = asyncio.create_task(self._pump(push), name="stream:events")
        leaving = asyncio.create_task(_until_disconnect(receive), name="stream:disconnect")
        beating = asyncio.create_task(_beat(push, self._heartbeat), name="stream:heartbeat")
        dismissed: Callable[[], Coroutine[Any, Any, None]] = scope.get("dismissed") or _never
        ousted = asyncio.create_task(dismissed(), name="stream:account")
        tasks = (saying, leaving, beating, ousted)
        try:
            await asyncio.wait(tasks, timeout=self._life, return_when=asyncio.FIRST_COMPLETED)
            first = [task for task in tasks if task.done()]
        finally:
            await end(tasks)
        error = next((task.exception() for task in first if not task.cancelled() and task.exception()), None)
        if isinstance(error, TimeoutError):
            metrics.STREAMS_DROPPED.inc()
            _log.info("A stream was dropped: its reader took nothing for %d s.", SEND_SECONDS)
        complete = saying in first and error is None
        left = not complete and (leaving in first or isinstance(error, OSError | TimeoutError))
        closed = not complete and ousted in first
        # Only a client that left or does not read has gone, or one without an account; a stream that lived too long
        # or a server that stops says nothing about its client.
        if (left or closed) and self._gone is not None:
            await self._gone()
        if left:
            return
        if error is not None:
            raise error
        farewell = b"" if complete or self._heartbeat != _HEARTBEAT else _CLOSED if closed else _GOODBYE
        with suppress(OSError, TimeoutError):
            await push(farewell, more=False)

    async def _pump(self, push: Callable[[bytes], Awaitable[None]]) -> None:
        async with aclosing(self._events) as events:
            async for body in events:
                await push(body)


class WaitingJson:
    """An ASGI response for a body that takes its time: 200 at once, a line break every 5 s, then the JSON."""

    def __init__(
        self,
        result: Awaitable[str],
        *,
        headers: Mapping[str, str] | None = None,
        gone: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        async def events() -> Events:
            yield (await result).encode()

        self._stream = EventStream(
            events(), headers=headers, gone=gone, media_type=b"application/json", heartbeat=b"\n"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the body."""
        await self._stream(scope, receive, send)


async def _never() -> None:
    await asyncio.Event().wait()


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _beat(push: Callable[[bytes], Awaitable[None]], heartbeat: bytes) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due += HEARTBEAT_SECONDS
        await asyncio.sleep(due - loop.time())
        await push(heartbeat)


def joined(parts: Iterable[bytes]) -> bytes:
    """Return events that go out together."""
    return b"".join(parts)
