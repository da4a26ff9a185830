"""The whole story over real HTTP: from an account to a look into the past."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.api.serving import served


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A stranger at the door of a real server."""
    async with served(app) as address, httpx.AsyncClient(base_url=address, timeout=30) as stranger:
        yield stranger


async def _ok(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    return answer.json()


async def _signed_in(client: httpx.AsyncClient, email: str, password: str) -> dict[str, str]:
    pair = await _ok(await client.post("/auth/token", data={"username": email, "password": password}))
    return {"Authorization": f"Bearer {pair['access_token']}"}


async def test_from_an_account_to_the_past(client: httpx.AsyncClient, ari: httpx.AsyncClient) -> None:
    teacher = {"email": "ines@example.org", "name": "Ines", "password": "correct horse battery"}
    await _ok(await ari.post("/users", json={**teacher, "role": "instructor"}))
    as_teacher = await _signed_in(client, teacher["email"], teacher["password"])
    course = await _ok(await client.post("/courses", json={"title": "Web services"}, headers=as_teacher))
    await _ok(await client.post(f"/courses/{course['id']}/publish", headers=as_teacher))

    learner = {"email": "ada@example.org", "name": "Ada", "password": "correct horse battery"}
    user = await _ok(await client.post("/users", json=learner))
    client.headers.update(await _signed_in(client, learner["email"], learner["password"]))
    await _ok(await client.post(f"/courses/{course['id']}/enrollments", json={}))

    body = {"course_id": course["id"], "title": "Build REST API", "description": "With tests.", "priority": "high"}
    goal = await _ok(await client.post("/goals", json=body))
    assert (goal["status"], goal["progress_percentage"], goal["user_id"]) == ("pending", 0.0, user["id"])
    task = await _ok(await client.post("/tasks", json={"goal_id": goal["id"], "title": "First endpoint"}))
    code = {"task_id": task["id"], "file_path": "main.py", "content": "def health():\n    return {'status': 'ok'}\n"}
    snapshot = await _ok(await client.post("/code-snapshots", json=code))

    thread = await _ok(await client.post("/threads", json={}))
    run = {"assistant_id": "code_validation", "input": {"snapshot_id": snapshot["id"]}}
    await _ok(await client.post(f"/threads/{thread['thread_id']}/runs/wait", json=run))
    validated = await _ok(await client.get(f"/code-snapshots/{snapshot['id']}"))
    assert validated["validation_status"] == "passed"
    assert 0 <= validated["validation_score"] <= 1

    await _ok(await client.put(f"/tasks/{task['id']}", json={"status": "in_progress"}))
    finished = await _ok(await client.put(f"/tasks/{task['id']}", json={"status": "completed"}))
    assert finished["completed_at"] is not None
    half = await _ok(await client.patch(f"/goals/{goal['id']}/progress", json={"progress_percentage": 50}))
    await _ok(await client.patch(f"/goals/{goal['id']}/progress", json={"progress_percentage": 100}))

    history = await _ok(await client.get(f"/events/entities/goal/{goal['id']}/history"))
    assert [event["type"] for event in history["items"]] == ["goal.created", "goal.started", "goal.completed"]
    past = {"entity_type": "goal", "entity_id": goal["id"], "at": half["updated_at"]}
    middle = await _ok(await client.post("/events/replay", json=past))
    present = await _ok(await client.get(f"/goals/{goal['id']}"))
    assert (middle["state"]["status"], middle["state"]["progress_percentage"]) == ("in_progress", 50)
    assert (present["status"], present["progress_percentage"]) == ("completed", 100)
