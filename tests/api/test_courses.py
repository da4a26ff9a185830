"""Courses over HTTP: drafts, publication, enrollment."""

from typing import Any

import httpx


async def _course(client: httpx.AsyncClient, **more: object) -> dict[str, Any]:
    answer = await client.post("/courses", json={"title": "Web services", **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_learners_do_not_create_courses(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/courses", json={"title": "Mine"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_a_draft_is_its_owners_secret(ines: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    course = await _course(ines, id="web-101")
    assert course["status"] == "draft"
    assert (await ada.get("/courses/web-101")).status_code == 404
    published = (await ines.post("/courses/web-101/publish")).json()
    assert (published["status"], published["published_at"] is not None) == ("published", True)
    assert (await ada.get("/courses/web-101")).json()["title"] == "Web services"
    assert (await ines.post("/courses/web-101/publish")).status_code == 409


async def test_only_the_owner_changes_a_course(ines: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    course = await _course(ines)
    path = f"/courses/{course['id']}"
    await ines.post(f"{path}/publish")
    assert (await ada.put(path, json={"title": "Taken"})).status_code == 403
    assert (await ada.post(f"{path}/archive")).status_code == 403
    assert (await ines.put(path, json={"title": "Better"})).json()["title"] == "Better"
    assert (await ines.post(f"{path}/archive")).json()["status"] == "archived"
    assert (await ines.put(path, json={"title": "Late"})).status_code == 409


async def test_enrolling_and_leaving(ines: httpx.AsyncClient, ada: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    course = await _course(ines)
    path = f"/courses/{course['id']}/enrollments"
    assert (await ada.post(path, json={})).status_code == 404
    await ines.post(f"/courses/{course['id']}/publish")
    assert (await ada.post(path, json={})).json()["enrolled_as"] == "learner"
    assert (await ada.post(path, json={})).status_code == 409
    assert (await ada.post(path, json={"user_id": "bob"})).status_code == 403
    assert (await ines.post(path, json={"user_id": "bob"})).status_code == 201
    assert {item["user_id"] for item in (await ines.get(path)).json()["items"]} == {"ines", "ada", "bob"}
    assert [item["user_id"] for item in (await ada.get(path)).json()["items"]] == ["ada"]
    assert (await ada.delete(path)).status_code == 204
    assert (await ada.delete(path)).status_code == 404
    assert (await ines.delete(path, params={"user_id": "bob"})).status_code == 204
    assert (await ines.delete(path)).status_code == 409


async def test_the_list_shows_what_one_may_read(ines: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    draft, public = await _course(ines), await _course(ines)
    await ines.post(f"/courses/{public['id']}/publish")
    assert {course["id"] for course in (await ines.get("/courses")).json()["items"]} == {draft["id"], public["id"]}
    assert [course["id"] for course in (await ada.get("/courses")).json()["items"]] == [public["id"]]
    assert (await ada.get("/courses", params={"enrolled": "true"})).json()["total"] == 0
    assert (await ines.get("/courses", params={"status": "draft"})).json()["total"] == 1
