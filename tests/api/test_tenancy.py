"""Nobody sees or changes what is not theirs: every operation, asked by everybody it is not meant for."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from api.services import Services
from store.principal import SERVICE, Principal
from store.types import Role
from tests.api.conftest import AsPrincipal
from tests.api.operations import PUBLIC_ROUTES, Operation, all_operations

CANARY = "canary-7f3a"
EMAIL = "ada@canary.example"

# Catalogue entries everybody may read, and starts of new runs, which are the caller's own by construction.
NOT_SOMEBODYS = frozenset({"assistant_id", "namespace", "name"})
STARTS_OWN = frozenset({"/runs", "/runs/stream", "/runs/wait", "/runs/batch", "/threads"})
ABOUT_SELF = frozenset({"/auth/password", "/health"})

VOLATILE = frozenset(
    {
        "request_id",
        "id",
        "created_at",
        "updated_at",
        "occurred_at",
        "recorded_at",
        "correlation_id",
        "thread_id",
        "run_id",
    }
)

RUN = {"assistant_id": "goal_planning", "input": {"objective": "Learn to bake bread"}}
RAW_BODIES: Mapping[str, Any] = {
    "/runs/cancel": {"thread_id": "{thread_id}", "run_ids": ["{run_id}"]},
    "/threads/{thread_id}": {"metadata": {"mine": True}},
    "/threads/{thread_id}/state": {"values": {"messages": []}},
    "/threads/{thread_id}/state/checkpoint": {"checkpoint": {"checkpoint_id": "{checkpoint_id}"}},
    "/threads/{thread_id}/runs": RUN,
    "/threads/{thread_id}/runs/stream": RUN,
    "/threads/{thread_id}/runs/wait": RUN,
    "/threads/search": {"ids": ["{thread_id}"]},
    "/threads/prune": {"thread_ids": ["{thread_id}"]},
    # Clients make up the ids they use here, so an unknown one is no error: `protocol/test_foreign.py` asks these.
    "/threads/{thread_id}/commands": {},
    "/threads/{thread_id}/stream/events": {},
}


@dataclass
class World:
    """What Ada and Ines have, and ids that never meant anything or no longer do."""

    foreign: dict[str, str]
    random: dict[str, str]
    deleted: dict[str, str]


async def _made(client: httpx.AsyncClient, path: str, body: Mapping[str, object]) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


async def _things(client: httpx.AsyncClient) -> dict[str, str]:
    goal = await _made(client, "/goals", {"title": CANARY, "description": CANARY})
    task = await _made(client, "/tasks", {"goal_id": goal["id"], "title": CANARY})
    code = {"task_id": task["id"], "file_path": "a.py", "content": f"# {CANARY}\n"}
    snapshot = await _made(client, "/code-snapshots", code)
    ids = {"goal_id": goal["id"], "task_id": task["id"], "snapshot_id": snapshot["id"], "entity_id": goal["id"]}
    return {**ids, "entity_type": "goal", "assistant_id": "goal_planning", "namespace": "x", "name": "app.js"}


@pytest.fixture
async def world(ada: httpx.AsyncClient, ines: httpx.AsyncClient) -> World:
    """One of everything, with a word in it that must never turn up elsewhere."""
    foreign = await _things(ada)
    await _made(ada, "/users", {"email": EMAIL, "name": CANARY})
    course = await _made(ines, "/courses", {"title": CANARY, "documentation": f"# {CANARY}", "visibility": "private"})
    event = (await ada.get("/events")).json()["items"][0]
    thread = await _made(ada, "/threads", {"metadata": {"note": CANARY}})
    run = await _made(ada, f"/threads/{thread['thread_id']}/runs", RUN)
    async with asyncio.timeout(60):
        await ada.get(f"/threads/{thread['thread_id']}/runs/{run['run_id']}/join")
    state = (await ada.get(f"/threads/{thread['thread_id']}/state")).json()
    foreign |= {"user_id": "ada", "email": EMAIL, "course_id": course["id"], "event_id": event["id"]}
    foreign |= {"thread_id": thread["thread_id"], "run_id": run["run_id"]}
    foreign["checkpoint_id"] = state["checkpoint"]["checkpoint_id"]
    random = {**foreign, **{name: str(uuid4()) for name in foreign if name.endswith("_id")}}
    random |= {"email": "nobody@canary.example", "assistant_id": "goal_planning"}
    deleted = {**random, **await _things(ada)}
    for path in (f"/code-snapshots/{deleted['snapshot_id']}", f"/tasks/{deleted['task_id']}"):
        assert (await ada.delete(path)).status_code == 204
    assert (await ada.delete(f"/goals/{deleted['goal_id']}")).status_code == 204
    return World(foreign, random, deleted)


def _filled(value: Any, ids: Mapping[str, str]) -> Any:
    """A body with every id in it replaced by those of `ids`."""
    if isinstance(value, dict):
        return {
            name: ids[name] if name in ids and name.endswith("_id") else _filled(item, ids)
            for name, item in cast("dict[str, Any]", value).items()
        }
    if isinstance(value, list):
        return [_filled(item, ids) for item in cast("list[Any]", value)]
    return value.format_map(ids) if isinstance(value, str) and value.startswith("{") else value


async def _ask(client: httpx.AsyncClient, operation: Operation, ids: Mapping[str, str], **more: Any) -> httpx.Response:
    body = RAW_BODIES.get(operation.path, operation.body) if operation.method != "get" else None
    # A stream that opens where it should refuse would never end.
    async with asyncio.timeout(20):
        return await client.request(operation.method, operation.url(ids), json=_filled(body, ids), **more)


def _essence(answer: httpx.Response, ids: Mapping[str, str]) -> tuple[int, str]:
    """Status and body without what differs between any two requests."""
    text = answer.text
    if answer.headers.get("content-type", "").endswith("json") and text:
        content = json.loads(text)
        if isinstance(content, dict):
            content = {name: item for name, item in cast("dict[str, Any]", content).items() if name not in VOLATILE}
        text = json.dumps(content)
    for name, value in ids.items():
        if name.endswith("_id") and value != "ada":
            text = text.replace(value, "*")
    return answer.status_code, text


async def _rows(services: Services) -> Any:
    async with services.database.transaction(SERVICE) as tx:
        return await tx.fetch_value(
            """
            SELECT jsonb_build_object(
                'events', (SELECT count(*) FROM events WHERE user_id IN ('ada', 'ines')),
                'goals', (SELECT jsonb_agg(g ORDER BY g.id) FROM goals AS g WHERE g.user_id = 'ada'),
                'tasks', (SELECT jsonb_agg(t ORDER BY t.id) FROM tasks AS t WHERE t.user_id = 'ada'),
                'code', (SELECT jsonb_agg(s ORDER BY s.id) FROM code_snapshots AS s WHERE s.user_id = 'ada'),
                'courses', (SELECT jsonb_agg(c ORDER BY c.id) FROM courses AS c WHERE c.owner_id = 'ines'),
                'threads', (SELECT jsonb_agg(t ORDER BY t.thread_id) FROM threads AS t WHERE t.user_id = 'ada'),
                'runs', (SELECT jsonb_agg(r.run_id ORDER BY r.run_id) FROM runs AS r WHERE r.user_id = 'ada'))
            """
        )


STRANGERS = {
    "learner": Principal("bob", Role.LEARNER),
    "instructor": Principal("ivan", Role.INSTRUCTOR),
    "admin": Principal("ari", Role.ADMIN),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", STRANGERS)
async def test_no_operation_shows_or_changes_what_is_somebody_elses(
    who: str, world: World, app: FastAPI, services: Services, client_of: AsPrincipal
) -> None:
    stranger = client_of(STRANGERS[who])
    before = await _rows(services)
    leaks: list[str] = []
    asked = 0
    for operation in all_operations(app):
        if operation.path in PUBLIC_ROUTES | STARTS_OWN | ABOUT_SELF or operation.public:
            continue
        if who == "admin" and operation.path.startswith("/users"):
            continue  # looking after accounts is what an admin is for
        random = await _ask(stranger, operation, world.random)
        for kind, ids in (("foreign", world.foreign), ("deleted", world.deleted)):
            answer = await _ask(stranger, operation, ids)
            asked += 1
            listing = operation.method == "get" and not operation.parameters
            if CANARY in answer.text or EMAIL in answer.text:
                leaks.append(f"{operation} shows {kind} content: {answer.text[:200]}")
            if not listing and _essence(answer, ids) != _essence(random, world.random):
                leaks.append(f"{operation} tells {kind} from unknown: {answer.text[:200]} | {random.text[:200]}")
            if set(operation.parameters) - NOT_SOMEBODYS and answer.is_success:
                leaks.append(f"{operation} succeeds on {kind}")
            for name in operation.query:
                filtered = await _ask(stranger, operation, ids, params={name: ids.get(name, "bread")})
                if CANARY in filtered.text:
                    leaks.append(f"{operation}?{name} shows {kind} content")
    assert not leaks, "\n".join(leaks)
    assert asked > 100
    assert await _rows(services) == before


async def test_every_operation_asks_who_is_calling(
    world: World, app: FastAPI, anonymous: httpx.AsyncClient, services: Services, learner: Principal
) -> None:
    issued = services.tokens.issue(learner).access_token
    clock = services.tokens.clock
    services.tokens.clock = lambda: clock() + 3600
    tokens = {"none": None, "expired": issued, "nonsense": "x.y.z"}
    open_doors: list[str] = []
    for operation in all_operations(app):
        if operation.path in PUBLIC_ROUTES or operation.public:
            continue
        for kind, token in tokens.items():
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = await _ask(anonymous, operation, world.foreign, headers=headers)
            if answer.status_code != 401 or "www-authenticate" not in answer.headers:
                open_doors.append(f"{operation} answers {answer.status_code} to a token that is {kind}")
    assert open_doors == []


async def test_the_owner_is_not_locked_out(world: World, ada: httpx.AsyncClient, ines: httpx.AsyncClient) -> None:
    for path in ("/goals/{goal_id}", "/tasks/{task_id}", "/code-snapshots/{snapshot_id}", "/events/{event_id}"):
        assert CANARY in (await ada.get(path.format_map(world.foreign))).text
    assert CANARY in (await ada.get("/threads/{thread_id}".format_map(world.foreign))).text
    assert CANARY in (await ines.get("/courses/{course_id}".format_map(world.foreign))).text


async def test_documented_operations_say_whether_they_are_public(app: FastAPI) -> None:
    public = {str(operation) for operation in all_operations(app) if operation.public}
    assert public == {
        "POST /users",
        "POST /auth/token",
        "POST /auth/refresh",
        "POST /auth/sign-in",
        "POST /auth/revoke",
        "GET /.well-known/jwks.json",
        "GET /healthz",
        "GET /readyz",
        "GET /info",
        "GET /ok",
    }
