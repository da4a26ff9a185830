"""The event endpoints over HTTP: reporting, history, and travelling in time."""

from typing import Any

import httpx

from api.schemas.events import EventCreate
from store.event_types import POSTABLE

NOTE: dict[str, Any] = {"type": "note.added", "entity_id": "note-1", "payload": {"text": "Ask about 409."}}


async def _goal(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.post("/goals", json={"title": "Learn SQL"})).json()


async def test_the_documented_types_are_those_that_may_be_posted() -> None:
    documented = EventCreate.model_json_schema()["properties"]["type"]["enum"]
    assert set(documented) == set(POSTABLE)


async def test_a_report_is_stored_and_found(ada: httpx.AsyncClient) -> None:
    posted = await ada.post("/events", json=NOTE)
    assert posted.status_code == 201, posted.text
    event = posted.json()
    assert (event["user_id"], event["entity_version"]) == ("ada", 1)
    assert (await ada.get(posted.headers["location"])).json()["payload"] == NOTE["payload"]
    listed = (await ada.get("/events", params={"type": "note.added"})).json()
    assert [item["id"] for item in listed["items"]] == [event["id"]]


async def test_clients_cannot_report_what_the_service_records(ada: httpx.AsyncClient) -> None:
    goal = await _goal(ada)
    forged = {"type": "goal.completed", "entity_id": goal["id"], "payload": {"changes": {"status": "completed"}}}
    assert (await ada.post("/events", json=forged)).status_code == 422
    assert (await ada.get(f"/goals/{goal['id']}")).json()["status"] == "pending"


async def test_a_payload_that_fits_no_type_is_refused(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/events", json={**NOTE, "payload": {"words": "?"}})
    assert answer.status_code == 422
    assert "payload.text" in answer.json()["detail"]


async def test_history_and_replay_tell_the_same_story(ada: httpx.AsyncClient) -> None:
    goal = await _goal(ada)
    path = f"/goals/{goal['id']}"
    half = (await ada.patch(f"{path}/progress", json={"progress_percentage": 50})).json()
    await ada.delete(path)
    history = (await ada.get(f"/events/entities/goal/{goal['id']}/history")).json()
    assert [event["type"] for event in history["items"]] == ["goal.created", "goal.started", "goal.deleted"]
    assert history["total"] == 3
    middle = {"entity_type": "goal", "entity_id": goal["id"], "at": half["updated_at"]}
    replayed = (await ada.post("/events/replay", json=middle)).json()
    assert (replayed["version"], replayed["deleted"]) == (2, False)
    assert replayed["state"]["progress_percentage"] == 50
    present = {"entity_type": "goal", "entity_id": goal["id"]}
    assert (await ada.post("/events/replay", json=present)).json()["deleted"] is True


async def test_one_request_can_be_followed_through_its_events(ada: httpx.AsyncClient) -> None:
    request_id = "0197a5a2-7c05-7abc-8000-1234567890ab"
    goal = await _goal(ada)
    await ada.delete(f"/goals/{goal['id']}", headers={"X-Request-ID": request_id})
    caused = (await ada.get("/events", params={"correlation_id": request_id})).json()
    assert [event["type"] for event in caused["items"]] == ["goal.deleted"]


async def test_two_bounds_are_one_too_many(ada: httpx.AsyncClient) -> None:
    goal = await _goal(ada)
    both = {"entity_type": "goal", "entity_id": goal["id"], "version": 1, "at": "2030-01-01T00:00:00Z"}
    answer = await ada.post("/events/replay", json=both)
    assert (answer.status_code, "one of" in answer.json()["detail"]) == (422, True)


async def test_the_past_of_others_is_not_there(ada: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    goal = await _goal(ada)
    event = (await ada.get("/events")).json()["items"][0]
    assert (await bob.get(f"/events/{event['id']}")).status_code == 404
    assert (await bob.get(f"/events/entities/goal/{goal['id']}/history")).status_code == 404
    replay = await bob.post("/events/replay", json={"entity_type": "goal", "entity_id": goal["id"]})
    assert replay.status_code == 404
    assert (await bob.get("/events", params={"entity_id": goal["id"]})).json()["total"] == 0
