"""Health: alive, ready, and the state of each part."""

import asyncio
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.services import Services, assembled
from api.settings import Settings
from graphs.opening import Offline
from store.database import Database
from store.errors import Unavailable
from store.principal import Principal
from store.types import Role
from tests.api.conftest import BASE_URL, AsPrincipal


async def test_a_living_process_says_so(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/healthz")).json() == {"status": "ok"}


async def test_readiness_depends_on_the_database(
    anonymous: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await anonymous.get("/readyz")).status_code == 200

    async def away() -> None:
        raise Unavailable

    monkeypatch.setattr(services.database, "check", away)
    answer = await anonymous.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert (await anonymous.get("/healthz")).status_code == 200


async def test_each_part_tells_its_state(ada: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    report = (await ada.get("/health")).json()
    assert set(report["parts"]) == {"database", "events", "embedder", "models"}
    assert report["parts"]["embedder"]["status"] == "degraded"
    assert report["status"] == "degraded"
    assert (await anonymous.get("/health")).status_code == 401


async def test_only_admins_read_what_an_error_says(
    client_of: AsPrincipal, learner: Principal, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "ConnectionError: amqp://goals@10.0.0.7:5672 refused"

    async def troubled() -> dict[str, Any]:
        sink = {"last_error": said, "parked": 0, "state": "failing", "error": said}
        calm = {"last_error": None, "parked": 0, "state": "not configured here"}
        return {"position": 1, "state": "failing", "error": said, "sinks": {"broker": sink, "lake": calm}}

    monkeypatch.setattr(services.events, "health", troubled)
    shown = (await client_of(learner).get("/health")).json()["parts"]["events"]
    assert (shown["error"], shown["sinks"]["broker"]["last_error"]) == ("ConnectionError", "ConnectionError")
    assert (shown["sinks"]["broker"]["error"], shown["sinks"]["lake"]["last_error"]) == ("ConnectionError", None)
    whole = (await client_of(Principal("root", Role.ADMIN)).get("/health")).json()["parts"]["events"]
    assert (whole["error"], whole["sinks"]["broker"]["last_error"]) == (said, said)


async def test_every_sink_of_the_event_path_is_shown(settings: Settings, database: Database) -> None:
    events: dict[str, Any] = {}
    async with assembled(settings, database, offline=Offline.HASH) as relaying:
        app = create_app(settings, services=relaying)
        app.state.services = relaying
        token = relaying.tokens.issue(Principal("ada", Role.LEARNER)).access_token
        headers = {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers) as client:
            for _ in range(200):
                events = (await client.get("/health")).json()["parts"]["events"]
                if {"lake", "index"} <= events["sinks"].keys():
                    break
                await asyncio.sleep(0.05)
    assert {"lake", "index"} <= events["sinks"].keys()
    assert all("lag" in sink for sink in events["sinks"].values())
