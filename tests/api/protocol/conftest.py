"""A service with small graphs, over real HTTP, and clients for two learners."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from api.app import create_app
from api.auth.tokens import Tokens
from api.runs.engine import Engine, Limits, run_executor
from api.services import open_tokens
from api.settings import Settings
from store.database import Database
from store.principal import Principal
from tests.api.protocol.graphs import Gate, all_graphs


@dataclass
class Service:
    """A running service."""

    url: str
    engine: Engine
    database: Database
    tokens: Tokens
    opened: list[LangGraphClient] = field(default_factory=list[LangGraphClient])

    def token(self, principal: Principal) -> str:
        """What signs somebody in."""
        return self.tokens.issue(principal).access_token

    def client(self, principal: Principal) -> LangGraphClient:
        """The real SDK, signed in as somebody."""
        client = get_client(url=self.url, headers={"Authorization": f"Bearer {self.token(principal)}"})
        self.opened.append(client)
        return client


@pytest.fixture
def settings() -> Settings:
    """Settings that read no environment."""
    return Settings(_env_file=None)  # pyright: ignore[reportCallIssue] - a pydantic-settings option


@pytest.fixture
def gate() -> Gate:
    """Holds the runs of `held_echo` and `held_steps`."""
    return Gate()


@pytest.fixture
def graphs(gate: Gate) -> dict[str, Any]:
    """What the service serves; override to serve something else."""
    return all_graphs(gate)


@pytest.fixture
async def service(database: Database, settings: Settings, graphs: dict[str, Any]) -> AsyncIterator[Service]:
    """The application on a free port of this machine."""
    tokens = open_tokens(settings)
    async with run_executor(database, graphs, Limits(grace_seconds=1.0)) as engine:
        services: Any = SimpleNamespace(settings=settings, database=database, tokens=tokens, runs=engine)
        app = create_app(settings, services=services)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
            config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listening]), name="uvicorn")
            while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
                await asyncio.sleep(0.01)
            running = Service(f"http://127.0.0.1:{port}", engine, database, tokens)
            yield running
            for client in running.opened:
                await client.aclose()
            server.should_exit = True
            await serving


@pytest.fixture
def client(service: Service, learner: Principal) -> LangGraphClient:
    """Ada's SDK."""
    return service.client(learner)
