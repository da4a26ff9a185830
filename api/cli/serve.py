"""`goals serve`: starts what the service needs, serves, and stops all of it again on Ctrl-C."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Annotated, NamedTuple, TextIO, cast

import typer
import uvicorn
import uvloop
from rich.rule import Rule
from typing_extensions import override

from api import logs
from api.cli.console import Trouble, err, out, step
from api.cli.tokens import LOCAL_USER, ensure_user
from api.demo import show_sample
from api.settings import Settings
from store import embedded, migrate
from store.types import Role

GRACE_SECONDS = 10
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Running(NamedTuple):
    """A service that answers."""

    task: "asyncio.Task[None]"
    stop: asyncio.Event
    """Set by a signal."""
    flush: Callable[[], Awaitable[bool]]
    """Brings the events so far to Parquet now."""


class Service(uvicorn.Server):
    """Uvicorn that tells when it is ready, and leaves signals to us: its own way would skip stopping PostgreSQL."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready.set()

    @override
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to `running`."""
        yield


def serve(
    demo: Annotated[bool, typer.Option("--demo", help="Seed a demo course and stream one sample plan, once.")] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default PORT.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port and the work.")] = 1,
) -> None:
    """Start the service, with an embedded PostgreSQL unless DATABASE_URL is set."""
    given = {name: value for name, value in {"host": host, "port": port}.items() if value is not None}
    settings = Settings().model_copy(update=given)
    configure_logs(settings)
    out.print(f"\n[bold]AI Goals Tracker[/bold] [quiet]{version('ai-goals-tracker')}[/quiet]\n")
    with ExitStack() as stack:
        listening = stack.enter_context(_listen(settings))
        login_url = _prepare(settings, stack)
        stack.enter_context(_helpers(workers - 1, listening, login_url))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listening, login_url, demo=demo))
        out.print("\n[quiet]Stopping ...[/quiet]")
    out.print("[ok]✓[/ok] Stopped" + (f"; everything is kept in {settings.data_dir}" if settings.embedded else ""))


def configure_logs(settings: Settings) -> None:
    """JSON lines for machines; on a terminal, where our own lines tell the story, only what is wrong."""
    terminal = sys.stderr.isatty()
    level = "warning" if terminal and "log_level" not in settings.model_fields_set else settings.log_level
    as_json = not terminal if settings.log_format == "auto" else settings.log_format == "json"
    logs.configure(level, as_json=as_json, stream=cast("TextIO", _StandardError()))
    for noisy in ("alembic", "uvicorn", "httpx", "langgraph"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if terminal:
        # That the offline embedder is the poorer one stands in the block at the end of the start.
        logging.getLogger("agents.embedders").setLevel(logging.ERROR)


class _StandardError:
    """Whatever stderr is at the moment of writing: a spinner on the terminal puts itself in its place."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def _listen(settings: Settings) -> socket.socket:
    """Take the port first: that it is in use is told before anything is started."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise Trouble(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
            "If it is in use, stop the other program or choose another port: PORT=8001 make run",
        ) from error
    return listening


def _prepare(settings: Settings, stack: ExitStack) -> str | None:
    """Bring the database up and up to date; returns the runtime URL of an embedded one."""
    login_url = None
    if settings.embedded:
        with step("PostgreSQL") as current:
            server = stack.enter_context(embedded.start(settings.data_dir, current.tell))
            current.title = "PostgreSQL joined" if server.attached else "PostgreSQL started"
            current.detail = f"kept in {settings.data_dir}"
        owner_url, login_url = server.owner_url, server.login_url
    elif settings.migration_database_url is not None:
        owner_url = settings.migration_database_url.get_secret_value()
    else:
        return None
    with step("Schema") as current:
        applied = migrate.upgrade(owner_url)
        current.title = f"Schema made, {len(applied)} migrations" if applied else "Schema is current"
    return login_url


@contextmanager
def _helpers(count: int, listening: socket.socket, login_url: str | None) -> Generator[None]:
    """Further processes that serve on the same socket; stopped, and waited for, when the block ends."""
    command = [sys.executable, "-c", "from api.cli import main; main()", "worker", "--listen-fd"]
    environment = {**os.environ, **({"DATABASE_URL": login_url} if login_url is not None else {})}
    descriptor = listening.fileno()
    started = [
        subprocess.Popen([*command, str(descriptor)], pass_fds=[descriptor], env=environment) for _ in range(count)
    ]
    try:
        yield
    finally:
        for helper in started:
            helper.terminate()
        for helper in started:
            try:
                helper.wait(2 * GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                helper.kill()


async def _serve(settings: Settings, listening: socket.socket, login_url: str | None, *, demo: bool) -> None:
    """Serve until a signal; on the embedded default, introduce the local user and show a sample first."""
    async with running(settings, listening) as (service, stop, flush):
        sign_in = await _sign_in_link(settings, login_url) if login_url is not None else None
        if demo and login_url is not None:
            await _or_stop(stop, show_sample(settings, flush))
        if not stop.is_set():
            _introduce(settings, sign_in)
            await first_of(stop.wait(), service)


@asynccontextmanager
async def running(settings: Settings, listening: socket.socket) -> AsyncGenerator[Running]:
    """The service, answering; stopped politely when the block ends."""
    from api.app import create_app

    app = create_app(settings)
    server = Service(
        uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_SECONDS, ws="auto")
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(kind, _on_signal, server, stop)
    with step("Service") as current:
        task = asyncio.create_task(server.serve(sockets=[listening]), name="uvicorn")
        if not await first_of(server.ready.wait(), task):
            await task
            raise Trouble("The service did not start; the lines above say why.", "`goals doctor` looks at every part.")
        current.title = f"Serving on {settings.url}"
    try:
        yield Running(task, stop, app.state.services.events.flush)
    finally:
        server.should_exit = True
        await task


def _on_signal(server: Service, stop: asyncio.Event) -> None:
    if stop.is_set():
        server.force_exit = True
    stop.set()
    server.should_exit = True


async def _or_stop(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Run `work`, unless a signal comes first; its failure is told and does not end the service."""
    task = asyncio.create_task(work, name="sample")
    if await first_of(stop.wait(), task):
        task.cancel()
        await asyncio.wait({task})
    elif (error := task.exception()) is not None:
        err.print(f"[warn]The sample plan did not work out: {error}[/warn]")


async def first_of(event: Coroutine[None, None, object], task: "asyncio.Task[None]") -> bool:
    """Wait for whichever comes first; True when it was the event. The task goes on."""
    waiting = asyncio.create_task(event, name="waiting")
    done, _ = await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return waiting in done and task not in done


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
        "Sign in": f"{sign_in}\n[quiet]works once, for 15 minutes; for scripts: goals token --user {LOCAL_USER}[/quiet]"
        if sign_in
        else "POST /auth/token",
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
