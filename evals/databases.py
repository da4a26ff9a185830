"""One private PostgreSQL per evaluation, a template per world, and a fresh clone for every single run."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from store import embedded, migrate

TEMPLATE = "evals_migrated"

# Nothing here has to outlive the evaluation, so nothing waits for the disk. synchronous_commit stays on: the sequencer
# rightly refuses to number events on a server that could take them back.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "120", "max_wal_size": "4GB"}


@dataclass(frozen=True, slots=True)
class Urls:
    """The two ways into one database: its owner's, who sees everything, and the service's login."""

    owner: str
    login: str

    def of(self, name: str) -> "Urls":
        """Return the ways into another database of the same server."""
        return Urls(_with_database(self.owner, name), _with_database(self.login, name))


@contextmanager
def server(folder: Path) -> Generator[Urls]:
    """Run a server with a migrated template database under `folder`, and stop it at the end."""
    with embedded.start(folder, settings=_SETTINGS) as started:
        urls = Urls(started.owner_url, started.login_url)
        with _admin(urls) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        migrate.upgrade(urls.of(TEMPLATE).owner)
        yield urls


def clone(urls: Urls, template: str, name: str) -> Urls:
    """Copy a database; what bears the name already is replaced."""
    with _admin(urls) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    return urls.of(name)


def drop(urls: Urls, name: str) -> None:
    """Remove a database, whoever is still connected to it."""
    with _admin(urls) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


_EXISTS: LiteralString = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)"


@contextmanager
def making(urls: Urls, name: str) -> Generator[bool]:
    """Hold the right to make the template `name`; yields False when another process has made it by now.

    A template that was only half made when its maker died bears another name, so it is never mistaken for a whole one.
    """
    with _admin(urls) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 7))", [name])
        row = connection.execute(_EXISTS, [name]).fetchone()
        if row is not None and row[0]:
            yield False
            return
        yield True
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(f"{name}_new"), sql.Identifier(name))
        )


@contextmanager
def _admin(urls: Urls) -> Generator[psycopg.Connection]:
    with psycopg.connect(urls.of("postgres").owner, autocommit=True) as connection:
        yield connection


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
