"""The two servers that bench/crud.py compares."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import orjson
from fastapi import FastAPI, Request, Response
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

from api.app import create_app
from api.services import assembled
from api.settings import Settings
from graphs.opening import Offline
from store.database import Database
from store.types import new_id

INSERT = """
INSERT INTO goals (id, user_id, course_id, title, description, type, status, priority, progress_percentage, visibility,
                   details, version, created_at, updated_at)
VALUES (%s, 'bench', %s, %s, %s, 'learning', 'pending', %s, 0, 'private', '{}', 1, now(), now())
RETURNING *
"""


def ours() -> FastAPI:
    """The service's own REST endpoints, without the background work that no request waits for."""
    settings = Settings()
    app = create_app(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        async with (
            Database(url, max_size=settings.database_pool_max) as database,
            assembled(settings, database, offline=Offline.HASH, relaying=False) as services,
        ):
            app.state.services = services
            yield

    app.router.lifespan_context = lifespan
    return app


def bare() -> FastAPI:
    """What somebody in a hurry would write, and write fast: same SQL, nothing around it."""
    pool = AsyncConnectionPool(
        os.environ["DATABASE_URL"], min_size=1, max_size=16, open=False, kwargs={"row_factory": dict_row}
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        set_json_loads(orjson.loads)
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/goals")
    async def create(request: Request) -> Response:
        body = orjson.loads(await request.body())
        values = (new_id(), body["course_id"], body["title"], body["description"], body["priority"])
        async with pool.connection() as connection:
            cursor = await connection.execute(INSERT, values)
            return _json(await cursor.fetchone(), 201)

    @app.get("/goals/{goal_id}")
    async def read(goal_id: UUID) -> Response:
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT * FROM goals WHERE id = %s AND user_id = %s", (goal_id, "bench"))
            return _json(await cursor.fetchone())

    @app.get("/goals")
    async def listing(limit: int = 20, skip: int = 0) -> Response:
        async with pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT * FROM goals WHERE user_id = %s ORDER BY created_at DESC, id LIMIT %s OFFSET %s",
                ("bench", limit, skip),
            )
            items = await cursor.fetchall()
            cursor = await connection.execute("SELECT count(*) AS total FROM goals WHERE user_id = %s", ("bench",))
            total = await cursor.fetchone()
            return _json({"items": items, "total": total["total"] if total else 0, "skip": skip, "limit": limit})

    return app


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
