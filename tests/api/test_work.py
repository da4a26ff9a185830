"""Tasks and code snapshots over HTTP."""

from typing import Any

import httpx
import pytest


@pytest.fixture
async def goal(ada: httpx.AsyncClient) -> dict[str, Any]:
    """A goal of Ada's."""
    return (await ada.post("/goals", json={"title": "Build REST API"})).json()


@pytest.fixture
async def task(ada: httpx.AsyncClient, goal: dict[str, Any]) -> dict[str, Any]:
    """A task of that goal."""
    return (await ada.post("/tasks", json={"goal_id": goal["id"], "title": "First endpoint"})).json()


async def test_a_task_is_made_in_its_goal_and_order(ada: httpx.AsyncClient, goal: dict[str, Any]) -> None:
    body = {
        "goal_id": goal["id"],
        "title": "Write tests",
        "type": "build",
        "acceptance_criteria": ["all green"],
        "estimated_minutes": 45,
        "skills": ["pytest"],
        "priority": "high",
    }
    made = await ada.post("/tasks", json=body)
    assert made.status_code == 201
    assert body.items() <= made.json().items()
    second = (await ada.post("/tasks", json={"goal_id": goal["id"], "title": "Then"})).json()
    assert (made.json()["position"], second["position"]) == (0, 1)
    listed = (await ada.get("/tasks", params={"goal_id": goal["id"]})).json()
    assert [task["title"] for task in listed["items"]] == ["Write tests", "Then"]


async def test_a_task_waits_for_what_it_depends_on(
    ada: httpx.AsyncClient, goal: dict[str, Any], task: dict[str, Any]
) -> None:
    body = {"goal_id": goal["id"], "title": "Second", "depends_on": [task["id"]]}
    second = (await ada.post("/tasks", json=body)).json()
    early = await ada.put(f"/tasks/{second['id']}", json={"status": "completed"})
    assert (early.status_code, early.json()["code"]) == (409, "illegal_transition")
    done = (await ada.put(f"/tasks/{task['id']}", json={"status": "completed", "actual_minutes": 5})).json()
    assert (done["status"], done["completed_at"] is not None, done["actual_minutes"]) == ("completed", True, 5)
    assert (await ada.put(f"/tasks/{second['id']}", json={"status": "completed"})).status_code == 200
    assert (await ada.delete(f"/tasks/{second['id']}")).status_code == 204


async def test_snapshots_count_versions_and_show_differences(ada: httpx.AsyncClient, task: dict[str, Any]) -> None:
    body = {"task_id": task["id"], "file_path": "app/main.py", "content": "a = 1\n"}
    first = (await ada.post("/code-snapshots", json=body)).json()
    second = (await ada.post("/code-snapshots", json={**body, "content": "a = 2\n"})).json()
    assert (first["snapshot_version"], first["language"], first["diff"]) == (1, "python", "")
    assert second["snapshot_version"] == 2
    assert "-a = 1" in second["diff"]
    assert "+a = 2" in second["diff"]
    latest = await ada.get(f"/code-snapshots/tasks/{task['id']}/latest")
    assert latest.json()["id"] == second["id"]
    listed = await ada.get("/code-snapshots", params={"task_id": task["id"], "file_path": "app/main.py"})
    assert listed.json()["total"] == 2
    assert (await ada.delete(f"/code-snapshots/{second['id']}")).status_code == 204
    assert (await ada.get(f"/code-snapshots/tasks/{task['id']}/latest")).json()["id"] == first["id"]


async def test_a_validation_is_recorded_and_new_content_takes_it_back(
    ada: httpx.AsyncClient, task: dict[str, Any]
) -> None:
    body = {"task_id": task["id"], "file_path": "a.py", "content": "x"}
    path = f"/code-snapshots/{(await ada.post('/code-snapshots', json=body)).json()['id']}"
    issue = {"type": "style", "severity": "info", "line": 1, "message": "One letter is short."}
    verdict = {"status": "passed", "score": 0.9, "feedback": "Good.", "issues": [issue]}
    validated = (await ada.patch(f"{path}/validation", json=verdict)).json()
    assert (validated["validation_status"], validated["validation_score"]) == ("passed", 0.9)
    assert validated["validation_issues"][0]["message"] == issue["message"]
    changed = (await ada.put(path, json={"content": "y"})).json()
    assert (changed["validation_status"], changed["validation_score"]) == ("pending", None)


@pytest.mark.parametrize(
    "verdict",
    [
        {"status": "passed", "score": 1.1},
        {"status": "passed", "score": "1"},
        {"status": "pending", "score": 0.5},
        {"status": "passed"},
        {"status": "passed", "score": 1, "issues": [{"type": "x", "severity": "fatal"}]},
    ],
    ids=str,
)
async def test_an_impossible_validation_is_refused(
    ada: httpx.AsyncClient, task: dict[str, Any], verdict: dict[str, object]
) -> None:
    body = {"task_id": task["id"], "file_path": "a.py", "content": "x"}
    snapshot = (await ada.post("/code-snapshots", json=body)).json()
    assert (await ada.patch(f"/code-snapshots/{snapshot['id']}/validation", json=verdict)).status_code == 422
