"""Signing in and out over HTTP."""

from typing import Any

import httpx
import pytest

from api.auth import links, sign_in
from api.services import Services
from store import users
from store.principal import SERVICE
from store.users import NewUser

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"


@pytest.fixture
async def account(anonymous: httpx.AsyncClient) -> dict[str, Any]:
    """A registered learner."""
    answer = await anonymous.post("/users", json={"email": EMAIL, "name": "Ada", "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _sign_in(client: httpx.AsyncClient, password: str = PASSWORD, email: str = EMAIL) -> httpx.Response:
    return await client.post("/auth/token", data={"grant_type": "password", "username": email, "password": password})


def _bearer(pair: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {pair['access_token']}"}


async def test_the_password_flow_opens_the_door(anonymous: httpx.AsyncClient, account: dict[str, Any]) -> None:
    answer = await _sign_in(anonymous, email=EMAIL.upper())
    pair = answer.json()
    assert (answer.status_code, pair["token_type"], pair["expires_in"]) == (200, "bearer", 900)
    assert answer.headers["cache-control"] == "no-store"
    me = await anonymous.get(f"/users/{pair['user_id']}", headers=_bearer(pair))
    assert me.json()["email"] == EMAIL
    by_key = await anonymous.get(f"/users/{account['id']}", headers={"X-Api-Key": pair["access_token"]})
    assert by_key.status_code == 200


@pytest.mark.usefixtures("account")
async def test_wrong_password_and_unknown_user_look_alike(anonymous: httpx.AsyncClient) -> None:
    wrong = await _sign_in(anonymous, "wrong horse battery")
    unknown = await _sign_in(anonymous, email="nobody@example.org")
    assert wrong.status_code == unknown.status_code == 401
    assert {**wrong.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


@pytest.mark.usefixtures("account")
async def test_guessing_closes_the_account_to_guesses(anonymous: httpx.AsyncClient, services: Services) -> None:
    async with services.database.transaction(SERVICE) as tx:
        for _ in range(sign_in.ACCOUNT_ATTEMPTS):
            await sign_in.credentials.count_attempt(
                tx, sign_in.account_bucket(EMAIL), allowed=10, window=sign_in.WINDOW
            )
    blocked = await _sign_in(anonymous)
    assert blocked.status_code == 429
    assert 0 < int(blocked.headers["retry-after"]) <= 900
    assert (await _sign_in(anonymous, email="other@example.org")).status_code == 401


@pytest.mark.usefixtures("account")
async def test_a_right_password_forgets_the_wrong_ones(anonymous: httpx.AsyncClient, services: Services) -> None:
    for _ in range(3):
        assert (await _sign_in(anonymous, "wrong horse battery")).status_code == 401
    assert (await _sign_in(anonymous)).status_code == 200
    async with services.database.transaction(SERVICE) as tx:
        counted = await tx.fetch_value("SELECT sum(failures) FROM sign_in_attempts WHERE failures > 3")
    assert counted is None


@pytest.mark.usefixtures("account")
async def test_refresh_tokens_rotate(anonymous: httpx.AsyncClient) -> None:
    first = (await _sign_in(anonymous)).json()
    second = (await anonymous.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})).json()
    assert second["refresh_token"] != first["refresh_token"]
    third = await anonymous.post("/auth/refresh", json={"refresh_token": second["refresh_token"]})
    assert third.status_code == 200


@pytest.mark.usefixtures("account")
async def test_a_spent_refresh_token_ends_its_whole_family(anonymous: httpx.AsyncClient) -> None:
    stolen = (await _sign_in(anonymous)).json()
    other_session = (await _sign_in(anonymous)).json()
    honest = (await anonymous.post("/auth/refresh", json={"refresh_token": stolen["refresh_token"]})).json()
    replayed = await anonymous.post("/auth/refresh", json={"refresh_token": stolen["refresh_token"]})
    assert replayed.status_code == 401
    after = await anonymous.post("/auth/refresh", json={"refresh_token": honest["refresh_token"]})
    assert after.status_code == 401
    untouched = await anonymous.post("/auth/refresh", json={"refresh_token": other_session["refresh_token"]})
    assert untouched.status_code == 200


@pytest.mark.usefixtures("account")
async def test_signing_out_ends_the_session(anonymous: httpx.AsyncClient) -> None:
    pair = (await _sign_in(anonymous)).json()
    assert (await anonymous.post("/auth/revoke", data={"token": pair["refresh_token"]})).status_code == 204
    refused = await anonymous.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert refused.status_code == 401
    assert (await anonymous.post("/auth/revoke", data={"token": "unknown"})).status_code == 204


async def test_a_sign_in_link_works_once(
    anonymous: httpx.AsyncClient, services: Services, account: dict[str, Any]
) -> None:
    token = await links.issue(services.database, account["id"])
    pair = await anonymous.post("/auth/sign-in", json={"token": token})
    assert pair.json()["user_id"] == account["id"]
    assert (await anonymous.post("/auth/sign-in", json={"token": token})).status_code == 401


async def test_a_closed_account_has_no_way_in(anonymous: httpx.AsyncClient, account: dict[str, Any]) -> None:
    pair = (await _sign_in(anonymous)).json()
    closed = await anonymous.post(f"/users/{account['id']}/deactivate", headers=_bearer(pair))
    assert closed.json()["status"] == "deactivated"
    assert (await anonymous.get("/goals", headers=_bearer(pair))).status_code == 401
    assert (await _sign_in(anonymous)).status_code == 401
    refused = await anonymous.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert refused.status_code == 401


@pytest.mark.usefixtures("account")
async def test_a_new_password_needs_the_old_one_and_ends_all_sessions(anonymous: httpx.AsyncClient) -> None:
    pair = (await _sign_in(anonymous)).json()
    new = "an even better sentence"
    wrong = await anonymous.put(
        "/auth/password", json={"current_password": "wrong horse", "new_password": new}, headers=_bearer(pair)
    )
    assert wrong.status_code == 403
    right = await anonymous.put(
        "/auth/password", json={"current_password": PASSWORD, "new_password": new}, headers=_bearer(pair)
    )
    assert right.status_code == 204
    refused = await anonymous.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert refused.status_code == 401
    assert (await _sign_in(anonymous)).status_code == 401
    assert (await _sign_in(anonymous, new)).status_code == 200


async def test_tokens_are_stored_as_hashes_only(
    anonymous: httpx.AsyncClient, services: Services, account: dict[str, Any]
) -> None:
    pair = (await _sign_in(anonymous)).json()
    link = await links.issue(services.database, account["id"])
    async with services.database.transaction(SERVICE) as tx:
        stored = await tx.fetch_value(
            "SELECT string_agg(t::text, ' ') FROM (SELECT r::text AS t FROM refresh_tokens r"
            " UNION ALL SELECT l::text FROM sign_in_links l UNION ALL SELECT e::text FROM events e) AS everything"
        )
    for secret in (pair["refresh_token"], link, PASSWORD, "argon2"):
        assert secret not in stored


async def test_the_public_keys_verify_what_we_sign(anonymous: httpx.AsyncClient, services: Services) -> None:
    (key,) = (await anonymous.get("/.well-known/jwks.json")).json()["keys"]
    assert key["kid"] == services.tokens.keys.kid
    assert "d" not in key


async def test_an_account_without_a_password_cannot_be_guessed(
    anonymous: httpx.AsyncClient, services: Services
) -> None:
    async with services.database.transaction(SERVICE) as tx:
        await users.create(tx, NewUser(email="no@example.org", name="No"))
    assert (await _sign_in(anonymous, email="no@example.org")).status_code == 401
