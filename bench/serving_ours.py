"""Our protocol routes and run engine around the bench's agent, as one server process."""

import asyncio
import os
import sys
from types import SimpleNamespace
from typing import Any

import uvicorn
import uvloop

from api.app import create_app
from api.runs.engine import Limits, run_executor
from api.services import open_tokens
from api.settings import Settings
from bench.serving_agent import build
from store.database import Database
from store.principal import Principal
from store.types import Role


async def serve(port: int) -> None:
    """Serve until killed; the first line printed is a token."""
    settings = Settings(_env_file=None)  # pyright: ignore[reportCallIssue] - a pydantic-settings option
    tokens = open_tokens(settings)
    async with (
        Database(os.environ["LOGIN_URL"], min_size=4, max_size=16) as database,
        run_executor(database, {"agent": build(lean=True)}, Limits(concurrent_runs=128)) as runs,
    ):
        services: Any = SimpleNamespace(settings=settings, database=database, tokens=tokens, runs=runs)
        print(tokens.issue(Principal("ada", Role.LEARNER)).access_token, flush=True)
        config = uvicorn.Config(
            create_app(settings, services=services), port=port, log_level="warning", access_log=False, http="httptools"
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
