"""The WebSocket door: who may open it, and the frames that travel through it.

Frames are JSON objects with a `type`. The client's first one is `auth` with an access token (a token in the address
would end up in logs); then `ping`, `goal_update`, `task_update`, `code_validation_request` and `resume`. A client may
give a frame a `ref`, and finds it again in the answer. The service sends `welcome`, one answer per frame, `error`, and
an `event` for everything that happens to what is the learner's.
"""

import asyncio

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from api.dependencies import services_of
from api.errors import Problem
from api.hearing import next_text
from api.live import HELLO_SECONDS, LiveSession, decoded
from api.origins import admitted
from store.ending import end
from store.principal import Principal

router = APIRouter()

UNAUTHENTICATED = 4401
"""Close code: the token is missing, wrong or has run out; get a new one and connect again."""
POLICY = 1008
TRY_LATER = 1013
MAX_SOCKETS_PER_USER = 20

_open: dict[str, int] = {}


@router.websocket("/ws")
async def live(socket: WebSocket) -> None:
    """Serve one connection until either side ends it."""
    origin = socket.headers.get("origin")  # browsers name the page; without one the token in the first frame decides
    if origin is not None and not admitted(services_of(socket).settings, origin, socket.headers.get("host")):
        await socket.close(POLICY, "This origin may not connect.")
        return
    await socket.accept()
    try:
        token, principal = await _introduce(socket)
    except Problem as problem:
        await _close(socket, UNAUTHENTICATED, problem.detail)
        return
    except (TimeoutError, WebSocketDisconnect):
        await _close(socket, UNAUTHENTICATED, "Send an auth frame first.")
        return
    if _open.get(principal.user_id, 0) >= MAX_SOCKETS_PER_USER:
        await _close(socket, TRY_LATER, "Too many connections of yours are open.")
        return
    _open[principal.user_id] = _open.get(principal.user_id, 0) + 1
    try:
        await _serve(LiveSession(socket, services_of(socket), principal, token))
    finally:
        _open[principal.user_id] -= 1
        if not _open[principal.user_id]:
            del _open[principal.user_id]


async def _introduce(socket: WebSocket) -> tuple[str, Principal]:
    async with asyncio.timeout(HELLO_SECONDS):
        frame = decoded(await next_text(socket))
    token = frame.get("token")
    if frame.get("type") != "auth" or not isinstance(token, str):
        raise Problem(401, "unauthenticated", 'The first frame must be {"type": "auth", "token": "<access token>"}.')
    return token, await services_of(socket).tokens.verify(token)


async def _serve(session: LiveSession) -> None:
    """Run what the session does side by side; the first part to end ends the others."""
    await session.welcome()
    parts = [
        asyncio.create_task(session.answer_frames(), name="ws-frames"),
        asyncio.create_task(session.send_events(), name="ws-events"),
        asyncio.create_task(session.watch_token(), name="ws-token"),
    ]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        error = next((part.exception() for part in done if part.exception()), None)
        if isinstance(error, Problem):
            await _close(session.socket, UNAUTHENTICATED, error.detail)
        elif error is not None and not isinstance(error, WebSocketDisconnect):
            await _close(session.socket, TRY_LATER, "The service cannot go on with this connection. Connect again.")
    finally:
        await end(parts)


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    if socket.application_state is WebSocketState.CONNECTED and socket.client_state is WebSocketState.CONNECTED:
        await socket.close(code, reason[:120])
