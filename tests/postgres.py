"""One private PostgreSQL per test session, and a fresh migrated database for every test that asks."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

TEMPLATE = "goals_template"
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Urls:
    """The two ways into one test database."""

    owner: str
    """Superuser: migrations and looking behind the curtain."""
    login: str
    """What the service uses: no rights of its own."""


def with_database(url: str, name: str) -> str:
    """Return `url` with another database name."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def cloned(server: Urls, template: str = TEMPLATE) -> Generator[Urls]:
    """Yield a database copied from the migrated template, and drop it afterwards."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(with_database(server.owner, "postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        try:
            yield Urls(with_database(server.owner, name), with_database(server.login, name))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
