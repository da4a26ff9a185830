"""PostgreSQL goes away in the middle, and comes back."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from api.app import create_app
from api.services import assembled
from api.settings import Settings
from graphs.opening import Offline
from store import embedded, migrate
from store.database import Database
from store.principal import Principal
from tests.api.conftest import BASE_URL

GOAL = {"title": "Outlive an outage"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[embedded.Server]:
    """A PostgreSQL of the test's own, to be mistreated."""
    with embedded.start(tmp_path / "postgres", settings={"fsync": "off"}) as started:
        migrate.upgrade(started.owner_url)
        yield started


def _postmaster(url: str) -> psutil.Process:
    with psycopg.connect(url) as connection:
        parent = psutil.Process(connection.info.backend_pid).parent()
    assert parent is not None
    return parent


@pytest.mark.timeout(120)
async def test_service_pauses_and_resumes_with_the_database(
    server: embedded.Server, settings: Settings, learner: Principal, tmp_path: Path
) -> None:
    async with (
        Database(server.login_url, max_size=4, pool_timeout=1.0) as database,
        assembled(settings, database, offline=Offline.HASH, relaying=False) as services,
    ):
        app = create_app(settings, services=services)
        app.state.services = services
        headers = {"Authorization": f"Bearer {services.tokens.issue(learner).access_token}"}
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers) as client:
            before = await client.post("/goals", json=GOAL)
            assert before.status_code == 201

            postmaster = _postmaster(server.owner_url)
            postmaster.send_signal(signal.SIGQUIT)
            await asyncio.to_thread(postmaster.wait, 20)
            for request in (client.get("/goals"), client.post("/goals", json=GOAL), client.get("/readyz")):
                answer = await request
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
                assert isinstance(answer.json()["detail"], str)
                assert "postgres" not in answer.text.lower().replace("postgresql", "")
            assert (await client.get("/healthz")).status_code == 200

            with embedded.start(tmp_path / "postgres", settings={"fsync": "off"}):
                async with asyncio.timeout(30):
                    while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - asked from outside
                        await asyncio.sleep(0.2)
                assert (await client.get(before.headers["location"])).json()["title"] == GOAL["title"]
                assert (await client.post("/goals", json=GOAL)).status_code == 201
                assert (await client.get("/goals")).json()["total"] == 2
