"""What one would write in an afternoon: FastAPI, sse-starlette and LangGraph's own saver. The bench's yardstick."""

import json
import os
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from sse_starlette import EventSourceResponse

from bench.serving_agent import build


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Open the pool and compile the graph."""
    kwargs: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(os.environ["PLAIN_URL"], max_size=16, kwargs=kwargs, open=False) as pool:
        saver = AsyncPostgresSaver(pool)  # pyright: ignore[reportArgumentType] - the row factory is in kwargs
        await saver.setup()
        app.state.graph = build().compile(checkpointer=saver)
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/runs/stream")
async def stream(request: Request) -> EventSourceResponse:
    """Stream one run on a new thread."""
    body = await request.json()

    async def events() -> AsyncGenerator[dict[str, str]]:
        config = {"configurable": {"thread_id": str(uuid.uuid4())}}
        async for chunk, metadata in app.state.graph.astream(
            body["input"], config, stream_mode="messages", durability="sync"
        ):
            yield {"event": "messages", "data": json.dumps([chunk.model_dump(), metadata], default=str)}
        yield {"event": "end", "data": "null"}

    return EventSourceResponse(events())


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", loop="uvloop", http="httptools")
