"""How a long thread grows: stored bytes and the service's own CPU per turn, at 10 and at 1000 messages.

python -m bench.serving_thread [--turns 500]
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from api.runs.engine import Engine, run_executor
from graphs.messages import Messages
from store import embedded, migrate
from store.database import Database
from store.principal import SERVICE, Principal
from store.types import Role, new_id

WORDS = "the quick brown fox jumps over the lazy dog and " * 6
ME = Principal("ada", Role.LEARNER)


class State(TypedDict):
    """A conversation whose messages are kept as differences."""

    messages: Messages


def agent() -> StateGraph[Any, Any, Any, Any]:
    """Answer every message with 300 bytes."""

    async def answer(state: State) -> dict[str, Any]:  # noqa: ARG001 - LangGraph looks at the name
        return {"messages": [AIMessage(WORDS, id=str(new_id()))]}

    builder = StateGraph(State)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder


async def turn(engine: Engine, thread_id: str) -> float:
    """Take one turn; return its CPU seconds in this process."""
    begin = time.process_time()
    message = {"role": "user", "content": WORDS, "id": str(new_id())}
    body = {
        "assistant_id": "agent",
        "input": {"messages": [message]},
        "if_not_exists": "create",
        "stream_mode": ["updates", "messages-tuple"],
    }
    started = await engine.start_run(ME, body, thread_id)
    async for _ in engine.cursor(ME, thread_id, started.after).of_run(started.run.run_id):
        pass
    return time.process_time() - begin


async def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--turns", type=int, default=500)
    turns = options.parse_args().turns
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder) / "data") as server:
        migrate.upgrade(server.owner_url)
        async with (
            Database(server.login_url, max_size=8) as database,
            run_executor(database, {"agent": agent()}) as engine,
        ):
            thread_id = str(new_id())
            costs = [await turn(engine, thread_id) for _ in range(turns)]
            async with database.transaction(SERVICE) as tx:
                stored = await tx.fetch_value(
                    """
                    SELECT (SELECT coalesce(sum(pg_column_size(c.*)), 0) FROM checkpoints AS c)
                        + (SELECT coalesce(sum(pg_column_size(b.*)), 0) FROM checkpoint_blobs AS b)
                        + (SELECT coalesce(sum(pg_column_size(w.*)), 0) FROM checkpoint_writes AS w)
                    """
                )
                frames = await tx.fetch_value("SELECT coalesce(sum(pg_column_size(f.*)), 0) FROM run_frames AS f")
            early, late = sorted(costs[3:23])[10], sorted(costs[-20:])[10]
            result = {
                "messages": 2 * turns,
                "text MB": round(2 * turns * len(WORDS) / 1e6, 2),
                "checkpoints MB": round(stored / 1e6, 2),
                "frames MB": round(frames / 1e6, 2),
                "CPU ms per turn, early": round(early * 1000, 1),
                "CPU ms per turn, late": round(late * 1000, 1),
                "ratio": round(late / early, 2),
            }
            print(orjson.dumps(result).decode())


if __name__ == "__main__":
    asyncio.run(main())
