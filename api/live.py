"""One live connection: it answers frames, sends events as they happen, and ends when its token does."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.websockets import WebSocket

from api.allowance import Allowance
from api.errors import Problem, as_problem
from api.hearing import next_text, value_of
from api.schemas.goals import GoalUpdate
from api.schemas.tasks import TaskUpdate
from api.services import Services
from store import feed, goals, tasks
from store.ending import end
from store.errors import StoreError
from store.event_rows import Event
from store.principal import Origin, Principal
from store.types import new_id

HELLO_SECONDS = 10.0
TOKEN_SECONDS = 15.0
SEND_SECONDS = 15.0
"""A client that takes nothing for this long is dropped; it resumes where it stopped."""
MAX_FRAME_CHARS = 64 * 1024
VERSION = 1

Frame = dict[str, Any]


def decoded(text: str | None) -> Frame:
    """Return the frame a text holds; raises Problem for anything that is not a small JSON object."""
    value = value_of(text, MAX_FRAME_CHARS)
    if not isinstance(value, dict):
        raise Problem(422, "invalid", "A frame is a JSON object with a type.")
    return cast("Frame", value)


class LiveSession:
    """What happens on one connection after it said who it is."""

    def __init__(self, socket: WebSocket, services: Services, principal: Principal, token: str) -> None:
        self.socket = socket
        self.services = services
        self.principal = principal
        self._token = token
        self._after: int | None = None
        self._rewound = asyncio.Event()
        self._sending = asyncio.Lock()
        self._allowance = Allowance()

    async def welcome(self) -> None:
        """Tell the client that it may begin."""
        await self._send({"type": "welcome", "version": VERSION, "user_id": self.principal.user_id})

    async def answer_frames(self) -> None:
        """Answer every frame; what is wrong with one is told and costs nobody the connection."""
        while True:
            text = await next_text(self.socket)
            ref: object = None
            try:
                self._allowance.take()
                frame = decoded(text)
                ref = frame.get("ref")
                answer = await self._answer(frame)
            except (Problem, StoreError, ValidationError) as error:
                answer = _refusal(error)
            if isinstance(ref, str | int):
                answer["ref"] = ref if isinstance(ref, int) else ref[:100]
            await self._send(answer)

    async def send_events(self) -> None:
        """Send the learner's events as they are sequenced, from now on or from where the client says it stopped."""
        while True:
            self._rewound.clear()
            stream = feed.follow(self.services.database, self.services.events.wakeups, self.principal, self._after)
            reader = asyncio.create_task(self._forward(stream), name="ws-forward")
            rewind = asyncio.create_task(self._rewound.wait(), name="ws-rewind")
            try:
                await asyncio.wait([reader, rewind], return_when=asyncio.FIRST_COMPLETED)
                if reader.done():
                    reader.result()
                    return
            finally:
                await end((reader, rewind))
                await stream.aclose()

    async def watch_token(self) -> None:
        """Raise Problem once the token has run out or was withdrawn."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TOKEN_SECONDS):
                    await self.services.tokens.dismissed(self.principal.user_id)
            await self.services.tokens.verify(self._token)

    async def _forward(self, stream: AsyncGenerator[list[Event]]) -> None:
        async for events in stream:
            for event in events:
                await self._send({"type": "event", "position": event.position, "event": _shown(event)})
                self._after = event.position

    async def _answer(self, frame: Frame) -> Frame:
        match frame.get("type"):
            case "ping":
                return {"type": "pong", "time": self.services.database.now()}
            case "goal_update":
                return await self._update_goal(frame)
            case "task_update":
                return await self._update_task(frame)
            case "code_validation_request":
                return await self._validate(frame)
            case "resume":
                return self._resume(frame)
            case kind:
                known = "ping, goal_update, task_update, code_validation_request, resume"
                raise Problem(422, "unknown_type", f"There is no frame type {str(kind)[:60]!r}. Known: {known}.")

    async def _update_goal(self, frame: Frame) -> Frame:
        goal_id, changes = _id(frame, "goal_id"), _changes(frame, GoalUpdate)
        async with self.services.database.transaction(self.principal, self._origin()) as tx:
            goal = await goals.update(tx, goal_id, changes, expected_version=_version(frame))
        return {"type": "goal_updated", "goal": goal}

    async def _update_task(self, frame: Frame) -> Frame:
        task_id, changes = _id(frame, "task_id"), _changes(frame, TaskUpdate)
        async with self.services.database.transaction(self.principal, self._origin()) as tx:
            task = await tasks.update(tx, task_id, changes, expected_version=_version(frame))
        return {"type": "task_updated", "task": task}

    async def _validate(self, frame: Frame) -> Frame:
        # The outcome arrives as a code_snapshot.validated event, whether or not this connection lives to see it.
        wanted: Frame = {"snapshot_id": str(_id(frame, "snapshot_id"))}
        if isinstance(frame.get("hint_level"), int):
            wanted["hint_level"] = frame["hint_level"]
        body = {"assistant_id": "code_validation", "input": wanted, "stream_mode": ["values", "custom"]}
        started = await self.services.runs.start_run(self.principal, body, None)
        return {"type": "code_validation_started", "run_id": started.run.run_id, **wanted}

    def _resume(self, frame: Frame) -> Frame:
        after = frame.get("after")
        if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after < 2**63:
            raise Problem(422, "invalid", "resume needs `after`: the position of the last event you have, or 0.")
        self._after = after
        self._rewound.set()
        return {"type": "resumed", "after": after}

    def _origin(self) -> Origin:
        return Origin(correlation_id=new_id(), channel="ws")

    async def _send(self, frame: Mapping[str, Any]) -> None:
        text = orjson.dumps(frame, option=orjson.OPT_UTC_Z).decode()
        async with self._sending, asyncio.timeout(SEND_SECONDS):
            await self.socket.send_text(text)


def _id(frame: Frame, name: str) -> UUID:
    try:
        return UUID(str(frame.get(name)))
    except ValueError:
        raise Problem(422, "invalid", f"{frame.get('type')} needs `{name}`, a UUID.") from None


def _version(frame: Frame) -> int | None:
    version = frame.get("expected_version")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise Problem(422, "invalid", "`expected_version` is a whole number: the version you have read.")
    return version


def _changes(frame: Frame, model: type[GoalUpdate] | type[TaskUpdate]) -> dict[str, object]:
    return model.model_validate(frame.get("data")).given()


def _shown(event: Event) -> Frame:
    return {
        "id": event.id,
        "type": event.type,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "entity_version": event.entity_version,
        "recorded_at": event.recorded_at,
        "thread_id": event.thread_id,
        "run_id": event.run_id,
        "payload": event.payload,
    }


def _refusal(error: Problem | StoreError | ValidationError) -> Frame:
    if isinstance(error, ValidationError):
        problem = as_problem(RequestValidationError([_placed(one) for one in error.errors(include_url=False)]))
    else:
        problem = as_problem(error)
    refusal: Frame = {
        "type": "error",
        "status": problem.status_code,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.errors:
        refusal["errors"] = problem.errors
    return refusal


def _placed(error: Mapping[str, Any]) -> Frame:
    return {**error, "loc": ("data", *error["loc"])}
