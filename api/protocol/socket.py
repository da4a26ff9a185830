"""The second protocol over a WebSocket: commands and subscriptions go in, replies and a thread's events come out.

A connection is refused the way the SDK understands: accepted, then closed with 4000 plus the HTTP status, which ends
its attempts; any other code makes it connect again and subscribe anew. Browsers cannot send headers with a WebSocket,
so a token may also come as the second of two subprotocols: `new WebSocket(url, ["bearer", token])`. Never in the
address, which ends up in logs.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from api.allowance import Allowance
from api.dependencies import presented_token, services_of
from api.errors import Problem, as_problem, request_id_of
from api.hearing import next_text, value_of
from api.origins import admitted
from api.protocol.commands import CommandRefused, Reply, carry_out, done, failed, parts_of
from api.protocol.common import engine_of, position_in
from api.protocol.envelopes import Filter, envelope, filter_of, text_of
from api.protocol.thread_log import frames_of, own_or_new
from api.runs import metrics
from api.runs.intake import uuid_text
from api.runs.wire import is_object
from api.streaming import SEND_SECONDS
from store.ending import end
from store.errors import StoreError
from store.frames import Frame
from store.principal import Principal
from store.types import new_id

logger = logging.getLogger(__name__)

GOING_AWAY, POLICY, TRY_LATER = 1001, 1008, 1013
TOKEN_SECONDS = 15.0
MAX_FRAME_CHARS = 1024 * 1024
"""As much as a body may have."""
MAX_SUBSCRIPTIONS = 50


@dataclass(slots=True)
class _Subscription:
    wanted: Filter
    after: int
    """Everything up to here was sent, or is not wanted."""


class _Session:
    """One connection of a caller to one thread."""

    def __init__(self, socket: WebSocket, caller: Principal, token: str, thread_id: str) -> None:
        self._socket = socket
        self._engine = engine_of(socket)
        self._tokens = services_of(socket).tokens
        self._caller, self._token, self._thread_id = caller, token, thread_id
        self._subscriptions: dict[str, _Subscription] = {}
        self._changed = asyncio.Event()
        self._sending = asyncio.Lock()
        self._allowance = Allowance()

    async def answer(self) -> None:
        """Answer every command; raises Problem once the token is worth nothing."""
        while True:
            text = await next_text(self._socket)
            await self._tokens.verify(self._token)
            number: int | None = None
            try:
                self._allowance.take()
                command = _decoded(text)
                number, method, params = parts_of(command)
                reply = self._subscribing(number, method, params) or await carry_out(
                    self._engine, self._caller, self._thread_id, command, request_id_of(self._socket.scope)
                )
            except CommandRefused as refused:
                reply = failed(number, refused.code, str(refused))
            except (Problem, StoreError) as error:
                problem = as_problem(error)
                code = "invalid_argument" if problem.status_code < 500 else "unknown_error"
                reply = failed(number, code, problem.detail)
            await self._send(orjson.dumps(reply).decode())

    async def speak(self) -> None:
        """Send what is subscribed to, in the order of the thread's log; returns when the thread is gone.

        One cursor serves all subscriptions: clients tell from an event that the run has ended, so none of an earlier
        place may come after it. A new subscription moves the cursor back to where it begins.
        """
        while True:
            self._changed.clear()
            changed = asyncio.create_task(self._changed.wait(), name="v2-changed")
            try:
                if not self._subscriptions:
                    await changed
                elif not await self._follow(changed):
                    return
            finally:
                await end([changed])

    async def watch_token(self) -> None:
        """Raise Problem once the token has run out, or the account was closed."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TOKEN_SECONDS):
                    await self._tokens.dismissed(self._caller.user_id)
            await self._tokens.verify(self._token)

    def _subscribing(self, number: int, method: str, params: dict[str, Any]) -> Reply | None:
        """Carry out what concerns this connection alone; None for any other command."""
        match method:
            case "subscription.subscribe":
                if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
                    raise CommandRefused("invalid_argument", f"There are {MAX_SUBSCRIPTIONS} subscriptions already.")
                name = str(new_id())
                self._subscriptions[name] = _Subscription(filter_of(params), position_in(params.get("since")) or 0)
                self._changed.set()
                return done(number, {"subscription_id": name})
            case "subscription.unsubscribe":
                if self._subscriptions.pop(str(params.get("subscription_id")), None) is None:
                    raise CommandRefused("no_such_subscription", "There is no subscription of that id here.")
                self._changed.set()
                return done(number, {})
            case "subscription.reconnect":
                return done(number, {"restored": False})  # what a connection had is gone with it: subscribe again
            case _:
                return None

    async def _follow(self, changed: "asyncio.Task[Any]") -> bool:
        """Send frames until the subscriptions have changed; False when the thread is gone."""
        # A subscription that comes meanwhile is not yet served by this cursor, which may be past where it begins.
        served = list(self._subscriptions.values())
        after = min(one.after for one in served)
        async with aclosing(frames_of(self._engine, self._caller, self._thread_id, after)) as batches:
            while True:
                coming = asyncio.create_task(_next(batches), name="v2-frames")
                try:
                    await asyncio.wait([coming, changed], return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        return True
                finally:
                    await end([coming])
                batch = coming.result()
                if batch is None:
                    return False
                await self._show(batch, served)
                if changed.done():
                    return True

    async def _show(self, batch: Sequence[Frame], served: Sequence[_Subscription]) -> None:
        for frame in batch:
            found = envelope(frame)
            waiting = [one for one in served if one.after < frame.seq]
            if found and any(one.wanted.takes(found[0], frame) for one in waiting):
                await self._send(text_of(frame, *found))
            for one in waiting:
                one.after = frame.seq

    async def _send(self, text: str) -> None:
        async with self._sending, asyncio.timeout(SEND_SECONDS):
            await self._socket.send_text(text)


async def converse(socket: WebSocket) -> None:
    """Serve one connection until either side ends it."""
    origin = socket.headers.get("origin")
    if origin is not None and not admitted(services_of(socket).settings, origin, socket.headers.get("host")):
        await socket.close(POLICY, "This origin may not connect.")
        return
    offered: list[str] = socket.scope.get("subprotocols") or []
    await socket.accept("bearer" if "bearer" in offered else None)
    token = presented_token(socket) or next((name for name in offered if name != "bearer"), "")
    try:
        caller = await services_of(socket).tokens.verify(token)
        thread_id = uuid_text(socket.path_params["thread_id"], "thread")
        await own_or_new(engine_of(socket), caller, thread_id)
    except (Problem, StoreError) as error:
        problem = as_problem(error)
        await _close(socket, TRY_LATER if problem.status_code >= 500 else 4000 + problem.status_code, problem.detail)
        return
    await _serve(socket, _Session(socket, caller, token, thread_id))


async def _serve(socket: WebSocket, session: _Session) -> None:
    parts = {
        asyncio.create_task(session.answer(), name="v2-commands"),
        asyncio.create_task(session.watch_token(), name="v2-token"),
        (speaking := asyncio.create_task(session.speak(), name="v2-events")),
    }
    try:
        over, _ = await asyncio.wait(
            parts, timeout=engine_of(socket).limits.stream_seconds, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        await end(parts)
    error = next((part.exception() for part in over if part.exception()), None)
    if isinstance(error, WebSocketDisconnect):
        return
    if isinstance(error, Problem):
        # Not 4401, which is final: with a new token the client may go on where it was.
        await _close(socket, POLICY, "The token is not valid any more. Connect again with a new one.")
    elif isinstance(error, TimeoutError):
        metrics.STREAMS_DROPPED.inc()
        logger.info("A WebSocket was dropped: its reader took nothing for %d s.", SEND_SECONDS)
        await _close(socket, POLICY, "You do not read what is sent. Connect again.")
    elif error is not None:
        logger.error("request %s failed", request_id_of(socket.scope), exc_info=error)
        await _close(socket, TRY_LATER, "The service cannot go on with this connection. Connect again.")
    elif speaking in over:
        await _close(socket, 4404, "The thread is gone.")
    else:
        await _close(socket, GOING_AWAY, "This connection has lived long enough. Connect again.")


async def _next(batches: AsyncGenerator[list[Frame]]) -> list[Frame] | None:
    return await anext(batches, None)


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    if socket.application_state is WebSocketState.CONNECTED and socket.client_state is WebSocketState.CONNECTED:
        with suppress(OSError, RuntimeError, TimeoutError):
            async with asyncio.timeout(SEND_SECONDS):
                await socket.close(code, reason[:120])


def _decoded(text: str | None) -> dict[str, Any]:
    value = value_of(text, MAX_FRAME_CHARS)
    if not is_object(value):
        raise Problem(400, "malformed_command", "A command is a JSON object.")
    return value


sockets = [WebSocketRoute("/threads/{thread_id}/stream/events", converse)]
