"""Steps a second of concurrent runs when the database is some milliseconds away.

python -m bench.serving_far [--runs 16] [--steps 30] [--ms 10]
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import psycopg.conninfo
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from api.runs.engine import Engine, run_executor
from bench.serving import answering
from bench.serving_servers import Server, start
from store import embedded, migrate
from store.database import Database
from store.principal import Principal
from store.types import Role, new_id

ME = Principal("ada", Role.LEARNER)
PORT = 18921


class State(TypedDict):
    """A counter."""

    steps: int


def agent(steps: int) -> StateGraph[Any, Any, Any, Any]:
    """Take `steps` steps that do nothing: all the time goes into keeping them."""

    async def step(state: State) -> dict[str, Any]:
        return {"steps": state["steps"] + 1}

    def onward(state: State) -> str:
        return "step" if state["steps"] < steps else END

    builder = StateGraph(State)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", onward, ["step", END])
    return builder


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Copy bytes, each `seconds` after it came."""
    loop = asyncio.get_running_loop()
    waiting: deque[tuple[float, bytes]] = deque()
    news = asyncio.Event()

    async def send() -> None:
        while True:
            while not waiting:
                news.clear()
                await news.wait()
            due, data = waiting.popleft()
            await asyncio.sleep(due - loop.time())
            if not data:
                break
            writer.write(data)
        writer.close()

    sending = asyncio.create_task(send())
    while True:
        data = await reader.read(2**16)
        waiting.append((loop.time() + seconds, data))
        news.set()
        if not data:
            break
    await sending


async def proxy(port: int, socket: str, milliseconds: float) -> None:
    """Stand between a TCP port and PostgreSQL's socket, half of the way in each direction."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_unix_connection(socket)
        half = milliseconds / 2000
        await asyncio.gather(
            passed_on(reader, to_writer, half), passed_on(to_reader, writer, half), return_exceptions=True
        )

    async with await asyncio.start_server(accepted, "127.0.0.1", port) as server:
        await server.serve_forever()


async def one(engine: Engine, steps: int) -> bool:
    """Run once on a new thread; tell whether it came to its end."""
    body = {
        "assistant_id": "agent",
        "input": {"steps": 0},
        "if_not_exists": "create",
        "stream_mode": ["updates"],
        "config": {"recursion_limit": steps + 5},
    }
    thread_id = str(new_id())
    started = await engine.start_run(ME, body, thread_id)
    seen = 0
    async for batch in engine.cursor(ME, thread_id, started.after, fresh=True).of_run(started.run.run_id):
        seen += sum(frame.event == "updates" for frame in batch)
    return seen == steps


async def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=16)
    options.add_argument("--steps", type=int, default=30)
    options.add_argument("--ms", type=float, default=10.0)
    options.add_argument("--proxy", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.proxy:
        await proxy(PORT, chosen.proxy, chosen.ms)
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(embedded.start(folder / "data"))
        migrate.upgrade(server.owner_url)
        known = psycopg.conninfo.conninfo_to_dict(server.login_url)
        socket = f"{known['host']}/.s.PGSQL.{known.get('port') or 5432}"
        command = [sys.executable, "-m", "bench.serving_far", "--proxy", socket, "--ms", str(chosen.ms)]
        await answering(Server("proxy", PORT, start(stack, command, {})))
        url = psycopg.conninfo.make_conninfo(server.login_url, host="127.0.0.1", port=PORT)
        async with (
            Database(url, min_size=16, max_size=16) as database,
            run_executor(database, {"agent": agent(chosen.steps)}) as engine,
        ):
            await asyncio.gather(*(one(engine, chosen.steps) for _ in range(chosen.runs)))
            begin = time.perf_counter()
            complete = await asyncio.gather(*(one(engine, chosen.steps) for _ in range(chosen.runs)))
            seconds = time.perf_counter() - begin
        result = {
            "runs": chosen.runs,
            "database away ms": chosen.ms,
            "steps/s": round(chosen.runs * chosen.steps / seconds),
            "incomplete": complete.count(False),
        }
        print(orjson.dumps(result).decode())


if __name__ == "__main__":
    asyncio.run(main())
