"""Concurrency on a thread, cancelling, rejoining: what a run may and may not do."""

import asyncio
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from api.runs import cursor
from api.runs.hub import READS_AT_ONCE
from store.frames import PAGE_BYTES, Frame
from store.frames import of_thread as log_of
from store.principal import Principal
from tests.api.protocol.conftest import Service
from tests.api.protocol.graphs import Gate


def steps(wanted: int) -> dict[str, Any]:
    return {"wanted": wanted, "taken": []}


async def frames(service: Service, headers: dict[str, str], url: str, **request: Any) -> list[tuple[str, str, str]]:
    """Read a stream to its end as (id, event, data)."""
    found: list[tuple[str, str, str]] = []
    async with (
        httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as http,
        http.stream(request.pop("method", "GET"), url, **request) as response,
    ):
        assert response.status_code == 200, await response.aread()
        event: dict[str, str] = {}
        async for line in response.aiter_lines():
            if not line and event:
                found.append((event.get("id", ""), event["event"], event["data"]))
                event = {}
            elif line and not line.startswith(":"):
                key, _, value = line.partition(": ")
                event[key] = value
    return found


@pytest.fixture
def headers(service: Service, learner: Principal) -> dict[str, str]:
    return {"Authorization": f"Bearer {service.token(learner)}"}


async def new_thread(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


async def test_every_cut_of_a_stream_is_rejoined_exactly(
    service: Service, client: LangGraphClient, headers: dict[str, str]
) -> None:
    thread_id = await new_thread(client)
    body = {
        "assistant_id": "nested",
        "input": {"messages": [{"role": "user", "content": "a b c d e f g"}]},
        "stream_mode": ["values", "updates", "messages-tuple", "custom"],
        "stream_subgraphs": True,
    }
    whole = await frames(service, headers, f"/threads/{thread_id}/runs/stream", method="POST", json=body)
    run_id = (await client.runs.list(thread_id))[0]["run_id"]
    ids = [int(part[0]) for part in whole]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert any(part[1].startswith("messages|inner:") for part in whole)
    url = f"/threads/{thread_id}/runs/{run_id}/stream"
    for cut in range(len(whole)):
        rest = await frames(service, {**headers, "Last-Event-ID": whole[cut][0]}, url)
        expected = whole[cut + 1 :] or [whole[-1]]  # a client that has seen it all is told again that it is over
        assert rest == expected
    assert await frames(service, {**headers, "Last-Event-ID": "-1"}, url) == whole


async def test_a_fat_log_is_read_in_small_pages(
    service: Service, client: LangGraphClient, learner: Principal, headers: dict[str, str]
) -> None:
    thread_id = await new_thread(client)
    said: dict[str, Any] = {"messages": [{"role": "user", "content": "word " * 4000}, {"role": "user", "content": "a"}]}
    body: dict[str, Any] = {"assistant_id": "nested", "input": said, "stream_mode": ["values", "debug"]}
    body["stream_subgraphs"] = True
    whole = await frames(service, headers, f"/threads/{thread_id}/runs/stream", method="POST", json=body)
    pages: list[list[Frame]] = [[]]
    async with service.database.transaction(learner) as tx:
        while page := await log_of(tx, thread_id, after=pages[-1][-1].seq if pages[-1] else 0):
            pages.append(page)
    assert len(pages) > 3
    assert all(sum(len(frame.data) for frame in page[:-1]) < PAGE_BYTES for page in pages)
    assert [str(frame.seq) for page in pages for frame in page] == [part[0] for part in whole]


async def test_a_crowd_that_joins_leaves_connections_to_the_runs(
    service: Service, client: LangGraphClient, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    thread_id = await new_thread(client)
    run = await client.runs.create(thread_id, "steps", input=steps(3), stream_mode=["values"])
    await client.runs.join(thread_id, run["run_id"])
    reading, most = 0, 0

    async def watched(*arguments: Any, **options: Any) -> list[Frame]:
        nonlocal reading, most
        reading, most = reading + 1, max(most, reading + 1)
        await asyncio.sleep(0.01)
        try:
            return await log_of(*arguments, **options)
        finally:
            reading -= 1

    monkeypatch.setattr(cursor.frames, "of_thread", watched)
    url = f"/threads/{thread_id}/runs/{run['run_id']}/stream"
    joined = [frames(service, {**headers, "Last-Event-ID": "-1"}, url) for _ in range(30)]
    assert len({str(seen) for seen in await asyncio.gather(*joined)}) == 1
    assert most == READS_AT_ONCE


async def test_a_live_stream_can_be_left_and_rejoined(
    service: Service, client: LangGraphClient, headers: dict[str, str], gate: Gate
) -> None:
    thread_id = await new_thread(client)
    said: dict[str, Any] = {"messages": [{"role": "user", "content": " ".join("abcdefghijklmnop")}]}
    run = await client.runs.create(thread_id, "held_echo", input=said, stream_mode=["messages-tuple"])
    url = f"/threads/{thread_id}/runs/{run['run_id']}/stream"
    await gate.reached.wait()
    seen: list[str] = []
    last = "-1"
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as http:
        for taken in (1, 2, 3, 4):
            async with http.stream("GET", url, headers={**headers, "Last-Event-ID": last}) as response:
                got = 0
                async for line in response.aiter_lines():
                    if line.startswith("id: "):
                        last = line[4:]
                        seen.append(last)
                        got += 1
                        if got == taken:
                            break
                    if len(seen) == 4:
                        gate.open.set()
    seen += [part[0] for part in await frames(service, {**headers, "Last-Event-ID": last}, url)]
    whole = await frames(service, {**headers, "Last-Event-ID": "-1"}, url)
    assert seen == [part[0] for part in whole]
    assert whole[-1][1] == "end"


async def test_one_thread_runs_one_at_a_time_and_keeps_every_message(client: LangGraphClient) -> None:
    thread_id = await new_thread(client)
    started = await asyncio.gather(
        *(
            client.runs.create(thread_id, "echo", input={"messages": [{"role": "user", "content": f"m{index}"}]})
            for index in range(10)
        )
    )
    for run in started:
        await client.runs.join(thread_id, run["run_id"])
    state = cast("Any", await client.threads.get_state(thread_id))
    said = [message["content"] for message in state["values"]["messages"] if message["type"] == "human"]
    assert sorted(said) == sorted(f"m{index}" for index in range(10))
    assert len(state["values"]["messages"]) == 20


async def test_reject_refuses_a_busy_thread_without_telling_what_it_does(client: LangGraphClient, gate: Gate) -> None:
    thread_id = await new_thread(client)
    run = await client.runs.create(thread_id, "held_steps", input=steps(8))
    await gate.reached.wait()
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await client.runs.create(thread_id, "steps", input=steps(8), multitask_strategy="reject")
    gate.open.set()
    assert refused.value.response.status_code == 409
    assert "already running" in refused.value.response.text
    assert "wanted" not in refused.value.response.text
    await client.runs.join(thread_id, run["run_id"])


async def test_interrupt_stops_the_older_run_and_keeps_its_steps(client: LangGraphClient, gate: Gate) -> None:
    thread_id = await new_thread(client)
    older = await client.runs.create(thread_id, "held_steps", input=steps(8))
    await gate.reached.wait()
    newer = await client.runs.create(thread_id, "steps", input=steps(5), multitask_strategy="interrupt")
    await client.runs.join(thread_id, newer["run_id"])
    assert (await client.runs.get(thread_id, older["run_id"]))["status"] == "interrupted"
    assert (await client.runs.get(thread_id, newer["run_id"]))["status"] == "success"
    state = cast("Any", await client.threads.get_state(thread_id))
    assert state["values"]["taken"] == [0, 1, 2, 3, 4]


async def test_rollback_removes_the_older_run_and_its_state(client: LangGraphClient, gate: Gate) -> None:
    thread_id = await new_thread(client)
    await client.runs.wait(thread_id, "steps", input=steps(1))
    older = await client.runs.create(thread_id, "held_steps", input=steps(8))
    await gate.reached.wait()
    newer = await client.runs.create(thread_id, "steps", input=steps(3), multitask_strategy="rollback")
    await client.runs.join(thread_id, newer["run_id"])
    with pytest.raises(httpx.HTTPStatusError) as gone:
        await client.runs.get(thread_id, older["run_id"])
    assert gone.value.response.status_code == 404
    state = cast("Any", await client.threads.get_state(thread_id))
    assert state["values"]["taken"] == [0, 1, 2]
    history = await client.threads.get_history(thread_id, limit=100)
    assert all(cast("Any", past)["metadata"].get("run_id") != older["run_id"] for past in history)


async def test_cancel_keeps_what_was_already_said(client: LangGraphClient, gate: Gate) -> None:
    thread_id = await new_thread(client)
    said: dict[str, Any] = {"messages": [{"role": "user", "content": "one two three four five"}]}
    run = await client.runs.create(thread_id, "held_echo", input=said, stream_mode=["messages-tuple"])
    await gate.reached.wait()
    await client.runs.cancel(thread_id, run["run_id"], wait=True)
    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"
    parts = [part async for part in client.runs.join_stream(thread_id, run["run_id"], last_event_id="-1")]
    spoken = "".join(cast("Any", part.data)[0]["content"] for part in parts if part.event == "messages")
    assert parts[-1].event == "end"
    state = cast("Any", await client.threads.get_state(thread_id))
    kept = state["values"]["messages"][-1]
    assert kept["type"] == "ai"
    assert kept["content"] == spoken == "ONE TWO THREE "
    assert kept["response_metadata"]["partial"] is True
    assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_cancel_in_the_queue_and_twice(client: LangGraphClient, gate: Gate) -> None:
    thread_id = await new_thread(client)
    first = await client.runs.create(thread_id, "held_steps", input=steps(8))
    second = await client.runs.create(thread_id, "held_steps", input=steps(8))
    await client.runs.cancel(thread_id, second["run_id"], wait=True)
    await gate.reached.wait()
    await client.runs.cancel(thread_id, first["run_id"], wait=True)
    assert {run["status"] for run in await client.runs.list(thread_id)} == {"interrupted"}
    with pytest.raises(httpx.HTTPStatusError) as nothing:
        await client.runs.cancel(thread_id, first["run_id"])
    assert nothing.value.response.status_code == 404


async def test_cancel_before_the_first_frame(client: LangGraphClient) -> None:
    thread_id = await new_thread(client)
    for _ in range(5):
        run = await client.runs.create(thread_id, "held_steps", input=steps(8))
        await client.runs.cancel(thread_id, run["run_id"], wait=True)
        parts = [part.event async for part in client.runs.join_stream(thread_id, run["run_id"], last_event_id="-1")]
        assert parts[-1] == "end"
        assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"


async def test_a_dropped_socket_cancels_when_asked_to(
    service: Service, client: LangGraphClient, headers: dict[str, str], gate: Gate
) -> None:
    thread_id = await new_thread(client)
    body = {"assistant_id": "held_steps", "input": steps(100), "on_disconnect": "cancel"}
    async with (
        httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as http,
        http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body),
    ):
        await gate.reached.wait()
    run_id = (await client.runs.list(thread_id))[0]["run_id"]
    await client.runs.join(thread_id, run_id)
    assert (await client.runs.get(thread_id, run_id))["status"] == "interrupted"


async def test_a_dropped_socket_changes_nothing_otherwise(
    service: Service, client: LangGraphClient, headers: dict[str, str], gate: Gate
) -> None:
    thread_id = await new_thread(client)
    body = {"assistant_id": "held_steps", "input": steps(4)}
    async with (
        httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as http,
        http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body),
    ):
        await gate.reached.wait()
    gate.open.set()
    run_id = (await client.runs.list(thread_id))[0]["run_id"]
    await client.runs.join(thread_id, run_id)
    assert (await client.runs.get(thread_id, run_id))["status"] == "success"


async def test_a_question_is_answered_once(client: LangGraphClient) -> None:
    thread_id = await new_thread(client)
    await client.runs.wait(thread_id, "approval", input={"topic": "rust"})

    async def answer(index: int) -> int:
        try:
            await client.runs.wait(thread_id, "approval", command={"resume": f"yes {index}"})
        except httpx.HTTPStatusError as refused:
            return refused.response.status_code
        return 200

    assert sorted(await asyncio.gather(*map(answer, range(5)))) == [200, 409, 409, 409, 409]
    log = cast("Any", await client.threads.get_state(thread_id))["values"]["log"]
    assert len(log) == 3


async def test_a_failing_graph_tells_nothing_of_its_inside(client: LangGraphClient) -> None:
    thread_id = await new_thread(client)
    parts = [part async for part in client.runs.stream(thread_id, "steps", input=steps(-1))]
    error = [cast("Any", part.data) for part in parts if part.event == "error"]
    assert [part.event for part in parts][-2:] == ["error", "end"]
    assert error[0]["error"] == "ValueError"
    assert "secret" not in str(error)
    assert error[0]["request_id"]
    thread = await client.threads.get(thread_id)
    assert thread["status"] == "error"
    assert (await client.runs.list(thread_id))[0]["status"] == "error"


async def test_a_stateless_run_can_be_rejoined_at_its_location(service: Service, headers: dict[str, str]) -> None:
    body = {"assistant_id": "steps", "input": steps(3)}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as http:
        response = await http.post("/runs/stream", json=body)
        again = await http.get(response.headers["location"], headers={"Last-Event-ID": "-1"})
        waited = await http.post("/runs/wait", json=body)
    assert response.text == again.text
    assert waited.json() == {"wanted": 3, "taken": [0, 1, 2]}


async def test_a_thread_is_free_once_its_only_run_was_deleted(client: LangGraphClient, gate: Gate) -> None:
    thread_id = await new_thread(client)
    run = await client.runs.create(thread_id, "held_steps", input=steps(8))
    await gate.reached.wait()
    await client.runs.delete(thread_id, run["run_id"])
    assert (await client.threads.get(thread_id))["status"] != "busy"
    assert await client.runs.list(thread_id) == []
    gate.open.set()
    assert cast("Any", await client.runs.wait(thread_id, "steps", input=steps(1)))["taken"]


async def test_runs_of_one_status_are_stopped_and_the_others_go_on(
    client: LangGraphClient, service: Service, other_learner: Principal, gate: Gate
) -> None:
    thread_id = await new_thread(client)
    going = (await client.runs.create(thread_id, "held_steps", input=steps(3)))["run_id"]
    queued = (await client.runs.create(thread_id, "held_steps", input=steps(3)))["run_id"]
    await gate.reached.wait()
    await service.client(other_learner).runs.cancel_many(status="all")
    await client.runs.cancel_many(status="pending")
    assert (await client.runs.get(thread_id, queued))["status"] == "interrupted"
    assert (await client.runs.get(thread_id, going))["status"] == "running"
    gate.open.set()
    await client.runs.join(thread_id, going)
    assert (await client.runs.get(thread_id, going))["status"] == "success"


async def test_one_user_cannot_fill_the_queue(
    service: Service, headers: dict[str, str], other_learner: Principal, gate: Gate
) -> None:
    service.engine.limits = replace(service.engine.limits, runs_per_user=2)
    body = {"assistant_id": "held_steps", "input": steps(5)}
    command = {"id": 1, "method": "run.start", "params": body}
    others = {"Authorization": f"Bearer {service.token(other_learner)}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as http:
        started = [(await http.post("/runs", json=body)).json() for _ in range(2)]
        refused = [
            await http.post("/runs", json=body),
            await http.post("/runs/stream", json=body),
            await http.post(f"/threads/{uuid4()}/commands", json=command),
        ]
        assert [(each.status_code, each.headers.get("retry-after")) for each in refused] == [(429, "2")] * 3
        assert "2 runs of yours wait or run already" in refused[0].json()["detail"]
        assert (await http.post("/runs", json=body, headers=others)).status_code == 200
        gate.open.set()
        for run in started:
            await http.get(f"/runs/{run['run_id']}/join")
        assert (await http.post("/runs", json=body)).status_code == 200
