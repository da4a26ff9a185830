"""Nobody reaches another's threads, runs, streams or checkpoints: foreign and unknown look the same on every route."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from starlette.routing import Route

from api.protocol.router import router
from store.principal import Principal
from tests.api.protocol.conftest import Service

OPEN = {"/info", "/ok"}
WITHOUT_IDS = {
    "/threads", "/threads/search", "/threads/count", "/runs", "/runs/stream", "/runs/wait", "/runs/batch",
    "/runs/cancel", "/assistants/search", "/assistants/count",
}  # fmt: skip
SILENT = {("POST", "/threads/{thread_id}/stream/events"), ("POST", "/threads/{thread_id}/commands")}
"""Clients open these before the thread exists, so an unknown id is no error; what they reveal has tests of its own."""
BODY: dict[str, Any] = {"assistant_id": "steps", "input": {"wanted": 1, "taken": []}, "values": {"wanted": 1}}


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
        if path not in OPEN | WITHOUT_IDS and not path.startswith("/assistants") and (method, path) not in SILENT
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
        for ids in (owned, unknown):
            answer = await asked(service, other_learner, method, path, ids)
            detail = str(answer.json()["detail"])
            for name, value in ids.items():
                detail = detail.replace(value, name)
            answers.append((answer.status_code, detail))
        assert answers[0] == answers[1], (method, path)
        assert answers[0][0] == 404, (method, path)


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


async def test_the_second_protocol_stays_silent(
    service: Service, other_learner: Principal, owned: dict[str, str]
) -> None:
    headers = {"Authorization": f"Bearer {service.token(other_learner)}"}
    url = f"/threads/{owned['thread_id']}"
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=httpx.Timeout(5, read=0.5)) as http:
        start = {"id": 1, "method": "run.start", "params": {"assistant_id": "steps", "input": {"wanted": 1}}}
        reply = (await http.post(f"{url}/commands", json=start, timeout=5)).json()
        assert reply["type"] == "error"
        answer = {"id": 2, "method": "input.respond", "params": {"interrupt_id": "x", "response": "yes"}}
        assert (await http.post(f"{url}/commands", json=answer, timeout=5)).json()["type"] == "error"
        async with http.stream("POST", f"{url}/stream/events", json={"channels": ["values"]}) as response:
            parts = response.aiter_bytes()
            with pytest.raises(httpx.ReadTimeout):
                await anext(parts)
