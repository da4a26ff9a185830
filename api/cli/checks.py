"""What `goals doctor` looks at: each check finds out one thing and says how to mend it. None changes anything."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg

from api.settings import Settings
from store import embedded, migrate

PATIENCE_SECONDS = 3
DISK_BYTES_WANTED = 1_000_000_000


class State(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    state: State
    detail: str
    remedy: str = ""


Check = Callable[[Settings], Awaitable[Finding]]


async def python(_settings: Settings) -> Finding:
    """The interpreter."""
    return Finding("python", State.OK, sys.version.split()[0])


async def data_directory(settings: Settings) -> Finding:
    """Room and rights where the embedded default keeps everything."""
    folder = settings.data_dir.expanduser().absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("data", State.FAIL, f"{folder} cannot be written to", "Set DATA_DIR to a folder of yours.")
    detail = f"{settings.data_dir}{'' if folder.exists() else ' (made at the first start)'}, {free / 1e9:.0f} GB free"
    if free < DISK_BYTES_WANTED:
        return Finding("data", State.WARN, detail, "Less than 1 GB is free: make room, or set DATA_DIR elsewhere.")
    return Finding("data", State.OK, detail)


async def postgres(settings: Settings) -> Finding:
    """Whether PostgreSQL answers, in which version, with pgvector."""
    if settings.database_url is not None:
        return await _answers(settings.database_url.get_secret_value(), "DATABASE_URL", must_obey=True)
    server = embedded.look(settings.data_dir)
    if server is None:
        return Finding("postgres", State.WARN, "embedded, not running", "It starts with the service: make run")
    found = await _answers(server.owner_url, f"embedded, pid {server.pid}")
    if found.state is State.FAIL:
        log = settings.data_dir / "postgres.log"
        return Finding("postgres", State.FAIL, found.detail, f"See {log}; `make run` repairs what a crash left.")
    return found


async def schema(settings: Settings) -> Finding:
    """Whether migrations are missing."""
    url = _owner_url(settings)
    if url is None:
        return Finding("schema", State.WARN, "unknown while PostgreSQL is stopped", "`make run` migrates by itself.")
    try:
        missing = await asyncio.to_thread(migrate.pending, url)
        current = await asyncio.to_thread(migrate.current, url)
    except psycopg.errors.InsufficientPrivilege:
        return Finding("schema", State.OK, "made; its revision is for the owner", "MIGRATION_DATABASE_URL shows it.")
    except Exception as error:  # noqa: BLE001 - whatever the driver says is the finding
        return Finding("schema", State.FAIL, _first_line(error), "Mend the connection first.")
    if missing:
        return Finding("schema", State.FAIL, f"{len(missing)} migrations are missing", "Run `goals migrate`.")
    return Finding("schema", State.OK, f"current ({current})")


async def service(settings: Settings) -> Finding:
    """Whether somebody serves on our port, and whether it is us."""
    try:
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
            answer = await client.get(f"{settings.url}/readyz")
    except httpx.ConnectError:
        return Finding("service", State.WARN, f"nothing listens on {settings.url}", "Start it: make run")
    except httpx.HTTPError as error:
        return Finding("service", State.FAIL, f"{settings.url}: {type(error).__name__}", "Choose another PORT.")
    if answer.is_success:
        return Finding("service", State.OK, settings.url)
    if answer.status_code == int(httpx.codes.SERVICE_UNAVAILABLE):
        return Finding("service", State.FAIL, f"{settings.url} runs without its database", "See the postgres line.")
    return Finding("service", State.FAIL, f"{settings.url} is another program", "Choose another PORT.")


async def model(settings: Settings) -> Finding:
    """Which model answers, and whether its server can be reached."""
    if settings.offline_model:
        return Finding(
            "model", State.OK, "offline, rule-based", "For a real one set OPENAI_API_KEY, or OPENAI_BASE_URL."
        )
    base = settings.openai_base_url or "https://api.openai.com/v1"
    return await _reachable("model", base, f"{settings.model_plan} at {base}", default_port=443)


async def rabbitmq(settings: Settings) -> Finding:
    """Whether events reach the broker."""
    if settings.rabbitmq_url is None:
        return Finding("rabbitmq", State.OK, "not configured: events wait in PostgreSQL", "Set RABBITMQ_URL.")
    url = settings.rabbitmq_url.get_secret_value()
    return await _reachable("rabbitmq", url, urlsplit(url).hostname or "?", default_port=5672)


async def redis(settings: Settings) -> Finding:
    """Whether several processes share caches and limits."""
    if settings.redis_url is None:
        return Finding("redis", State.OK, "not configured: fine for one process", "Set REDIS_URL.")
    url = settings.redis_url.get_secret_value()
    return await _reachable("redis", url, urlsplit(url).hostname or "?", default_port=6379)


async def lake(settings: Settings) -> Finding:
    """Whether Parquet files are there to be read."""
    if "://" in settings.lake:
        return Finding("lake", State.OK, settings.lake)
    files = await asyncio.to_thread(lambda: sum(1 for _ in Path(settings.lake).rglob("*.parquet")))
    return Finding("lake", State.OK, f"{files} Parquet files")


CHECKS: tuple[Check, ...] = (python, data_directory, postgres, schema, service, model, rabbitmq, redis, lake)


async def examine(settings: Settings, checks: Iterable[Check] = CHECKS) -> list[Finding]:
    """Every finding, in order; the checks run side by side."""
    return list(await asyncio.gather(*(check(settings) for check in checks)))


async def _answers(url: str, where: str, *, must_obey: bool = False) -> Finding:
    """Ask the server; `must_obey` finds fault with a login that row-level security does not bind."""
    try:
        connection = await psycopg.AsyncConnection.connect(url, connect_timeout=PATIENCE_SECONDS)
        async with connection:
            cursor = await connection.execute(
                "SELECT current_setting('server_version_num')::int / 10000,"
                " (SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
                " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),"
                " (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)"
            )
            row = await cursor.fetchone()
    except psycopg.Error as error:
        return Finding("postgres", State.FAIL, f"{where}: {_first_line(error)}", "Check the URL, and that it runs.")
    version, installed, available, unbound = row or (None, None, None, None)
    if available is None:
        return Finding(
            "postgres", State.FAIL, f"{where}: PostgreSQL {version} has no pgvector", "Install pgvector on that server."
        )
    if must_obey and unbound:
        return Finding(
            "postgres",
            State.WARN,
            f"{where} logs in as a superuser: row-level security does not bind it",
            "Let DATABASE_URL name goals_login, and MIGRATION_DATABASE_URL the owner.",
        )
    return Finding("postgres", State.OK, f"{where}, PostgreSQL {version}, pgvector {installed or available}")


async def _reachable(name: str, url: str, shown: str, *, default_port: int) -> Finding:
    parts = urlsplit(url)
    port = parts.port or (80 if parts.scheme == "http" else default_port)
    try:
        opening = asyncio.open_connection(parts.hostname, port)
        _, writer = await asyncio.wait_for(opening, PATIENCE_SECONDS)
    except (OSError, TimeoutError, socket.gaierror) as error:
        return Finding(name, State.FAIL, f"{shown}: {_first_line(error)}", f"Start it, or mend its URL ({port}).")
    writer.close()
    return Finding(name, State.OK, shown)


def _owner_url(settings: Settings) -> str | None:
    given = settings.migration_database_url or settings.database_url
    if given is not None:
        return given.get_secret_value()
    server = embedded.look(settings.data_dir)
    return server.owner_url if server is not None else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
