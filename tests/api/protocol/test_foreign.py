"""Nobody reaches another's threads, runs, streams or checkpoints: foreign and unknown look the same on every route."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from starlette.routing import Route

from api.protocol.router import router
from api.protocol.thread_log import own_or_new
from store import threads
from store.database import Transaction
from store.errors import NotFound
from store.principal import Principal
from tests.api.protocol.conftest import Service

OPEN = {"/info", "/ok"}
WITHOUT_IDS = {
    "/threads", "/threads/search", "/threads/count", "/threads/prune", "/runs", "/runs/stream", "/runs/wait",
    "/runs/batch", "/runs/cancel", "/assistants/search", "/assistants/count",
}  # fmt: skip
OPENS_NEW = {"/threads/{thread_id}/stream/events", "/threads/{thread_id}/commands"}
"""Clients use these with ids they have just made up: unknown is no error there, foreign is a 404 like everywhere."""
BODY: dict[str, Any] = {
    "assistant_id": "steps", "input": {"wanted": 1, "taken": []}, "values": {"wanted": 1},
    "id": 1, "method": "run.start", "params": {"assistant_id": "steps", "input": {"wanted": 1, "taken": []}},
    "channels": ["values"],
}  # fmt: skip


def operations() -> list[tuple[str, str]]:
    """Every operation of the protocol, from the router itself: a new route is tested without anyone remembering to."""
    return [
        (method, route.path)
        for route in router.routes
        if isinstance(route, Route) and route.methods
        for method in sorted(route.methods - {"HEAD"})
    ]


def with_ids() -> list[tuple[str, str]]:
    return [
        (method, path)
        for method, path in operations()
        if path not in OPEN | WITHOUT_IDS and not path.startswith("/assistants")
    ]


@pytest.fixture
async def owned(client: LangGraphClient) -> dict[str, str]:
    """A thread of Ada's that has run and waits for an answer."""
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "approval", input={"topic": "secret plan"})
    run = (await client.runs.list(thread_id))[0]
    state = await client.threads.get_state(thread_id)
    return {
        "thread_id": thread_id,
        "run_id": run["run_id"],
        "checkpoint_id": str(state["checkpoint"]["checkpoint_id"]),
    }


async def asked(service: Service, who: Principal | None, method: str, path: str, ids: dict[str, str]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {service.token(who)}"} if who else {}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=10) as http:
        return await http.request(
            method, path.replace(":path", "").format(**ids), json=None if method == "GET" else BODY
        )


async def test_foreign_is_the_same_as_unknown(
    service: Service, other_learner: Principal, owned: dict[str, str]
) -> None:
    unknown = {name: str(uuid4()) for name in owned}
    assert len(with_ids()) > 20
    for method, path in with_ids():
        answers: list[tuple[int, str]] = []
        for ids in (owned,) if path in OPENS_NEW else (owned, unknown):
            answer = await asked(service, other_learner, method, path, ids)
            detail = str(answer.json()["detail"])
            for name, value in ids.items():
                detail = detail.replace(value, name)
            answers.append((answer.status_code, detail))
        assert {status for status, _ in answers} == {404}, (method, path)
        assert len(set(answers)) == 1, (method, path)


async def test_nobody_is_let_in_without_a_token(service: Service, owned: dict[str, str]) -> None:
    for method, path in operations():
        if path not in OPEN:
            ids = {**owned, "assistant_id": str(uuid4()), "namespace": "x"}
            assert (await asked(service, None, method, path, ids)).status_code == 401, (method, path)


async def test_the_owner_finds_everything_as_it_was(
    service: Service, learner: Principal, other_learner: Principal, owned: dict[str, str]
) -> None:
    for method, path in with_ids():
        await asked(service, other_learner, method, path, owned)
    ada = service.client(learner)
    thread = await ada.threads.get(owned["thread_id"])
    assert thread["status"] == "interrupted"
    assert len(await ada.runs.list(owned["thread_id"])) == 1
    bob = service.client(other_learner)
    assert await bob.threads.search() == []
    assert await bob.threads.count() == 0


async def test_a_foreign_checkpoint_cannot_be_forked(
    service: Service, other_learner: Principal, owned: dict[str, str]
) -> None:
    bob = service.client(other_learner)
    mine = (await bob.threads.create())["thread_id"]
    for body in (
        {"checkpoint": {"thread_id": owned["thread_id"], "checkpoint_id": owned["checkpoint_id"]}},
        {"checkpoint_id": owned["checkpoint_id"]},
        {"config": {"configurable": {"thread_id": owned["thread_id"], "checkpoint_id": owned["checkpoint_id"]}}},
    ):
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await bob.http.post(f"/threads/{mine}/runs/wait", json={"assistant_id": "approval", **body})
        assert refused.value.response.status_code == 404


async def test_identity_in_a_body_is_ignored(service: Service, other_learner: Principal) -> None:
    bob = service.client(other_learner)
    thread_id = (await bob.threads.create())["thread_id"]
    body = {
        "assistant_id": "approval",
        "input": {"topic": "x"},
        "context": {"user_id": "ada", "role": "admin"},
        "config": {"configurable": {"user_id": "ada", "langgraph_auth_user": {"identity": "ada"}}},
        "user_id": "ada",
    }
    values: Any = await bob.http.post(f"/threads/{thread_id}/runs/wait", json=body)
    assert values["log"] == ["proposed x for bob"]


async def heard(
    service: Service, who: Principal, method: str, url: str, opened: asyncio.Event, **request: Any
) -> list[str]:
    """What a stream says until it ends or has been silent for two seconds; `opened` is set once it has begun."""
    lines: list[str] = []
    headers = {"Authorization": f"Bearer {service.token(who)}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=httpx.Timeout(5, read=2)) as http:
        with suppress(httpx.ReadTimeout):
            async with http.stream(method, url, **request) as response:
                assert response.status_code == 200
                opened.set()
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        lines.append(line)  # noqa: PERF401 - what came before the silence must be kept
    return lines


async def test_waiting_on_an_id_shows_nothing_of_whoever_uses_it_later(
    service: Service, learner: Principal, other_learner: Principal
) -> None:
    thread_id = str(uuid4())
    url = f"/threads/{thread_id}/stream/events"
    opened = asyncio.Event()
    listening = asyncio.create_task(heard(service, other_learner, "POST", url, opened, json={"channels": ["values"]}))
    await opened.wait()
    ada = service.client(learner)
    await ada.threads.create(thread_id=thread_id)
    await ada.runs.wait(thread_id, "approval", input={"topic": "secret plan"})
    assert await listening == []


async def test_a_thread_made_between_two_looks_is_not_taken_for_somebody_elses(
    service: Service, learner: Principal, owned: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    get, looks = threads.get, list[str]()

    async def too_early_at_first(tx: Transaction, thread_id: str) -> threads.Thread:
        looks.append(thread_id)
        if len(looks) == 1:
            raise NotFound
        return await get(tx, thread_id)

    monkeypatch.setattr(threads, "get", too_early_at_first)
    found = await own_or_new(service.engine, learner, owned["thread_id"])
    assert found is not None


@pytest.mark.parametrize("protocol", [1, 2])
async def test_the_stream_of_a_deleted_thread_shows_nothing_of_the_next_one_with_its_id(
    service: Service, learner: Principal, other_learner: Principal, protocol: int
) -> None:
    thread_id = str(uuid4())
    bob, ada = service.client(other_learner), service.client(learner)
    await bob.threads.create(thread_id=thread_id)
    await bob.runs.wait(thread_id, "approval", input={"topic": "rust"})
    url = f"/threads/{thread_id}/stream"
    opened = asyncio.Event()
    listening = asyncio.create_task(
        heard(service, other_learner, "GET", url, opened)
        if protocol == 1
        else heard(service, other_learner, "POST", f"{url}/events", opened, json={"channels": ["values"], "since": 1})
    )
    await opened.wait()
    await bob.threads.delete(thread_id)
    await ada.threads.create(thread_id=thread_id)
    await ada.runs.wait(thread_id, "approval", input={"topic": "secret plan"})
    assert not any("secret" in line for line in await listening)
