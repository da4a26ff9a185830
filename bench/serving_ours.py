"""Our protocol routes, run engine and metrics around the bench's agent; on SIGUSR1 it prints where memory has gone."""

import asyncio
import gc
import os
import signal
import sys
import tracemalloc
from types import SimpleNamespace
from typing import Any

import uvicorn
import uvloop

from api.app import create_app
from api.cli.garbage import settle
from api.cli.listening import listen
from api.runs.engine import Limits, run_executor
from api.services import open_tokens
from api.settings import Settings
from bench.serving_agent import build
from store.database import Database
from store.principal import Principal
from store.types import Role


class _Quiet:
    """No event path, so nothing to measure there."""

    async def measure(self) -> None: ...

    def measure_here(self) -> None: ...


def _account(before: tracemalloc.Snapshot) -> None:
    gc.collect()
    for difference in tracemalloc.take_snapshot().compare_to(before, "traceback")[:25]:
        print(difference, *difference.traceback.format(), sep="\n", file=sys.stderr, flush=True)


async def serve(port: int) -> None:
    """Serve until killed; the first line printed is a token."""
    settings = Settings(_env_file=None, port=port)  # pyright: ignore[reportCallIssue] - a pydantic-settings option
    listening = listen(settings)
    tokens = open_tokens(settings)
    if "TRACE_MEMORY" in os.environ:
        # Two signals: the first takes the snapshot, the second compares with it.
        taken: list[tracemalloc.Snapshot] = []
        tracemalloc.start(8)
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGUSR1, lambda: _account(taken[0]) if taken else taken.append(tracemalloc.take_snapshot())
        )
    async with (
        Database(os.environ["LOGIN_URL"], min_size=4, max_size=16) as database,
        run_executor(database, {"agent": build(lean=True)}, Limits(concurrent_runs=128)) as runs,
    ):
        services: Any = SimpleNamespace(settings=settings, database=database, tokens=tokens, runs=runs, events=_Quiet())
        settle()
        print(tokens.issue(Principal("ada", Role.LEARNER)).access_token, flush=True)
        config = uvicorn.Config(
            create_app(settings, services=services), log_level="warning", access_log=False, http="httptools"
        )
        await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
