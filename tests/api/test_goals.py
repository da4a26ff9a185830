"""The goal endpoints over HTTP."""

from typing import Any

import httpx
import pytest

EXAMPLE = {
    "course_id": "course-123",
    "title": "Build REST API",
    "description": "A small service.",
    "priority": "high",
}


async def _created(client: httpx.AsyncClient, **more: object) -> dict[str, Any]:
    answer = await client.post("/goals", json={**EXAMPLE, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_the_example_of_the_mission_answers_as_shown(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/goals", json=EXAMPLE)
    goal = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/goals/{goal['id']}"
    assert answer.headers["etag"] == '"1"'
    expected = {"title": "Build REST API", "status": "pending", "priority": "high", "progress_percentage": 0.0}
    assert expected.items() <= goal.items()
    assert goal["created_at"].endswith("Z")


async def test_progress_moves_status_and_times(ada: httpx.AsyncClient) -> None:
    goal = await _created(ada)
    half = (await ada.patch(f"/goals/{goal['id']}/progress", json={"progress_percentage": 50})).json()
    assert (half["status"], half["progress_percentage"]) == ("in_progress", 50.0)
    assert half["started_at"] is not None
    whole = (await ada.patch(f"/goals/{goal['id']}/progress", json={"progress_percentage": 100.0})).json()
    assert whole["status"] == "completed"
    assert whole["completed_at"] is not None


@pytest.mark.parametrize("percentage", [-0.1, 100.1, "50", True, None, 1e300])
async def test_progress_outside_0_to_100_is_refused(ada: httpx.AsyncClient, percentage: object) -> None:
    goal = await _created(ada)
    answer = await ada.patch(f"/goals/{goal['id']}/progress", json={"progress_percentage": percentage})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/progress_percentage"


async def test_an_illegal_transition_says_what_is_allowed(ada: httpx.AsyncClient) -> None:
    goal = await _created(ada)
    answer = await ada.put(f"/goals/{goal['id']}", json={"status": "paused"})
    assert answer.status_code == 409
    assert answer.json()["code"] == "illegal_transition"
    assert "in_progress" in answer.json()["detail"]


async def test_a_change_touches_only_what_was_sent(ada: httpx.AsyncClient) -> None:
    goal = await _created(ada, due_at="2030-01-01T00:00:00+02:00")
    changed = (await ada.put(f"/goals/{goal['id']}", json={"title": "Build it well"})).json()
    assert changed["title"] == "Build it well"
    assert changed["due_at"] == "2029-12-31T22:00:00Z"
    assert changed["description"] == goal["description"]
    cleared = (await ada.put(f"/goals/{goal['id']}", json={"due_at": None})).json()
    assert cleared["due_at"] is None


@pytest.mark.parametrize("body", [{"title": None}, {"user_id": "bob"}, {"created_at": "2030-01-01T00:00:00Z"}])
async def test_what_may_not_be_set_is_refused(ada: httpx.AsyncClient, body: dict[str, object]) -> None:
    goal = await _created(ada)
    assert (await ada.put(f"/goals/{goal['id']}", json=body)).status_code == 422
    assert (await ada.post("/goals", json={**EXAMPLE, **body})).status_code == 422


async def test_filters_and_pages(ada: httpx.AsyncClient) -> None:
    for number in range(5):
        await _created(ada, title=f"Goal {number}", priority="low" if number % 2 else "critical")
    first = await ada.get("/goals", params={"priority": "critical", "limit": 2})
    assert [goal["title"] for goal in first.json()["items"]] == ["Goal 4", "Goal 2"]
    assert first.json()["total"] == 3
    assert (first.json()["skip"], first.json()["limit"]) == (0, 2)
    assert '</goals?priority=critical&skip=2&limit=2>; rel="next"' in first.headers["link"]
    second = await ada.get("/goals?priority=critical&skip=2&limit=2")
    assert [goal["title"] for goal in second.json()["items"]] == ["Goal 0"]
    assert 'rel="prev"' in second.headers["link"]
    assert "next" not in second.headers["link"]


async def test_a_range_of_dates_limits_a_listing(ada: httpx.AsyncClient) -> None:
    goal = await _created(ada)
    assert (await ada.get("/goals", params={"created_from": goal["created_at"]})).json()["total"] == 1
    assert (await ada.get("/goals", params={"created_to": "2020-01-01T00:00:00Z"})).json()["total"] == 0


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "skip=-1", "status=done", "created_from=2024", "created_from=1700000000", "x=1"]
)
async def test_a_bad_query_is_refused_with_the_name_of_the_parameter(ada: httpx.AsyncClient, query: str) -> None:
    answer = await ada.get(f"/goals?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == query.partition("=")[0]


async def test_an_unchanged_goal_is_not_sent_again(ada: httpx.AsyncClient) -> None:
    goal = await _created(ada)
    path = f"/goals/{goal['id']}"
    etag = (await ada.get(path)).headers["etag"]
    again = await ada.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    await ada.put(path, json={"title": "New"})
    assert (await ada.get(path, headers={"If-None-Match": etag})).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_change_of_an_older_version_is_refused(ada: httpx.AsyncClient, method: str) -> None:
    goal = await _created(ada)
    path = f"/goals/{goal['id']}"
    await ada.put(path, json={"title": "New"})
    body = {"title": "Lost update"} if method == "PUT" else None
    for tag in ('"1"', '"7"', "nonsense"):
        answer = await ada.request(method, path, headers={"If-Match": tag}, json=body)
        assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict")
    assert (await ada.get(path)).json()["title"] == "New"
    assert (await ada.request(method, path, headers={"If-Match": '"2"'}, json=body)).is_success


async def test_a_deleted_goal_is_gone_with_its_tasks(ada: httpx.AsyncClient) -> None:
    goal = await _created(ada)
    task = (await ada.post("/tasks", json={"goal_id": goal["id"], "title": "First"})).json()
    assert (await ada.delete(f"/goals/{goal['id']}")).status_code == 204
    assert (await ada.get(f"/goals/{goal['id']}")).status_code == 404
    assert (await ada.get(f"/tasks/{task['id']}")).status_code == 404


async def test_what_others_share_arrives_without_their_identity(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, ines: httpx.AsyncClient
) -> None:
    course = (await ines.post("/courses", json={"title": "Web"})).json()
    await ines.post(f"/courses/{course['id']}/publish")
    for member in (ada, bob):
        assert (await member.post(f"/courses/{course['id']}/enrollments", json={})).status_code == 201
    shared = await _created(ada, course_id=course["id"])
    private = await _created(ada, course_id=course["id"], visibility="private")
    seen = (await bob.get(f"/goals/{shared['id']}")).json()
    assert (seen["title"], seen["user_id"]) == (shared["title"], None)
    assert (await bob.get(f"/goals/{private['id']}")).status_code == 404
    listed = (await bob.get("/goals", params={"course_id": course["id"], "shared": "true"})).json()
    assert [(goal["id"], goal["user_id"]) for goal in listed["items"]] == [(shared["id"], None)]
    assert (await bob.get("/goals", params={"course_id": course["id"]})).json()["total"] == 0
