"""Schemathesis over the whole OpenAPI document: no 5xx, no undocumented status, no answer that breaks its schema."""

# Schemathesis leaves the type parameters of its own classes open.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeArgument=false
# pyright: reportUnknownParameterType=false

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as experiment
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.openapi import operations
from api.runs.engine import Limits
from api.services import Services, assembled
from api.settings import Settings
from graphs.opening import Offline
from store.database import Database
from store.principal import Principal
from tests.api.operations import PUBLIC_ROUTES, served_raw
from tests.api.serving import served

EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "5"))
SEED = int(os.environ.get("CONTRACT_SEED", "1"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]

# Closing the caller's account or changing its password would end the experiment.
LEFT_OUT = {"/users/{user_id}/deactivate"}


RUN: dict[str, Any] = {"assistant_id": "goal_planning", "input": {"objective": "Learn to bake bread"}}


@pytest.fixture
async def services(settings: Settings, database: Database) -> AsyncIterator[Services]:
    """Services whose streams end before anybody waits for them."""
    limits = Limits(stream_seconds=0.2)
    async with assembled(settings, database, offline=Offline.HASH, relaying=False, limits=limits) as opened:
        yield opened


async def _own_things(client: httpx.AsyncClient) -> dict[str, str]:
    """One of everything, so that requests do not only meet 404."""
    user = (await client.post("/users", json={"email": "ari@example.org", "name": "Ari"})).json()
    course = (await client.post("/courses", json={"title": "Web"})).json()
    await client.post(f"/courses/{course['id']}/publish")
    goal = (await client.post("/goals", json={"title": "Learn", "course_id": course["id"]})).json()
    task = (await client.post("/tasks", json={"goal_id": goal["id"], "title": "Read"})).json()
    code = {"task_id": task["id"], "file_path": "a.py", "content": "x = 1\n"}
    snapshot = (await client.post("/code-snapshots", json=code)).json()
    event = (await client.get("/events")).json()["items"][0]
    thread = (await client.post("/threads", json={})).json()
    run = (await client.post(f"/threads/{thread['thread_id']}/runs", json=RUN)).json()
    await client.get(f"/threads/{thread['thread_id']}/runs/{run['run_id']}/join", timeout=60)
    state = (await client.get(f"/threads/{thread['thread_id']}/state")).json()
    return {
        "assistant_id": "goal_planning",
        "namespace": "",
        "thread_id": thread["thread_id"],
        "run_id": run["run_id"],
        "checkpoint_id": state["checkpoint_id"],
        "user_id": user["id"],
        "email": user["email"],
        "course_id": course["id"],
        "goal_id": goal["id"],
        "task_id": task["id"],
        "snapshot_id": snapshot["id"],
        "event_id": event["id"],
        "entity_type": "goal",
        "entity_id": goal["id"],
    }


def _that_starts(case: Case) -> Case:
    """Let a generated run name a graph there is, and begin at once."""
    if isinstance(case.body, dict):
        case.body = {**case.body, "assistant_id": RUN["assistant_id"], "after_seconds": 0}
    return case


def _attack(url: str, headers: Mapping[str, str], own: Mapping[str, str]) -> int:
    """Ask every operation good and bad questions about our own things and about nothing; returns how many."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()  # pyright: ignore[reportAttributeAccessIssue] - an error has raised long before
        if operation.path in LEFT_OUT or operation.method.lower() == "delete":
            continue
        names = [part.partition("}")[0] for part in operation.path.split("{")[1:]]
        good, bad = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
        cases: list[st.SearchStrategy[Case]] = [operation.as_strategy(good)]
        if list(operation.iter_parameters()) or operation.body:
            cases.append(operation.as_strategy(bad))
        if names:
            cases.append(operation.as_strategy(good, path_parameters={name: own[name] for name in names}))
        if operation.path.endswith(("/runs", "/runs/stream", "/runs/wait")) and operation.body:
            cases.append(cases[-1].map(_that_starts))

        @seed(SEED)
        @experiment(
            max_examples=EXAMPLES * len(cases),
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(case=st.one_of(cases))
        def ask(case: Case) -> None:
            nonlocal asked
            asked += 1
            case.validate_response(case.call(headers=dict(headers)), checks=CHECKS)

        ask()
    return asked


# The service runs beside the experiment, in the same process, and uses `random` for its own purposes.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.timeout(900)
async def test_every_answer_is_documented(app: FastAPI, services: Services, admin: Principal) -> None:
    headers = {"Authorization": f"Bearer {services.tokens.issue(admin).access_token}"}
    async with served(app) as address:
        async with httpx.AsyncClient(base_url=address, headers=headers) as client:
            own = await _own_things(client)
        asked = await asyncio.to_thread(_attack, address, headers, own)
    assert asked > 20 * EXAMPLES


async def test_every_body_and_every_problem_has_an_example(app: FastAPI) -> None:
    document = app.openapi()
    bare: list[str] = []
    for method, path, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            name = media["schema"].get("$ref", "").rpartition("/")[2]
            schema: dict[str, Any] = document["components"]["schemas"].get(name, {})
            if "examples" not in schema and "urlencoded" not in "".join(operation["requestBody"]["content"]):
                bare.append(f"{method} {path}: body")
        for status, response in operation["responses"].items():
            problem = response.get("content", {}).get("application/problem+json")
            if status >= "400" and (problem is None or "example" not in problem):
                bare.append(f"{method} {path}: {status}")
        if "summary" not in operation:
            bare.append(f"{method} {path}: summary")
    assert bare == []


async def test_what_is_served_is_listed_and_what_is_listed_is_served(app: FastAPI) -> None:
    listed = {(method, path) for method, path, _ in operations(app.openapi())}
    of_fastapi = {(method, path) for method, path, _ in operations({"paths": _known_to_fastapi(app)})}
    raw = {(each.method, each.path) for each in served_raw(app.routes) if each.path not in PUBLIC_ROUTES}
    assert len(raw) > 45
    assert listed == raw | of_fastapi


def _known_to_fastapi(app: FastAPI) -> dict[str, Any]:
    return get_openapi(title="", version="", routes=app.routes)["paths"]


async def test_the_mission_endpoints_are_all_there(app: FastAPI) -> None:
    expected = """
        POST /goals, GET /goals/{goal_id}, GET /goals, PUT /goals/{goal_id}, DELETE /goals/{goal_id},
        PATCH /goals/{goal_id}/progress, POST /tasks, GET /tasks/{task_id}, GET /tasks, PUT /tasks/{task_id},
        DELETE /tasks/{task_id}, POST /code-snapshots, GET /code-snapshots/{snapshot_id}, GET /code-snapshots,
        PUT /code-snapshots/{snapshot_id}, PATCH /code-snapshots/{snapshot_id}/validation,
        GET /code-snapshots/tasks/{task_id}/latest, DELETE /code-snapshots/{snapshot_id}, POST /events,
        GET /events/{event_id}, GET /events, GET /events/entities/{entity_type}/{entity_id}/history,
        POST /events/replay, POST /users, GET /users/{user_id}, GET /users/email/{email}, PUT /users/{user_id},
        POST /users/{user_id}/deactivate, POST /courses, GET /courses/{course_id}, GET /courses,
        PUT /courses/{course_id}, POST /courses/{course_id}/publish, POST /courses/{course_id}/archive
    """
    wanted = {" ".join(entry.split()) for entry in expected.split(",")}
    assert len(wanted) == 34
    assert wanted <= {f"{method.upper()} {path}" for method, path, _ in operations(app.openapi())}
