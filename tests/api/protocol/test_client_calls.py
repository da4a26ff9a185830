"""The calls agent-chat-ui and LangGraph Studio make, in their order and spelling, and what each of them lives on."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid5

import httpx
import orjson
import pytest

from store.principal import Principal
from tests.api.protocol.conftest import Service

LANGGRAPH = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""In which every LangGraph server names the assistants of its graphs."""
BLOCKS: dict[str, Any] = {"messages": [{"type": "human", "id": "q1", "content": [{"type": "text", "text": "one two"}]}]}


async def browser(service: Service, who: Principal, origin: str, **headers: str) -> httpx.AsyncClient:
    """A page at an origin, with the headers its client sends."""
    return httpx.AsyncClient(
        base_url=service.url, headers={"Origin": origin, "x-api-key": service.token(who), **headers}, timeout=20
    )


@pytest.fixture
async def chat(service: Service, learner: Principal) -> AsyncIterator[httpx.AsyncClient]:
    """agent-chat-ui, served from its development port."""
    async with await browser(service, learner, "http://localhost:3000", **{"X-Auth-Scheme": ""}) as opened:
        yield opened


@pytest.fixture
async def studio(service: Service, learner: Principal) -> AsyncIterator[httpx.AsyncClient]:
    """Studio, which sends JSON as text/plain to spare itself a preflight."""
    plain = {"content-type": "text/plain;charset=UTF-8"}
    async with await browser(service, learner, "https://smith.langchain.com", **plain) as opened:
        yield opened


async def events(http: httpx.AsyncClient, url: str, body: dict[str, Any]) -> tuple[httpx.Headers, list[dict[str, str]]]:
    """Start a run; return the head of the answer and its events, heartbeats left out."""
    found: list[dict[str, str]] = []
    async with http.stream("POST", url, content=orjson.dumps(body)) as response:
        assert response.status_code == 200, await response.aread()
        part: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line and not line.startswith(":"):
                key, _, value = line.partition(": ")
                part[key] = value
            elif part:
                found.append(part)
                part = {}
    return response.headers, found


def exposed(headers: httpx.Headers) -> set[str]:
    return {name.strip().lower() for name in headers["access-control-expose-headers"].split(",")}


async def test_agent_chat_ui_talks_and_reloads(chat: httpx.AsyncClient) -> None:
    assert (await chat.get("/info")).status_code == 200
    by_graph: dict[str, Any] = {"metadata": {"graph_id": "echo"}, "limit": 100}
    assert (await chat.post("/threads/search", json=by_graph)).json() == []

    thread_id = (await chat.post("/threads", json={"metadata": {}})).json()["thread_id"]
    asked: dict[str, Any] = {
        "assistant_id": "echo",
        "input": BLOCKS,
        "stream_mode": ["values", "messages-tuple", "custom"],
        "stream_subgraphs": True,
        "stream_resumable": True,
        "on_disconnect": "continue",
        "context": {},
        "config": {"configurable": {}},
    }
    head, parts = await events(chat, f"/threads/{thread_id}/runs/stream", asked)
    assert {"location", "content-location"} <= exposed(head)
    assert head["access-control-allow-origin"] in ("*", "http://localhost:3000")
    assert all(part["id"].isdigit() for part in parts)
    values = [orjson.loads(part["data"]) for part in parts if part["event"] == "values"]
    assert values[-1]["messages"][0]["content"] == BLOCKS["messages"][0]["content"]
    assert values[-1]["messages"][-1]["content"] == "ONE TWO "

    again = await chat.get(head["location"], headers={"Last-Event-ID": "-1"})
    assert [line[4:] for line in again.text.splitlines() if line.startswith("id: ")] == [part["id"] for part in parts]
    listed = (await chat.post("/threads/search", json=by_graph)).json()
    assert [thread["values"]["messages"][0]["id"] for thread in listed] == ["q1"]
    assistant: dict[str, Any] = {"metadata": {"assistant_id": listed[0]["metadata"]["assistant_id"]}, "limit": 100}
    assert (await chat.post("/threads/search", json=assistant)).json() == listed

    history = (await chat.post(f"/threads/{thread_id}/history", json={"limit": 1000})).json()
    assert history[0]["checkpoint"]["thread_id"] == thread_id
    before = next(state for state in history if len(state["values"].get("messages", [])) == 1)
    regenerate = {**asked, "input": None, "checkpoint": before["checkpoint"]}
    _, parts = await events(chat, f"/threads/{thread_id}/runs/stream", regenerate)
    values = [orjson.loads(part["data"]) for part in parts if part["event"] == "values"]
    assert [message["type"] for message in values[-1]["messages"]] == ["human", "ai"]


async def test_agent_chat_ui_shows_a_question_and_answers_it(chat: httpx.AsyncClient) -> None:
    thread_id = (await chat.post("/threads", json={})).json()["thread_id"]
    asked = {
        "assistant_id": "approval",
        "input": {"topic": "rust"},
        "stream_mode": ["values"],
        "stream_subgraphs": True,
    }
    _, parts = await events(chat, f"/threads/{thread_id}/runs/stream", asked)
    last = [orjson.loads(part["data"]) for part in parts if part["event"] == "values"][-1]
    history = (await chat.post(f"/threads/{thread_id}/history", json={})).json()
    assert history[0]["tasks"][0]["interrupts"][0]["value"] == last["__interrupt__"][0]["value"]
    answer = {**asked, "input": None, "command": {"resume": {"decisions": [{"type": "approve"}]}}}
    _, parts = await events(chat, f"/threads/{thread_id}/runs/stream", answer)
    last = [orjson.loads(part["data"]) for part in parts if part["event"] == "values"][-1]
    assert last["log"][-1] == "done"


async def test_studio_finds_its_way_around(studio: httpx.AsyncClient) -> None:
    async def post(url: str, body: dict[str, Any]) -> Any:
        answer = await studio.post(url, content=orjson.dumps(body))
        assert answer.is_success, (url, answer.text)
        return answer.json()

    async def get(url: str) -> Any:
        answer = await studio.get(url)
        assert answer.is_success, (url, answer.text)
        return answer.json()

    info = await get("/info")
    assert tuple(map(int, info["version"].split("."))) >= (0, 16)
    assert info["flags"]["assistants"] is True
    found = await post("/assistants/search", {"limit": 100, "offset": 0, "metadata": {"created_by": "system"}})
    nested = next(one for one in found if one["graph_id"] == "nested")
    home = f"/assistants/{nested['assistant_id']}"
    assert UUID(nested["assistant_id"]) == uuid5(LANGGRAPH, "nested")
    assert await get(home) == nested
    assert {"nodes", "edges"} <= (await get(f"{home}/graph?xray=true")).keys()
    assert {"input_schema", "output_schema", "state_schema", "context_schema"} <= (await get(f"{home}/schemas")).keys()
    assert "inner" in await get(f"{home}/subgraphs?recurse=true")
    assert "inner" in await get(f"{home}/subgraphs/inner")
    assert [one["version"] for one in await post(f"{home}/versions", {"limit": 10, "offset": 0})] == [1]

    thread_id = (await post("/threads", {"metadata": {"graph_id": "nested"}}))["thread_id"]
    run = {
        "assistant_id": nested["assistant_id"], "input": BLOCKS, "stream_mode": ["messages", "debug"],
        "stream_subgraphs": True, "multitask_strategy": "rollback", "metadata": {"from_studio": True},
    }  # fmt: skip
    _, parts = await events(studio, f"/threads/{thread_id}/runs/stream", run)
    assert parts[0]["event"] == "metadata"
    names = {part["event"].partition("|")[0] for part in parts}
    assert {"messages/metadata", "messages/partial", "debug"} <= names
    checkpoints = [
        data["payload"]
        for part in parts
        if part["event"].startswith("debug") and (data := orjson.loads(part["data"]))["type"] == "checkpoint"
    ]
    assert all({"checkpoint", "parent_checkpoint"} <= payload.keys() for payload in checkpoints)

    assert [one["thread_id"] for one in await post("/threads/search", {"metadata": {"graph_id": "nested"}})] == [
        thread_id
    ]
    home = f"/threads/{thread_id}"
    history = await post(f"{home}/history", {"limit": 10})
    assert await get(f"{home}/history?limit=10") == history
    state = await get(f"{home}/state?subgraphs=true")
    assert state["values"] == history[0]["values"]
    checkpoint = state["checkpoint"]
    assert (await get(f"{home}/state/{checkpoint['checkpoint_id']}"))["values"] == state["values"]
    assert (await post(f"{home}/state/checkpoint", {"checkpoint": checkpoint}))["values"] == state["values"]
    note = {"values": {"messages": [{"role": "user", "content": "more"}]}, "as_node": "inner", "checkpoint": checkpoint}
    forked = await post(f"{home}/state", note)
    assert forked["checkpoint"]["checkpoint_id"] != checkpoint["checkpoint_id"]
    assert len((await get(f"{home}/state"))["values"]["messages"]) == 3


async def test_studio_in_a_browser_may_ask_a_local_server(studio: httpx.AsyncClient) -> None:
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key,x-auth-scheme",
        "Access-Control-Request-Private-Network": "true",
    }
    allowed = await studio.options("/threads/search", headers=preflight)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-private-network"] == "true"
    assert allowed.headers["access-control-allow-origin"] in ("*", "https://smith.langchain.com")
