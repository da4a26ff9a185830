"""Serves the same agent from several servers in turn: runs a second, first token, CPU and memory, exactness.

    python -m bench.serving [--peers] [--runs 64] [--at 1,32] [--rounds 2] [--streams 1,40]

Every answer is compared with the exact expected text; a lost, doubled or misordered token is an error. Servers take
turns, round by round, and whoever does not have the turn is stopped, so nobody's idle loops weigh on another.
Peers that need an environment of their own are named by LANGGRAPH_CLI (a `langgraph` command) and AEGRA_PYTHON (an
interpreter); docs/serving.md tells how to make them.
"""

import argparse
import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import psutil
import psycopg
import psycopg.conninfo

from bench.serving_agent import build
from bench.serving_model import EXPECTED
from bench.serving_servers import MODEL_PORT, Server, our_server, peers, start
from store import embedded, migrate

QUESTION = {"messages": [{"role": "user", "content": "Tell me about rust."}]}


@dataclass
class Result:
    """What one run showed its client."""

    frame: float
    token: float
    total: float
    exact: bool


async def one(server: Server) -> Result:
    """Start a run and read it to its end."""
    body = orjson.dumps({"input": QUESTION, **server.body})
    head = (
        f"POST {server.path.format(thread=uuid4())} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"{server.headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**22)
    writer.write(head.encode() + body)
    text: list[str] = []
    frame = token = 0.0
    event = b""
    async for line in reader:
        if line.startswith(b"event:"):
            event = line[6:].strip()
            frame = frame or time.perf_counter() - begin
        elif line.startswith(b"data:") and event == b"messages":
            chunk = orjson.loads(line[5:])[0]
            if chunk["type"] in ("AIMessageChunk", "ai") and chunk["content"]:
                token = token or time.perf_counter() - begin
                text.append(chunk["content"])
    writer.close()
    return Result(frame, token, time.perf_counter() - begin, "".join(text) == EXPECTED)


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and its children."""
    return [member for member in (process, *process.children(recursive=True)) if member.is_running()]


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds of a process and its children so far."""
    return sum(sum(member.cpu_times()[:2]) for member in family(process))


async def measure(
    server: Server, postgres: psutil.Process, at: int, runs: int, *, warm: bool = True
) -> dict[str, float]:
    """Run `runs` runs, `at` of them at a time."""
    process = psutil.Process(server.process.pid)
    if warm:
        await asyncio.gather(*(one(server) for _ in range(min(at, 8))))
    gate = asyncio.Semaphore(at)

    async def guarded() -> Result:
        async with gate:
            return await one(server)

    cpu, database, begin = cpu_of(process), cpu_of(postgres), time.perf_counter()
    results = await asyncio.gather(*(guarded() for _ in range(runs)))
    seconds = time.perf_counter() - begin
    tokens = sorted(result.token for result in results)
    return {
        "runs/s": runs / seconds,
        "frame p50 ms": statistics.median(result.frame for result in results) * 1000,
        "token p50 ms": tokens[len(tokens) // 2] * 1000,
        "token p95 ms": tokens[int(len(tokens) * 0.95)] * 1000,
        "CPU ms/run": (cpu_of(process) - cpu) / runs * 1000,
        "PG ms/run": (cpu_of(postgres) - database) / runs * 1000,
        "RSS MiB": sum(member.memory_info().rss for member in family(process)) / 2**20,
        "wrong": sum(not result.exact for result in results),
    }


@contextmanager
def its_turn(server: Server, servers: Sequence[Server]) -> Generator[None]:
    """Stop every other server for the length of the block."""
    others = [
        member for other in servers if other is not server for member in family(psutil.Process(other.process.pid))
    ]
    for member in others:
        member.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for member in others:
            member.send_signal(signal.SIGCONT)


async def answering(server: Server) -> None:
    """Wait until a server's port is open."""
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            if server.process.poll() is not None:
                break
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise RuntimeError(f"{server.name} does not answer")


def report(name: str, at: int, rounds: list[dict[str, float]]) -> dict[str, float]:
    """Print the medians of several rounds; errors are added up."""
    line = {key: round(statistics.median(one[key] for one in rounds), 1) for key in rounds[0]}
    line["wrong"] = sum(one["wrong"] for one in rounds)
    print(orjson.dumps({"server": name, "at": at, **line}).decode(), flush=True)
    return line


async def compare(servers: Sequence[Server], postgres: psutil.Process, at: int, runs: int, rounds: int) -> None:
    """Measure all servers in turn at one load and print their figures, then ours against each of theirs."""
    found: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
    for turn in range(rounds):
        for server in servers if turn % 2 == 0 else reversed(servers):
            with its_turn(server, servers):
                found[server.name].append(await measure(server, postgres, at, max(at, runs // server.slow)))
    lines = {name: report(name, at, each) for name, each in found.items()}
    ours = lines.pop("ours")
    for name, line in lines.items():
        ratios = {
            "runs/s": round(ours["runs/s"] / line["runs/s"], 2),
            "token p50": round(line["token p50 ms"] / ours["token p50 ms"], 2),
            "CPU": round(line["CPU ms/run"] / ours["CPU ms/run"], 2),
        }
        print(orjson.dumps({"ours is better than": name, "at": at, **ratios}).decode(), flush=True)


async def settled(servers: Sequence[Server], owner_url: str) -> None:
    """Let every server do what is done once, and PostgreSQL learn the tables, as autovacuum would within a minute."""
    for server in servers:
        with its_turn(server, servers):
            await asyncio.gather(*(one(server) for _ in range(16)))
    with psycopg.connect(owner_url, autocommit=True) as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate").fetchall()
    for (name,) in names:
        url = psycopg.conninfo.make_conninfo(owner_url, dbname=name)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ANALYZE")


async def pace(seconds: float) -> None:
    """Tell the model how long to pause between tokens."""
    async with httpx.AsyncClient() as http:
        (await http.post(f"http://127.0.0.1:{MODEL_PORT}/pace", json=seconds)).raise_for_status()


async def alone(graph: Any) -> Result:
    """Run the graph in this process, with nothing around it."""
    begin = time.perf_counter()
    token = 0.0
    text: list[str] = []
    async for chunk, _ in graph.astream(QUESTION, stream_mode="messages"):
        if chunk.type == "AIMessageChunk" and chunk.content:
            token = token or time.perf_counter() - begin
            text.append(chunk.content)
    return Result(token, token, time.perf_counter() - begin, "".join(text) == EXPECTED)


async def open_streams(servers: Sequence[Server], postgres: psutil.Process, at: int) -> None:
    """Open `at` streams at once while the model speaks as fast as people read twice over: 50 tokens a second."""
    os.environ["FAKE_MODEL_URL"] = f"http://127.0.0.1:{MODEL_PORT}/v1"
    graph = build(lean=True).compile()
    await pace(0.0)
    await asyncio.gather(*(alone(graph) for _ in range(8)))
    await pace(0.02)
    results = await asyncio.gather(*(alone(graph) for _ in range(at)))
    base = statistics.median(result.token for result in results) * 1000
    line = {"token p50 ms": round(base, 1), "wrong": sum(not result.exact for result in results)}
    print(orjson.dumps({"server": "graph in process", "streams": at, **line}).decode(), flush=True)
    for server in servers:
        with its_turn(server, servers):
            await pace(0.0)
            await asyncio.gather(*(one(server) for _ in range(8)))
            await pace(0.02)
            found = await measure(server, postgres, at, at, warm=False)
            line = {key: round(value, 1) for key, value in found.items() if key != "runs/s"}
            line["token p50 over the graph's"] = round(found["token p50 ms"] - base, 1)
            print(orjson.dumps({"server": server.name, "streams": at, **line}).decode(), flush=True)
    await pace(0.0)


async def main() -> None:
    """Measure and print one line per server and load, and one per peer with the ratios."""
    options = argparse.ArgumentParser()
    options.add_argument("--peers", action="store_true")
    options.add_argument("--runs", type=int, default=64)
    options.add_argument("--at", default="1,32")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--streams", default="1,40")
    chosen = options.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(embedded.start(folder / "data"))
        migrate.upgrade(database.owner_url)
        start(stack, [sys.executable, "-m", "bench.serving_model", str(MODEL_PORT)], {})
        servers = [our_server(stack, database.login_url, 18902)]
        if chosen.peers:
            servers += peers(stack, folder, database.owner_url)
        for server in servers:
            await answering(server)
        postmaster = int(next((folder / "data").rglob("postmaster.pid")).read_text().split()[0])
        await settled(servers, database.owner_url)
        for at in (int(number) for number in chosen.at.split(",")):
            runs = chosen.runs if at > 1 else chosen.runs // 8
            await compare(servers, psutil.Process(postmaster), at, runs, chosen.rounds)
        for at in (int(number) for number in chosen.streams.split(",") if number):
            await open_streams(servers[:2], psutil.Process(postmaster), at)


if __name__ == "__main__":
    asyncio.run(main())
