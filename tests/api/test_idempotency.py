"""Idempotency-Key: the same request twice is carried out once."""

import asyncio

import httpx

from api.services import Services
from store.principal import SERVICE, Principal

BODY = {"title": "Learn Rust"}


async def _count(services: Services, table: str) -> int:
    async with services.database.transaction(SERVICE) as tx:
        if table == "goals":
            return await tx.fetch_value("SELECT count(*) FROM goals")
        return await tx.fetch_value("SELECT count(*) FROM idempotency_keys")


async def test_a_repeated_request_repeats_the_answer(ada: httpx.AsyncClient, services: Services) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await ada.post("/goals", json=BODY, headers=headers)
    second = await ada.post("/goals", json=BODY, headers=headers)
    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    for name in ("etag", "location", "content-type"):
        assert second.headers[name] == first.headers[name]
    assert await _count(services, "goals") == 1


async def test_a_key_means_one_request_only(ada: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    await ada.post("/goals", json=BODY, headers=headers)
    other_body = await ada.post("/goals", json={"title": "Learn Go"}, headers=headers)
    other_path = await ada.post(
        "/events", json={"type": "note.added", "entity_id": "n", "payload": {"text": "x"}}, headers=headers
    )
    assert other_body.status_code == other_path.status_code == 422
    assert "new key" in other_body.json()["detail"]


async def test_two_people_may_use_the_same_key(ada: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    mine = (await ada.post("/goals", json=BODY, headers=headers)).json()
    yours = (await bob.post("/goals", json=BODY, headers=headers)).json()
    assert mine["id"] != yours["id"]


async def test_a_refusal_is_not_remembered(ada: httpx.AsyncClient, services: Services) -> None:
    headers = {"Idempotency-Key": "one"}
    task = {"goal_id": "0197a5a2-7c00-7abc-8000-1234567890ab", "title": "x"}
    assert (await ada.post("/tasks", json=task, headers=headers)).status_code == 404
    assert await _count(services, "keys") == 0
    assert (await ada.post("/goals", json=BODY, headers=headers)).status_code == 201


async def test_of_many_at_once_one_is_carried_out(ada: httpx.AsyncClient, services: Services) -> None:
    headers = {"Idempotency-Key": "crowd"}
    answers = await asyncio.gather(*(ada.post("/goals", json=BODY, headers=headers) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert await _count(services, "goals") == 1


async def test_while_one_runs_the_next_is_told_to_wait(
    ada: httpx.AsyncClient, services: Services, learner: Principal
) -> None:
    async with services.database.transaction(learner) as tx:
        await tx.fetch_value("SELECT pg_advisory_xact_lock(hashtextextended('ada' || chr(31) || 'busy', 14))")
        answer = await ada.post("/goals", json=BODY, headers={"Idempotency-Key": "busy"})
    assert answer.status_code == 409
    assert "in a moment" in answer.json()["detail"]


async def test_registration_is_idempotent_too(anonymous: httpx.AsyncClient) -> None:
    body = {"email": "ada@example.org", "name": "Ada", "password": "correct horse battery"}
    headers = {"Idempotency-Key": "register"}
    first = await anonymous.post("/users", json=body, headers=headers)
    second = await anonymous.post("/users", json=body, headers=headers)
    assert first.json() == second.json()
    assert (await anonymous.post("/users", json=body)).status_code == 409


async def test_no_digest_of_a_password_is_kept(anonymous: httpx.AsyncClient, services: Services) -> None:
    kept: list[bytes] = []
    for name, password in (("first", "correct horse battery"), ("second", "another long password")):
        body = {"email": "ada@example.org", "name": "Ada", "password": password}
        answer = await anonymous.post("/users", json=body, headers={"Idempotency-Key": name})
        assert answer.status_code == 201, answer.text
        async with services.database.transaction(SERVICE) as tx:
            kept.append(await tx.fetch_value("SELECT request_hash FROM idempotency_keys"))
            await tx.execute("DELETE FROM idempotency_keys; DELETE FROM users")
    assert kept[0] == kept[1]


async def test_an_unusable_key_is_refused(ada: httpx.AsyncClient) -> None:
    for key in ("", "a b", "x" * 256):
        assert (await ada.post("/goals", json=BODY, headers={"Idempotency-Key": key})).status_code == 422
