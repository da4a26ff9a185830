"""Registration, and who may read and change whom."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.services import Services
from api.settings import given
from tests.api.conftest import BASE_URL

ADA: dict[str, Any] = {"email": "ada@example.org", "name": "Ada", "password": "correct horse battery"}


async def test_anybody_registers_as_a_learner(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/users", json=ADA)
    user = answer.json()
    assert answer.status_code == 201
    assert (user["role"], user["status"], user["locale"]) == ("learner", "active", "en")
    assert "password" not in answer.text


@pytest.mark.parametrize("role", ["instructor", "admin"])
async def test_only_an_admin_hands_out_roles(
    anonymous: httpx.AsyncClient, ada: httpx.AsyncClient, ari: httpx.AsyncClient, role: str
) -> None:
    body = {**ADA, "role": role}
    assert (await anonymous.post("/users", json=body)).status_code == 403
    assert (await ada.post("/users", json=body)).status_code == 403
    assert (await ari.post("/users", json=body)).json()["role"] == role
    assert (await ari.post("/users", json={**body, "role": "service"})).status_code == 422


async def test_an_email_belongs_to_one_account(anonymous: httpx.AsyncClient) -> None:
    await anonymous.post("/users", json=ADA)
    again = await anonymous.post("/users", json={**ADA, "email": "ADA@example.org"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_a_token_without_account_names_the_new_one(ada: httpx.AsyncClient) -> None:
    body = {"email": "ada@example.org", "name": "Ada"}
    assert (await ada.post("/users", json=body)).json()["id"] == "ada"
    assert (await ada.get("/users/ada")).json()["name"] == "Ada"
    assert (await ada.get("/users/email/Ada@Example.org")).json()["id"] == "ada"


async def test_people_see_themselves_and_admins_see_all(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, ari: httpx.AsyncClient
) -> None:
    await ada.post("/users", json=ADA)
    for path in ("/users/ada", "/users/email/ada@example.org"):
        assert (await bob.get(path)).status_code == 404
        assert (await ari.get(path)).status_code == 200
    assert (await bob.put("/users/ada", json={"name": "Eve"})).status_code == 404
    assert (await bob.post("/users/ada/deactivate")).status_code == 404


async def test_a_change_needs_the_right_role(ada: httpx.AsyncClient, ari: httpx.AsyncClient) -> None:
    await ada.post("/users", json=ADA)
    assert (await ada.put("/users/ada", json={"locale": "es"})).json()["locale"] == "es"
    assert (await ada.put("/users/ada", json={"role": "admin"})).status_code == 403
    assert (await ari.put("/users/ada", json={"role": "instructor"})).json()["role"] == "instructor"


@pytest.mark.parametrize("password", ["short", "x" * 129, "", "nul\u0000nul nul nul"])
async def test_a_poor_password_is_refused_unseen(anonymous: httpx.AsyncClient, password: str) -> None:
    answer = await anonymous.post("/users", json={**ADA, "password": password})
    assert answer.status_code in {400, 422}
    assert not password or password not in answer.text


@pytest.mark.parametrize("email", ["ada", "ada@", "@x", "a b@x.org", "ada@x..org", "a" * 250 + "@x.org", "ada@x.org\n"])
async def test_an_impossible_email_is_refused(anonymous: httpx.AsyncClient, email: str) -> None:
    assert (await anonymous.post("/users", json={**ADA, "email": email})).status_code == 422


async def test_registration_can_be_closed(app: FastAPI, services: Services, ari: httpx.AsyncClient) -> None:
    services.settings = given(data_dir=services.settings.data_dir, open_registration=False)
    closed = create_app(services.settings, services=services)
    closed.state.services = services
    async with httpx.AsyncClient(transport=httpx.ASGITransport(closed), base_url=BASE_URL) as anonymous:
        assert (await anonymous.post("/users", json=ADA)).status_code == 403
    assert (await ari.post("/users", json=ADA)).status_code == 201


async def test_one_address_cannot_open_accounts_without_end(
    anonymous: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.users.REGISTRATIONS", 2)
    bodies = [{"email": f"{number}@example.org", "name": "X"} for number in range(3)]
    answers = [await anonymous.post("/users", json=body) for body in bodies]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert int(answers[2].headers["retry-after"]) > 0
