"""The WebSocket: who gets in, what each frame does, and that everybody hears of their own things only."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.app import create_app
from api.services import Services, assembled
from api.settings import given
from graphs.opening import Offline
from store import goals, snapshots, tasks
from store.database import Database
from store.goals import NewGoal
from store.principal import Principal
from store.snapshots import NewSnapshot
from store.tasks import NewTask

Frame = dict[str, Any]


class Caller:
    """One client of the socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._passed_over: list[Frame] = []

    async def send(self, frame: Frame | str) -> None:
        await self.connection.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def receive(self, kind: str) -> Frame:
        """Return the next frame of a kind, keeping others for later; fails after ten seconds."""
        for frame in self._passed_over:
            if frame["type"] == kind:
                self._passed_over.remove(frame)
                return frame
        async with asyncio.timeout(10):
            while (frame := json.loads(await self.connection.recv()))["type"] != kind:
                self._passed_over.append(frame)
            return frame

    async def ask(self, frame: Frame, kind: str) -> Frame:
        await self.send(frame)
        return await self.receive(kind)


Call = Callable[[Principal], Any]


@pytest.fixture
async def services(tmp_path: Path, database: Database) -> AsyncIterator[Services]:
    """Services whose events are carried on, for this file waits for live ones."""
    settings = given(data_dir=tmp_path / "data")
    async with assembled(settings, database, offline=Offline.HASH) as opened:
        yield opened


@pytest.fixture
async def address(services: Services) -> AsyncIterator[str]:
    """A real server on a free port."""
    app = create_app(services.settings, services=services)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to wait on
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"ws://127.0.0.1:{port}/ws"
    server.should_exit = True
    await task


@pytest.fixture
def call(address: str, services: Services) -> Call:
    """Open a signed-in connection for a principal."""

    @asynccontextmanager
    async def opened(who: Principal) -> AsyncGenerator[Caller]:
        async with connect(address, max_queue=None) as connection:
            caller = Caller(connection)
            token = services.tokens.issue(who).access_token
            assert (await caller.ask({"type": "auth", "token": token}, "welcome"))["user_id"] == who.user_id
            yield caller

    return opened


Make = Callable[[Principal], Awaitable[goals.Goal]]


@pytest.fixture
def make_goal(database: Database) -> Make:
    """Create a goal the way REST does."""

    async def make(who: Principal) -> goals.Goal:
        async with database.transaction(who) as tx:
            return await goals.create(tx, NewGoal(title="Learn Go"))

    return make


async def test_ping_is_answered_with_its_reference(call: Call, learner: Principal) -> None:
    async with call(learner) as caller:
        pong = await caller.ask({"type": "ping", "ref": "r1"}, "pong")
    assert pong["ref"] == "r1"
    assert pong["time"].endswith("Z")


async def test_a_goal_update_is_carried_out_and_heard_of(
    call: Call, learner: Principal, other_learner: Principal, make_goal: Make
) -> None:
    goal = await make_goal(learner)
    frame = {"type": "goal_update", "goal_id": str(goal.id), "data": {"progress_percentage": 50.0}}
    async with call(learner) as caller, call(other_learner) as stranger:
        answer = await caller.ask(frame, "goal_updated")
        event = await caller.receive("event")
        if event["event"]["type"] == "goal.created":  # sequenced a moment after the connection was made
            event = await caller.receive("event")
        assert answer["goal"]["status"] == "in_progress"
        assert (event["event"]["type"], event["event"]["entity_id"]) == ("goal.started", str(goal.id))
        assert event["event"]["payload"]["changes"]["progress_percentage"] == 50
        # Whatever the stranger got by now would have come before the answer to a later frame of theirs.
        await asyncio.sleep(0.2)
        await stranger.send({"type": "ping"})
        assert json.loads(await stranger.connection.recv())["type"] == "pong"
        refused = await stranger.ask(frame, "error")
    assert refused["status"] == 404


async def test_a_task_update_follows_the_same_rules_as_rest(
    call: Call, learner: Principal, make_goal: Make, database: Database
) -> None:
    goal = await make_goal(learner)
    async with database.transaction(learner) as tx:
        task = await tasks.create(tx, NewTask(goal_id=goal.id, title="Read"))
    async with call(learner) as caller:
        done = await caller.ask(
            {"type": "task_update", "task_id": str(task.id), "data": {"status": "completed"}}, "task_updated"
        )
        again = await caller.ask(
            {"type": "task_update", "task_id": str(task.id), "data": {"status": "blocked"}}, "error"
        )
        stale = await caller.ask(
            {"type": "task_update", "task_id": str(task.id), "data": {"title": "x"}, "expected_version": 1}, "error"
        )
    assert done["task"]["completed_at"] is not None
    assert "completed cannot become blocked" in again["detail"]
    assert stale["status"] in (409, 412)


async def test_what_was_missed_is_sent_after_resume(call: Call, learner: Principal, make_goal: Make) -> None:
    first = await make_goal(learner)
    async with call(learner) as caller:
        await caller.ask({"type": "resume", "after": 0}, "resumed")
        seen = await caller.receive("event")
    second = await make_goal(learner)
    async with call(learner) as caller:
        await caller.ask({"type": "resume", "after": seen["position"]}, "resumed")
        missed = await caller.receive("event")
    assert [seen["event"]["entity_id"], missed["event"]["entity_id"]] == [str(first.id), str(second.id)]


async def test_a_validation_request_ends_in_an_event(
    call: Call, learner: Principal, make_goal: Make, database: Database
) -> None:
    goal = await make_goal(learner)
    async with database.transaction(learner) as tx:
        task = await tasks.create(tx, NewTask(goal_id=goal.id, title="Write"))
        made = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content="def f(:\n"))
    async with call(learner) as caller:
        await caller.ask({"type": "code_validation_request", "snapshot_id": str(made.id)}, "code_validation_started")
        while (event := (await caller.receive("event"))["event"])["type"] != "code_snapshot.validated":
            pass
    assert event["payload"]["changes"]["validation_status"] == "failed"


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        ("not json", 400),
        ("[]", 422),
        ('{"type": "fly"}', 422),
        ('{"type": "goal_update"}', 422),
        ('{"type": "goal_update", "goal_id": "x", "data": {}}', 422),
        (
            json.dumps(
                {"type": "goal_update", "goal_id": "018f0000-0000-7000-8000-000000000000", "data": {"user_id": "eve"}}
            ),
            422,
        ),
        (
            json.dumps(
                {"type": "goal_update", "goal_id": "018f0000-0000-7000-8000-000000000000", "data": {"title": "a\x00b"}}
            ),
            400,
        ),
        (
            json.dumps(
                {
                    "type": "goal_update",
                    "goal_id": "018f0000-0000-7000-8000-000000000000",
                    "data": {"progress_percentage": 101},
                }
            ),
            422,
        ),
        (
            json.dumps(
                {"type": "goal_update", "goal_id": "018f0000-0000-7000-8000-000000000000", "data": {"title": "x"}}
            ),
            404,
        ),
        ('{"type": "resume", "after": -1}', 422),
        ('{"type": "ping", "x": NaN}', 400),
        ("[" * 2000, 400),
        ('{"type": "ping", "x": "' + "y" * 70_000 + '"}', 413),
    ],
)
async def test_a_bad_frame_is_refused_and_the_connection_goes_on(
    call: Call, learner: Principal, frame: str, status: int
) -> None:
    async with call(learner) as caller:
        await caller.send(frame)
        refusal = await caller.receive("error")
        assert refusal["status"] == status, refusal
        assert isinstance(refusal["detail"], str)
        await caller.ask({"type": "ping"}, "pong")


@pytest.mark.parametrize("hello", ['{"type": "ping"}', '{"type": "auth"}', '{"type": "auth", "token": "x.y.z"}', "{"])
async def test_nobody_gets_in_without_a_token(address: str, hello: str) -> None:
    async with connect(address) as connection:
        await connection.send(hello)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(connection.recv(), 10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


async def test_a_page_of_somebody_else_cannot_connect(address: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address, origin="https://evil.example"):  # pyright: ignore[reportArgumentType]
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//", "null", "%%%"])
async def test_an_origin_no_browser_says_cannot_connect(address: str, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address, origin=origin):  # pyright: ignore[reportArgumentType]
            pass
    assert refused.value.response.status_code == 403


async def test_a_host_the_service_does_not_answer_for_cannot_be_connected_to(address: str) -> None:
    port = urlsplit(address).port
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://evil.example:{port}/ws", host="127.0.0.1", port=port):
            pass
    assert refused.value.response.status_code == 403


async def test_a_binary_frame_is_refused_in_words(address: str, call: Call, learner: Principal) -> None:
    async with call(learner) as caller:
        await caller.connection.send(b'{"type": "ping"}')
        refusal = await caller.receive("error")
        assert (refusal["status"], refusal["code"]) == (400, "binary_frame")
        await caller.ask({"type": "ping"}, "pong")
    async with connect(address) as stranger:
        await stranger.send(b"\x00")
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(stranger.recv(), 10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


@pytest.mark.parametrize("version", ["1", 1.5, True, []])
async def test_an_expected_version_that_is_none_is_refused(
    call: Call, learner: Principal, make_goal: Make, version: object
) -> None:
    goal = await make_goal(learner)
    frame = {"type": "goal_update", "goal_id": str(goal.id), "data": {"title": "x"}, "expected_version": version}
    async with call(learner) as caller:
        refusal = await caller.ask(frame, "error")
    assert refusal["status"] == 422
    assert "expected_version" in refusal["detail"]


async def test_too_many_frames_are_slowed_down(call: Call, learner: Principal) -> None:
    async with call(learner) as caller:
        for _ in range(400):
            await caller.send({"type": "ping"})
        refusal = await caller.receive("error")
    assert refusal["status"] == 429
