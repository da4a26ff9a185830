"""Health: alive, ready, and the state of each part."""

import asyncio

import httpx
import pytest

from api.services import Services
from store.errors import Unavailable


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
    async with asyncio.timeout(10):
        while not {"lake", "index"} <= (report := (await ada.get("/health")).json())["parts"]["events"]["sinks"].keys():
            await asyncio.sleep(0.05)  # a sink appears once its loop has read its cursor
    assert set(report["parts"]) == {"database", "events", "embedder", "models"}
    assert report["parts"]["embedder"]["status"] == "degraded"
    assert report["status"] == "degraded"
    assert (await anonymous.get("/health")).status_code == 401
