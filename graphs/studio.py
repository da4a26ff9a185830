"""The graphs for LangGraph Server and Studio (`langgraph dev`), which has no start-up code of ours.

Nothing is opened at import: the pool, and the embedded PostgreSQL where no DATABASE_URL is set, start with the first
transaction and are shared by all runs. The client writes a run's context there, so identity comes from `auth` alone:
STUDIO_USER names the learner Studio acts for, and without it every request is refused.
"""

import asyncio
import atexit
import hmac
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

import httpx
from langgraph_sdk import Auth
from pydantic import SecretStr

from graphs import GRAPHS
from graphs.deps import Deps
from graphs.opening import EmbedderConfig, ModelSettings, offline_rules, open_embedder, open_models
from store import embedded, migrate
from store.database import Database, Transaction
from store.principal import Origin, Principal

auth = Auth()


@auth.authenticate
async def authenticate(authorization: str | None) -> Auth.types.MinimalUserDict:
    """Let Studio act for STUDIO_USER; where STUDIO_TOKEN is set, only with it as bearer token."""
    user, token = os.environ.get("STUDIO_USER"), os.environ.get("STUDIO_TOKEN")
    if not user:
        raise Auth.exceptions.HTTPException(
            status_code=401, detail="Set STUDIO_USER to the id of the learner that Studio shall act for."
        )
    given = (authorization or "").removeprefix("Bearer ")
    if token and not hmac.compare_digest(given.encode(), token.encode()):
        raise Auth.exceptions.HTTPException(status_code=401, detail="Send STUDIO_TOKEN as bearer token.")
    return {"identity": user, "is_authenticated": True}


class LazyDatabase:
    """Opens one pool per event loop with the first transaction; the server may run graphs on several loops."""

    def __init__(self) -> None:
        self._opened: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Database]] = WeakKeyDictionary()

    @asynccontextmanager
    async def transaction(self, principal: Principal, origin: Origin | None = None) -> AsyncGenerator[Transaction]:
        loop = asyncio.get_running_loop()
        if loop not in self._opened or _failed(self._opened[loop]):
            self._opened[loop] = loop.create_task(_open(), name="open database")
        database = await asyncio.shield(self._opened[loop])
        async with database.transaction(principal, origin) as tx:
            yield tx


async def _open() -> Database:
    url = os.environ.get("DATABASE_URL") or await asyncio.to_thread(_start_embedded)
    return await Database(url, max_size=int(os.environ.get("DATABASE_POOL_MAX", "16"))).__aenter__()


def _start_embedded() -> str:
    server = embedded.start(Path(os.environ.get("DATA_DIR", ".data")))
    atexit.register(server.close)
    migrate.upgrade(server.owner_url)
    return server.login_url


def _failed(task: asyncio.Task[Database]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _deps() -> Deps:
    key = os.environ.get("OPENAI_API_KEY")
    defaults = ModelSettings()
    settings = ModelSettings(
        api_key=SecretStr(key) if key else None,
        base_url=os.environ.get("OPENAI_BASE_URL") or None,
        plan=os.environ.get("MODEL_PLAN", defaults.plan),
        review=os.environ.get("MODEL_REVIEW", defaults.review),
        explain=os.environ.get("MODEL_EXPLAIN", defaults.explain),
    )
    return Deps(
        database=LazyDatabase(),
        # Clients that need not be closed: the development server does not tell when it ends.
        models=open_models(settings, offline_rules(), (httpx.Client(), httpx.AsyncClient())),
        embedder=open_embedder(EmbedderConfig(key, settings.base_url)),
    )


_shared = _deps()
goal_planning = GRAPHS["goal_planning"](_shared)
code_validation = GRAPHS["code_validation"](_shared)
task_suggestion = GRAPHS["task_suggestion"](_shared)
