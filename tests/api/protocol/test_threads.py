"""Threads and their state: find, read, change, fork, copy, delete, the way every client spells it."""

from typing import Any, cast
from unittest.mock import ANY
from uuid import uuid4

import httpx
import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk.client import LangGraphClient

from store.principal import Principal
from tests.api.protocol.conftest import Service
from tests.api.protocol.graphs import Gate

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello there"}]}


def steps(wanted: int) -> dict[str, Any]:
    return {"wanted": wanted, "taken": []}


@pytest.fixture
async def http(service: Service, learner: Principal) -> Any:
    headers = {"x-api-key": service.token(learner)}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=20) as opened:
        yield opened


async def new_thread(client: LangGraphClient, **more: Any) -> str:
    return (await client.threads.create(**more))["thread_id"]


async def values_of(client: LangGraphClient, thread_id: str) -> Any:
    return cast("Any", await client.threads.get_state(thread_id))["values"]


async def test_an_empty_thread_has_no_checkpoint(client: LangGraphClient) -> None:
    thread_id = await new_thread(client)
    state = await client.threads.get_state(thread_id)
    assert state["checkpoint"] is None
    assert state["values"] == {}
    assert await client.threads.get_history(thread_id) == []


async def test_the_first_run_names_the_graph_for_searches(client: LangGraphClient) -> None:
    thread_id = await new_thread(client)
    await client.runs.wait(thread_id, "echo", input=HELLO)
    found = await client.threads.search(metadata={"graph_id": "echo"})
    assert [thread["thread_id"] for thread in found] == [thread_id]
    assert found[0]["metadata"] is not None
    assert await client.threads.search(metadata={"assistant_id": found[0]["metadata"]["assistant_id"]}) == found
    assert await client.threads.search(metadata={"graph_id": "steps"}) == []
    assert await client.threads.search(status="idle", ids=[thread_id]) == found
    assert cast("Any", found[0]["values"])["messages"][-1]["content"] == "HELLO THERE "


async def test_searches_have_pages(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    for number in range(3):
        await new_thread(client, metadata={"number": number})
    page = await http.post("/threads/search", json={"limit": 2, "sort_by": "created_at", "sort_order": "asc"})
    assert [thread["metadata"]["number"] for thread in page.json()] == [0, 1]
    assert (page.headers["x-pagination-total"], page.headers["x-pagination-next"]) == ("3", "2")
    chosen = await http.post("/threads/search", json={"select": ["thread_id"]})
    assert all(set(thread) == {"thread_id"} for thread in chosen.json())


async def test_history_is_paged_by_any_form_of_before(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(client)
    await client.runs.wait(thread_id, "steps", input=steps(4))
    whole = cast("list[Any]", await client.threads.get_history(thread_id, limit=100))
    middle = whole[2]["checkpoint"]
    for before in (middle["checkpoint_id"], middle, {"configurable": middle}):
        older = await http.post(f"/threads/{thread_id}/history", json={"before": before, "limit": 100})
        assert [state["checkpoint_id"] for state in older.json()] == [state["checkpoint_id"] for state in whole[3:]]


async def test_a_state_can_be_changed_and_forked(client: LangGraphClient) -> None:
    thread_id = await new_thread(client)
    await client.runs.wait(thread_id, "approval", input={"topic": "rust"})
    changed = cast("Any", await client.threads.update_state(thread_id, {"topic": "go"}, as_node="propose"))
    assert changed["checkpoint"]["thread_id"] == thread_id
    assert (await client.threads.get(thread_id))["status"] == "interrupted"
    history = cast("list[Any]", await client.threads.get_history(thread_id))
    asked = next(state for state in history if state["next"] == ["ask"] and state["values"]["topic"] == "rust")
    await client.runs.wait(thread_id, "approval", checkpoint=asked["checkpoint"])
    assert cast("Any", await client.threads.get_state(thread_id))["values"]["topic"] == "rust"
    answered = cast("Any", await client.runs.wait(thread_id, "approval", command={"resume": "fine"}))
    assert answered["log"][-2:] == ["answer fine", "done"]
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await client.threads.update_state(thread_id, {"topic": "x"}, as_node="nobody")
    assert refused.value.response.status_code == 400


async def test_breakpoints_stop_and_go_on(client: LangGraphClient) -> None:
    thread_id = await new_thread(client)
    await client.runs.wait(thread_id, "steps", input=steps(3), interrupt_before=["step"])
    assert (await client.threads.get(thread_id))["status"] == "interrupted"
    values = cast("Any", await client.runs.wait(thread_id, "steps", input=None))
    assert values["taken"] == [0, 1, 2]


async def test_only_what_is_selected_comes_back(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(client)
    await client.runs.wait(thread_id, "steps", input=steps(2))
    for query in ("select=values.taken&select=next", 'select=["values.taken","next"]', "select=values.taken,next"):
        answer = await http.get(f"/threads/{thread_id}/state?{query}")
        assert answer.json() == {"values": {"taken": [0, 1]}, "next": []}


async def test_a_copy_lives_its_own_life(client: LangGraphClient) -> None:
    thread_id = await new_thread(client)
    await client.runs.wait(thread_id, "echo", input=HELLO)
    copied = cast("Any", await client.threads.copy(thread_id))["thread_id"]
    await client.runs.wait(copied, "echo", input=HELLO)
    assert len((await values_of(client, copied))["messages"]) == 4
    assert len((await values_of(client, thread_id))["messages"]) == 2


async def test_deleting_a_thread_takes_everything(service: Service, client: LangGraphClient) -> None:
    thread_id = await new_thread(client)
    await client.runs.wait(
        thread_id,
        "nested",
        input=HELLO,
    )
    await client.threads.delete(thread_id)
    from store.principal import SERVICE

    async with service.database.transaction(SERVICE) as tx:
        left = await tx.fetch_value(
            """
            SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM run_frames) + (SELECT count(*) FROM checkpoints)
                + (SELECT count(*) FROM checkpoint_blobs) + (SELECT count(*) FROM checkpoint_writes)
            """
        )
    assert left == 0
    with pytest.raises(httpx.HTTPStatusError):
        await client.threads.get(thread_id)


async def test_bodies_are_read_whatever_their_type_says(http: httpx.AsyncClient) -> None:
    answer = await http.post("/assistants/search", content=b'{"limit": 2}', headers={"content-type": "text/plain"})
    assert len(answer.json()) == 2
    for content, status in ((b"{", 400), (b"[]", 422), (b'{"limit": "x"}', 422)):
        refused = await http.post("/threads/search", content=content)
        assert refused.status_code == status
        assert isinstance(refused.json()["detail"], str)
    bad = await http.get("/threads/not-a-uuid")
    assert (bad.status_code, bad.json()["detail"]) == (422, "Invalid thread ID: must be a UUID")


async def test_every_graph_is_an_assistant(client: LangGraphClient) -> None:
    found = await client.assistants.search(limit=100)
    assert {assistant["graph_id"] for assistant in found} >= {"echo", "approval", "nested"}
    nested = next(assistant for assistant in found if assistant["graph_id"] == "nested")
    drawn = await client.assistants.get_graph(nested["assistant_id"], xray=True)
    assert any("inner" in str(node["id"]) for node in drawn["nodes"])
    schemas = await client.assistants.get_schemas(nested["assistant_id"])
    assert "messages" in cast("Any", schemas["state_schema"])["properties"]
    assert "inner" in await client.assistants.get_subgraphs(nested["assistant_id"])


async def test_cors_and_private_network(http: httpx.AsyncClient) -> None:
    ask = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    allowed = await http.options("/threads/search", headers=ask)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-private-network"] == "true"
    shown = await http.get("/info", headers={"Origin": "http://localhost:3000"})
    exposed = shown.headers["access-control-expose-headers"].lower()
    assert all(name in exposed for name in ("location", "content-location", "x-pagination-total"))


@pytest.fixture
def remote(client: LangGraphClient) -> RemoteGraph:
    return RemoteGraph("approval", client=client)


async def test_the_past_of_threads_can_be_forgotten_and_they_go_on(client: LangGraphClient) -> None:
    done, asking = await new_thread(client), await new_thread(client)
    await client.runs.wait(done, "steps", input=steps(3))
    await client.runs.wait(asking, "approval", input={"topic": "rust"})
    before = await client.threads.get_state(done)
    pruned = await client.threads.prune([done, asking, str(uuid4())], strategy="keep_latest")
    assert pruned == {"pruned_count": 2}
    assert await client.threads.get_state(done) == {**before, "parent_checkpoint": ANY, "parent_checkpoint_id": ANY}
    assert [len(await client.threads.get_history(thread_id)) for thread_id in (done, asking)] == [1, 1]
    further = cast("Any", await client.runs.wait(done, "steps", input={"wanted": 5}))
    assert further["taken"] == [0, 1, 2, 3, 4]
    answered = cast("Any", await client.runs.wait(asking, "approval", command={"resume": "yes"}))
    assert answered["log"][-1] == "done"


async def test_threads_can_be_deleted_together_by_their_owner(
    client: LangGraphClient, service: Service, other_learner: Principal, gate: Gate
) -> None:
    mine, going = await new_thread(client), await new_thread(client)
    await client.runs.create(going, "held_steps", input=steps(5))
    await gate.reached.wait()
    assert await client.threads.prune([going], strategy="keep_latest") == {"pruned_count": 0}
    assert await service.client(other_learner).threads.prune([mine, going]) == {"pruned_count": 0}
    assert await client.threads.prune([mine, mine, going]) == {"pruned_count": 2}
    assert await client.threads.count() == 0


async def test_remote_graph_runs_as_if_it_were_here(remote: RemoteGraph, client: LangGraphClient) -> None:
    config: Any = {"configurable": {"thread_id": await new_thread(client)}}
    assert (await remote.aget_state(config)).values == {}
    first = await remote.ainvoke({"topic": "rust"}, config)
    assert first["__interrupt__"][0]["value"] == {"question": "Do rust?"}
    state = await remote.aget_state(config)
    assert state.next == ("ask",)
    from langgraph.types import Command

    second = await remote.ainvoke(Command(resume="yes"), config)
    assert second["log"][-1] == "done"
    history = [state async for state in remote.aget_state_history(config)]
    assert history[0].values["log"][-1] == "done"
    changed = await remote.aupdate_state(config, {"topic": "zig"}, as_node="commit")
    assert cast("Any", changed)["configurable"]["checkpoint_id"]
    assert {node.id for node in (await remote.aget_graph()).nodes.values()} >= {"propose", "ask", "commit"}


async def test_remote_graph_streams_subgraphs(client: LangGraphClient) -> None:
    remote = RemoteGraph("nested", client=client)
    config: Any = {"configurable": {"thread_id": await new_thread(client)}}
    found = [
        cast("Any", part)
        async for part in remote.astream(HELLO, config, stream_mode=["updates", "messages"], subgraphs=True)
    ]
    spaces = {part[0] for part in found}
    assert () in spaces
    assert any(space and space[0].startswith("inner:") for space in spaces)
    said = [part[2][0]["content"] for part in found if part[1] == "messages"]
    assert "".join(said) == "HELLO THERE "
