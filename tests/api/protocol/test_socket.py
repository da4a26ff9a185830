"""The second protocol over a WebSocket: the same events as over HTTP, in the same order, for the same people."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from secrets import token_hex
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from api.protocol import socket as module
from store.principal import Principal
from tests.api.protocol.conftest import Service
from tests.api.protocol.graphs import Gate
from tests.api.protocol.test_v2 import ALL, envelopes

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "one two"}]}
Json = dict[str, Any]


class Talk:
    """A client of one thread."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[Json] = []
        self._number = 0

    async def ask(self, method: str, **params: Any) -> Json:
        """Send a command and return its reply; events that come before it are kept."""
        self._number += 1
        await self.connection.send(json.dumps({"id": self._number, "method": method, "params": params}))
        reply = await self.reply()
        assert reply["id"] == self._number
        return reply

    async def reply(self) -> Json:
        async with asyncio.timeout(10):
            while (message := json.loads(await self.connection.recv()))["type"] == "event":
                self.events.append(message)
            return message

    async def hear(self, terminals: int = 1) -> list[Json]:
        """Return all events so far, once so many runs have ended or asked something."""
        async with asyncio.timeout(10):
            while sum(map(_is_terminal, self.events)) < terminals:
                self.events.append(json.loads(await self.connection.recv()))
        return self.events

    async def silence(self) -> None:
        """Return after whatever was on its way has come: a reply is sent after what was sent before."""
        await asyncio.sleep(0.3)
        await self.ask("subscription.unsubscribe", subscription_id="none")


def _is_terminal(event: Json) -> bool:
    data = event["params"]["data"]
    ended = ("completed", "failed", "interrupted")
    return event["method"] == "lifecycle" and not event["params"]["namespace"] and data["event"] in ended


def address(service: Service, thread_id: str) -> str:
    return f"{service.url.replace('http', 'ws')}/threads/{thread_id}/stream/events"


@asynccontextmanager
async def talking(service: Service, who: Principal, thread_id: str, **more: Any) -> AsyncGenerator[Talk]:
    headers = {"Authorization": f"Bearer {service.token(who)}"}
    async with connect(address(service, thread_id), additional_headers=headers, max_size=None, **more) as connection:
        yield Talk(connection)


async def closing(service: Service, thread_id: str, **more: Any) -> tuple[int, str]:
    """With which code and reason a connection is closed."""
    async with connect(address(service, thread_id), **more) as connection, asyncio.timeout(10):
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_a_run_is_heard_as_over_http(service: Service, learner: Principal) -> None:
    thread_id = str(uuid4())
    async with talking(service, learner, thread_id) as talk:
        assert (await talk.ask("subscription.subscribe", channels=ALL))["type"] == "success"
        started = await talk.ask("run.start", assistant_id="nested", input=CHAT)
        assert started["result"]["run_id"]
        heard = await talk.hear()
    assert heard == await envelopes(service, learner, thread_id)


async def test_a_later_subscription_begins_at_the_beginning_and_order_is_kept(
    service: Service, learner: Principal, gate: Gate
) -> None:
    thread_id = str(uuid4())
    async with talking(service, learner, thread_id) as talk:
        await talk.ask("subscription.subscribe", channels=["lifecycle"])
        await talk.ask("run.start", assistant_id="held_echo", input={"messages": [("user", "a b c d e f")]})
        await gate.reached.wait()
        await talk.silence()
        before = len(talk.events)
        assert {event["method"] for event in talk.events} == {"lifecycle"}
        await talk.ask("subscription.subscribe", channels=["messages", "lifecycle"])
        gate.open.set()
        await talk.hear(1)
        later = talk.events[before:]
    expected = await envelopes(service, learner, thread_id, channels=["messages", "lifecycle"])
    assert later == expected  # the past for the new one, then on for both, nothing twice


async def test_one_may_go_on_where_one_was(service: Service, learner: Principal) -> None:
    thread_id = str(uuid4())
    async with talking(service, learner, thread_id) as talk:
        await talk.ask("run.start", assistant_id="echo", input=CHAT)
        await talk.ask("subscription.subscribe", channels=ALL)
        heard = list(await talk.hear())
    for cut in (1, len(heard) // 2):
        async with talking(service, learner, thread_id) as talk:
            await talk.ask("subscription.subscribe", channels=ALL, since=heard[cut - 1]["seq"])
            assert await talk.hear() == heard[cut:]


async def test_a_question_is_answered_and_the_tree_is_told(service: Service, learner: Principal) -> None:
    thread_id = str(uuid4())
    async with talking(service, learner, thread_id) as talk:
        assert (await talk.ask("agent.getTree"))["error"] == "no_such_run"
        await talk.ask("subscription.subscribe", channels=ALL)
        await talk.ask("run.start", assistant_id="approval", input={"topic": "rust"})
        asked = next(e["params"]["data"] for e in await talk.hear() if e["method"] == "input.requested")
        assert (await talk.ask("agent.getTree"))["result"]["tree"]["status"] == "interrupted"
        answer: Json = {"interrupt_id": asked["interrupt_id"], "namespace": [], "response": "yes"}
        assert (await talk.ask("input.respond", **answer))["type"] == "success"
        values = [e["params"]["data"] for e in await talk.hear(2) if e["method"] == "values"]
        assert values[-1]["log"][-1] == "done"
        assert (await talk.ask("input.respond", **answer))["error"] == "no_such_interrupt"
    nested = str(uuid4())
    async with talking(service, learner, nested) as talk:
        await talk.ask("subscription.subscribe", channels=["lifecycle"])
        run_id = (await talk.ask("run.start", assistant_id="nested", input=CHAT))["result"]["run_id"]
        heard = await talk.hear()
        tree = (await talk.ask("agent.getTree", run_id=run_id))["result"]["tree"]
    (below,) = {tuple(event["params"]["namespace"]) for event in heard} - {()}
    assert (tree["namespace"], tree["status"]) == ([], "completed")
    assert [(node["namespace"], node["status"]) for node in tree["children"]] == [(list(below), "completed")]


async def test_what_is_wrong_is_told_and_costs_nobody_the_connection(service: Service, learner: Principal) -> None:
    async with talking(service, learner, str(uuid4())) as talk:
        for text in (
            b"{}",
            "not json",
            "[]",
            '{"id": "one"}',
            '{"id": 1}',
            "[" * 2000,
            '{"id":1,"method":"x","params":5}',
        ):
            await talk.connection.send(text)
            refused = await talk.reply()
            assert (refused["type"], refused["error"]) == ("error", "invalid_argument")
        assert (await talk.ask("run.fly"))["error"] == "unknown_command"
        assert (await talk.ask("state.get"))["error"] == "not_supported"
        assert (await talk.ask("subscription.subscribe", channels=["gossip"]))["error"] == "invalid_argument"
        assert (await talk.ask("subscription.unsubscribe", subscription_id="x"))["error"] == "no_such_subscription"
        assert (await talk.ask("subscription.reconnect", run_id="x"))["result"] == {"restored": False}
        assert (await talk.ask("run.start", assistant_id="nope"))["error"] == "invalid_argument"
        for _ in range(60):
            await talk.connection.send('{"id":1,"method":"x"}')
        replies = [(await talk.reply())["message"] for _ in range(60)]
        assert "Send at most 20 frames a second." in replies


async def test_who_unsubscribes_hears_no_more(service: Service, learner: Principal) -> None:
    async with talking(service, learner, str(uuid4())) as talk:
        made = await talk.ask("subscription.subscribe", channels=ALL)
        await talk.ask("subscription.unsubscribe", **made["result"])
        await talk.ask("run.start", assistant_id="echo", input=CHAT)
        await talk.silence()
        assert talk.events == []


async def test_a_token_comes_in_a_header_or_as_a_browser_can_send_it(service: Service, learner: Principal) -> None:
    thread_id, token = str(uuid4()), service.token(learner)
    url = address(service, thread_id)
    async with connect(url, additional_headers={"X-Api-Key": token}) as connection:
        assert (await Talk(connection).ask("subscription.subscribe", channels=ALL))["type"] == "success"
    protocols = [Subprotocol("bearer"), Subprotocol(token)]
    async with connect(url, subprotocols=protocols, origin="http://localhost:3000") as connection:  # pyright: ignore[reportArgumentType]
        assert connection.subprotocol == "bearer"
        assert (await Talk(connection).ask("subscription.subscribe", channels=ALL))["type"] == "success"


async def test_strangers_are_refused_in_a_way_that_ends_their_attempts(
    service: Service, learner: Principal, other_learner: Principal
) -> None:
    thread_id = (await service.client(learner).threads.create())["thread_id"]
    bob = {"Authorization": f"Bearer {service.token(other_learner)}"}
    assert (await closing(service, thread_id))[0] == 4401
    assert (await closing(service, thread_id, additional_headers={"Authorization": "Bearer x.y.z"}))[0] == 4401
    assert (await closing(service, thread_id, additional_headers=bob))[0] == 4404
    assert (await closing(service, "nonsense", additional_headers=bob))[0] == 4422
    with pytest.raises(InvalidStatus):
        await closing(service, thread_id, additional_headers=bob, origin="https://evil.example")


async def test_waiting_on_an_id_shows_nothing_of_whoever_uses_it_later(
    service: Service, learner: Principal, other_learner: Principal
) -> None:
    thread_id = str(uuid4())
    async with talking(service, other_learner, thread_id) as bob:
        await bob.ask("subscription.subscribe", channels=ALL)
        ada = service.client(learner)
        await ada.threads.create(thread_id=thread_id)
        await ada.runs.wait(thread_id, "approval", input={"topic": "secret plan"})
        with pytest.raises(ConnectionClosed) as closed:
            await bob.hear()
    assert bob.events == []
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4404


async def test_it_ends_with_its_thread_its_account_and_its_time(
    service: Service, learner: Principal, other_learner: Principal
) -> None:
    async def code(who: Principal, end: Callable[[str], Awaitable[None]]) -> int:
        thread_id = (await service.client(who).threads.create())["thread_id"]
        async with talking(service, who, thread_id) as talk:
            await talk.ask("subscription.subscribe", channels=ALL)
            await end(thread_id)
            with pytest.raises(ConnectionClosed) as closed:
                await talk.hear()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    async def close_account(_: str) -> None:
        service.tokens.dismiss(other_learner.user_id)

    async def wait(_: str) -> None:
        pass

    assert await code(learner, service.client(learner).threads.delete) == 4404
    assert await code(other_learner, close_account) == 1008
    service.engine.limits = replace(service.engine.limits, stream_seconds=0.5)
    assert await code(learner, wait) == 1001


async def test_an_expired_token_starts_nothing(service: Service, learner: Principal) -> None:
    async with talking(service, learner, str(uuid4())) as talk:
        await talk.ask("subscription.subscribe", channels=ALL)
        clock = service.tokens.clock
        service.tokens.clock = lambda: clock() + 3600
        with pytest.raises(ConnectionClosed) as closed:
            await talk.ask("run.start", assistant_id="echo", input=CHAT)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


async def test_a_reader_who_does_not_read_is_dropped(
    service: Service, learner: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEND_SECONDS", 0.3)
    thread_id = str(uuid4())
    client = service.client(learner)
    await client.threads.create(thread_id=thread_id)
    for _ in range(8):  # of what does not compress
        await client.runs.wait(thread_id, "steps", input={"wanted": 3, "taken": [token_hex(450_000)]})
    async with talking(service, learner, thread_id, max_queue=1) as talk:
        await talk.ask("subscription.subscribe", channels=["values"])
        async with asyncio.timeout(20):
            while service.engine.worker.hub.readers:  # noqa: ASYNC110 - nothing to wait on
                await asyncio.sleep(0.05)
