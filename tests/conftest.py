"""Fixtures every room shares: a private PostgreSQL, a fresh database, and the people who use it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import respx.mocks

from store import embedded, migrate
from store.database import Database
from store.principal import Principal
from store.types import Role
from tests.postgres import TEMPLATE, Urls, cloned, with_database

# At the client rather than at the connection pool of httpx's own transport: model calls go over another one.
respx.mocks.DEFAULT_MOCKER = "httpx"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Urls]:
    """A private server with a migrated template database; its data goes with the session."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    # A thousand databases live for a second each: neither vacuum nor checkpoints are worth their time.
    quick = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off", "max_wal_size": "4GB"}
    settings = {**quick, "checkpoint_timeout": "1h", "max_connections": "200"}
    with embedded.start(folder / "data", settings=settings) as server:
        urls = Urls(server.owner_url, server.login_url)
        with psycopg.connect(with_database(urls.owner, "postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")  # pyright: ignore[reportArgumentType] - a constant
        migrate.upgrade(with_database(urls.owner, TEMPLATE))
        yield urls


@pytest.fixture
def urls(postgres: Urls) -> Iterator[Urls]:
    """Both ways into a fresh, migrated, empty database."""
    with cloned(postgres) as fresh:
        yield fresh


@pytest.fixture
def database_url(urls: Urls) -> str:
    """The superuser's way into the test's own database."""
    return urls.owner


@pytest.fixture
async def database(urls: Urls) -> AsyncIterator[Database]:
    """The test's own database, as the service opens it."""
    async with Database(urls.login, min_size=1, max_size=8) as opened:
        yield opened


@pytest.fixture
def learner() -> Principal:
    """Ada, who learns."""
    return Principal("ada", Role.LEARNER)


@pytest.fixture
def other_learner() -> Principal:
    """Bob, who must never see what is Ada's."""
    return Principal("bob", Role.LEARNER)


@pytest.fixture
def instructor() -> Principal:
    """Ines, who teaches."""
    return Principal("ines", Role.INSTRUCTOR)


@pytest.fixture
def admin() -> Principal:
    """Ari, who looks after accounts."""
    return Principal("ari", Role.ADMIN)
