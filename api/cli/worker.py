"""`goals worker`: executes runs and carries events on, without listening on any port."""

import asyncio
import signal
import socket
from contextlib import AsyncExitStack, ExitStack
from typing import Annotated

import typer

from api.cli.console import err
from api.cli.processes import parent_gone
from api.settings import Settings


def worker(
    listen_fd: Annotated[int | None, typer.Option(hidden=True, help="Serve on this inherited socket as well.")] = None,
    parent: Annotated[int, typer.Option(hidden=True, help="End when this process does.")] = 0,
) -> None:
    """Take runs from the queue and carry events to their sinks until stopped. Start as many as you like."""
    import uvloop

    from api.cli.serve import check_traces, configure_logs, reach

    settings = Settings()
    configure_logs(settings)
    check_traces(settings)
    if not settings.embedded:
        reach(settings, err.print)
    with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        listening = stack.enter_context(socket.socket(fileno=listen_fd)) if listen_fd is not None else None
        runner.run(_work(settings, listening, parent))


async def _work(settings: Settings, listening: socket.socket | None, parent: int) -> None:
    async with AsyncExitStack() as stack:
        stop = asyncio.Event()
        if listening is not None:
            from api.cli.running import running

            service = await stack.enter_async_context(running(settings, listening))
            ends = {asyncio.create_task(service.stop.wait()), asyncio.create_task(parent_gone(parent)), service.task}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return
        from api.cli.garbage import settle
        from api.services import open_services

        loop = asyncio.get_running_loop()
        for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(kind, stop.set)
        await stack.enter_async_context(open_services(settings))
        settle()
        await stop.wait()
