"""`goals serve`: starts what the service needs, serves, and stops all of it again on Ctrl-C."""

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from importlib.metadata import version
from typing import Annotated, TextIO, cast

import psycopg
import typer
from rich.rule import Rule

from api.cli.console import Trouble, err, out, step
from api.cli.listening import listen
from api.cli.processes import helpers
from api.cli.tokens import LOCAL_USER, ensure_user
from api.settings import Settings
from store import embedded
from store.types import Role

PATIENCE_SECONDS = 10
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def serve(
    demo: Annotated[bool, typer.Option("--demo", help="Seed a demo course and stream one sample plan, once.")] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default PORT.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port and the work.")] = 1,
) -> None:
    """Start the service, with an embedded PostgreSQL unless DATABASE_URL is set."""
    import uvloop

    given = {name: value for name, value in {"host": host, "port": port}.items() if value is not None}
    settings = Settings().model_copy(update=given)
    configure_logs(settings)
    check_traces(settings)
    check_keys(settings)
    out.print(f"\n[bold]AI Goals Tracker[/bold] [quiet]{version('ai-goals-tracker')}[/quiet]\n")
    with ExitStack() as stack:
        listening = stack.enter_context(listen(settings))
        login_url = _prepare(settings, stack)
        stack.enter_context(helpers(workers - 1, listening, login_url))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listening, login_url, demo=demo))
        out.print("\n[quiet]Stopping ...[/quiet]")
    out.print("[ok]✓[/ok] Stopped" + (f"; everything is kept in {settings.data_dir}" if settings.embedded else ""))


def check_traces(settings: Settings) -> None:
    """Refuse to start silently without the traces that were asked for."""
    from api import tracing

    if tracing.missing(settings):
        problem = "OTEL_EXPORTER_OTLP_ENDPOINT is set, but what sends traces is not installed."
        raise Trouble(problem, "pip install 'ai-goals-tracker\\[traces]', or unset it.")


def check_keys(settings: Settings) -> None:
    """Refuse a key nobody can sign with before anything is started."""
    from api.auth import keys

    if settings.jwt_private_key is not None or settings.jwt_public_keys:
        try:
            keys.load(settings)
        except keys.UnusableKey as error:
            raise Trouble(str(error), "openssl genpkey -algorithm ed25519 makes one.") from error


def configure_logs(settings: Settings) -> None:
    """JSON lines for machines; on a terminal, where our own lines tell the story, only what is wrong."""
    from api import logs

    terminal = sys.stderr.isatty()
    level = "warning" if terminal and "log_level" not in settings.model_fields_set else settings.log_level
    as_json = not terminal if settings.log_format == "auto" else settings.log_format == "json"
    logs.configure(level, as_json=as_json, stream=cast("TextIO", _StandardError()))
    for noisy in ("alembic", "uvicorn", "httpx", "langgraph"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.WARNING)
    if terminal:
        # That the offline embedder is the poorer one stands in the block at the end of the start.
        logging.getLogger("agents.embedders").setLevel(logging.ERROR)
        logging.getLogger("store.search_audit").propagate = False


class _StandardError:
    """Whatever stderr is at the moment of writing: a spinner on the terminal puts itself in its place."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def _prepare(settings: Settings, stack: ExitStack) -> str | None:
    """Bring the database up and up to date; returns the runtime URL of an embedded one."""
    from store import migrate

    login_url = None
    if settings.embedded:
        with step("PostgreSQL") as current:
            server = stack.enter_context(embedded.start(settings.data_dir, current.tell))
            current.title = "PostgreSQL joined" if server.attached else "PostgreSQL started"
            current.detail = f"kept in {settings.data_dir}"
        owner_url, login_url = server.owner_url, server.login_url
    else:
        with step("PostgreSQL") as current:
            reach(settings, current.tell)
            current.title = "PostgreSQL reached"
        if settings.migration_database_url is None:
            return None
        owner_url = settings.migration_database_url.get_secret_value()
    with step("Schema") as current:
        applied = migrate.upgrade(owner_url)
        current.title = f"Schema made, {len(applied)} migrations" if applied else "Schema is current"
    return login_url


def reach(settings: Settings, tell: Callable[[str], None]) -> None:
    """Wait for the database of DATABASE_URL, which may be starting as well.

    Raises OperationalError when it cannot be reached in time, Trouble when it is empty.
    """
    assert settings.database_url is not None
    last = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with psycopg.connect(settings.database_url.get_secret_value(), connect_timeout=5) as connection:
                made = connection.execute("SELECT to_regtype('goal_status') IS NOT NULL").fetchone()
        except psycopg.OperationalError as error:
            if time.monotonic() > last:
                raise
            tell(str(error).splitlines()[0])
            time.sleep(0.5)
        else:
            if made == (True,) or settings.migration_database_url is not None:
                return
            raise Trouble("The database is empty.", "Run `goals migrate` with MIGRATION_DATABASE_URL, its owner's.")


async def _serve(settings: Settings, listening: socket.socket, login_url: str | None, *, demo: bool) -> None:
    """Serve until a signal; on the embedded default, introduce the local user and show a sample first."""
    from api.cli.running import first_of, running
    from api.demo import show_sample

    async with running(settings, listening) as (service, stop, flush):
        sign_in = await _sign_in_link(settings, login_url) if login_url is not None else None
        if demo and login_url is not None:
            await _or_stop(stop, show_sample(settings, flush))
        if not stop.is_set():
            _introduce(settings, sign_in)
            await first_of(stop.wait(), service)


async def _or_stop(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Run `work`, unless a signal comes first; its failure is told and does not end the service."""
    from api.cli.running import first_of

    task = asyncio.create_task(work, name="sample")
    if await first_of(stop.wait(), task):
        task.cancel()
        await asyncio.wait({task})
    elif (error := task.exception()) is not None:
        err.print(f"[warn]The sample plan did not work out: {error}[/warn]")


async def _sign_in_link(settings: Settings, login_url: str) -> str | None:
    """Make the local user if need be, and a link that signs them in once. Never for a service others can reach."""
    from api.auth import links
    from store.database import Database

    async with Database(login_url, max_size=2) as database:
        await ensure_user(database, LOCAL_USER, "You", Role.INSTRUCTOR)
        if settings.host not in LOOPBACK:
            return None
        return f"{settings.url}/#sign-in={await links.issue(database, LOCAL_USER)}"


def _introduce(settings: Settings, sign_in: str | None) -> None:
    """Everything somebody needs to go on, in one block."""
    lines = {
        "API": settings.url,
        "Docs": f"{settings.url}/docs",
        "Sign in": f"{sign_in}\n[quiet]works once, for 15 minutes; another: "
        f".venv/bin/goals token --user {LOCAL_USER} --link[/quiet]"
        if sign_in
        else f"{settings.url}\n[quiet]with a password; scripts: POST /auth/token[/quiet]",
        "Plan": '.venv/bin/goals plan "Learn Rust in six weeks"',
        "Studio": f"https://smith.langchain.com/studio/?baseUrl={settings.url}\n"
        "[quiet]or LangGraph's own server: make studio[/quiet]",
        "Model": "offline: plans by fixed rules\n[quiet]for a real one set OPENAI_API_KEY in .env[/quiet]"
        if settings.offline_model
        else settings.model_plan,
    }
    out.print()
    out.print(Rule(style="quiet"))
    for name, value in lines.items():
        # Line by line and never wrapped or cut: links are copied from here.
        for number, line in enumerate(value.splitlines()):
            out.print(f"  [key]{'' if number else name:<9}[/key]{line}", soft_wrap=True, overflow="ignore", crop=False)
    out.print(Rule(style="quiet"))
    out.print("  [quiet]Ctrl-C stops it. Everything is kept.[/quiet]")
