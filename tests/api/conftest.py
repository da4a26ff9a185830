"""An application around the test's own database, and clients that speak for somebody."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.services import Services, assembled
from api.settings import Settings, given
from graphs.opening import Offline
from store.database import Database
from store.principal import Principal

BASE_URL = "http://localhost"

AsPrincipal: TypeAlias = Callable[[Principal], httpx.AsyncClient]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that keep everything in the test's own folder."""
    return given(data_dir=tmp_path / "data")


@pytest.fixture
async def services(settings: Settings, database: Database) -> AsyncIterator[Services]:
    """The services of the application; events stay in PostgreSQL, and no model weights are loaded."""
    async with assembled(settings, database, offline=Offline.HASH, relaying=False) as opened:
        yield opened


@pytest.fixture
def app(settings: Settings, services: Services) -> FastAPI:
    """The whole application, without a server in front."""
    application = create_app(settings, services=services)
    application.state.services = services
    return application


@pytest.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token. Errors of the application come back as answers, as they would over a socket."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        yield client


@pytest.fixture
async def client_of(app: FastAPI, services: Services) -> AsyncIterator[AsPrincipal]:
    """Make a client that carries a valid token of a principal."""
    opened: list[httpx.AsyncClient] = []

    def make(principal: Principal) -> httpx.AsyncClient:
        token = services.tokens.issue(principal).access_token
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url=BASE_URL,
            headers={"Authorization": f"Bearer {token}"},
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        await client.aclose()


@pytest.fixture
def ada(client_of: AsPrincipal, learner: Principal) -> httpx.AsyncClient:
    """Ada's client: a learner."""
    return client_of(learner)


@pytest.fixture
def bob(client_of: AsPrincipal, other_learner: Principal) -> httpx.AsyncClient:
    """Bob's client: a learner who must never see what is Ada's."""
    return client_of(other_learner)


@pytest.fixture
def ines(client_of: AsPrincipal, instructor: Principal) -> httpx.AsyncClient:
    """Ines' client: an instructor."""
    return client_of(instructor)


@pytest.fixture
def ari(client_of: AsPrincipal, admin: Principal) -> httpx.AsyncClient:
    """Ari's client: an admin."""
    return client_of(admin)
