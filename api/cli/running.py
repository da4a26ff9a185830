"""The application under uvicorn, answering for as long as a block runs; signals ask it to stop."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import NamedTuple

import uvicorn
from typing_extensions import override

from api.app import create_app
from api.cli.console import Trouble, step
from api.cli.garbage import settle
from api.settings import Settings

GRACE_SECONDS = 10
LARGEST_FRAME = 4 * 1024 * 1024
"""In bytes: as many as the characters a frame may have can take."""


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
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        # Uvicorn leaves the process when the application does not start; we still have to clean up, and to say so.
        with suppress(SystemExit):
            await super().serve(sockets)

    @override
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to `running`."""
        yield


@asynccontextmanager
async def running(settings: Settings, listening: socket.socket) -> AsyncGenerator[Running]:
    """The service, answering; stopped politely when the block ends."""
    app = create_app(settings)
    server = Service(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            ws="auto",
            ws_max_size=LARGEST_FRAME,
        )
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
        settle()
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


async def first_of(event: Coroutine[None, None, object], task: "asyncio.Task[None]") -> bool:
    """Wait for whichever comes first; True when it was the event. The task goes on."""
    waiting = asyncio.create_task(event, name="waiting")
    done, _ = await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return waiting in done and task not in done
