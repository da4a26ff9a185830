"""The service with the test suite's small graphs, for the JavaScript tests: prints its address and two tokens."""

import asyncio
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import uvicorn

from api.app import create_app
from api.runs.engine import Limits, run_executor
from api.services import open_tokens
from api.settings import Settings
from store import embedded, migrate
from store.database import Database
from store.principal import Principal
from store.types import Role
from tests.api.protocol.graphs import Gate, all_graphs


async def serve(login_url: str) -> None:
    """Serve until killed."""
    settings = Settings(_env_file=None)  # pyright: ignore[reportCallIssue] - a pydantic-settings option
    tokens = open_tokens(settings)
    gate = Gate()
    async with (
        Database(login_url, max_size=8) as database,
        run_executor(database, all_graphs(gate), Limits(grace_seconds=1.0)) as runs,
    ):
        services: Any = SimpleNamespace(settings=settings, database=database, tokens=tokens, runs=runs)
        listening = socket.create_server(("127.0.0.1", 0))
        hello = {
            "url": f"http://127.0.0.1:{listening.getsockname()[1]}",
            "ada": tokens.issue(Principal("ada", Role.LEARNER)).access_token,
            "bob": tokens.issue(Principal("bob", Role.LEARNER)).access_token,
        }
        sys.stdout.buffer.write(orjson.dumps(hello) + b"\n")
        sys.stdout.flush()
        config = uvicorn.Config(create_app(settings, services=services), log_level="warning")
        await uvicorn.Server(config).serve(sockets=[listening])


def main() -> None:
    """Start PostgreSQL in a temporary folder, and the service on it; SIGTERM ends both."""
    # Uvicorn raises the signal again when it has stopped, which would end the process before PostgreSQL.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder) / "data") as server:
        migrate.upgrade(server.owner_url)
        asyncio.run(serve(server.login_url))


if __name__ == "__main__":
    main()
