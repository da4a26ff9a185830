"""Serves the same agent from several servers and counts: runs a second, first token, CPU per run, exactness.

    python -m bench.serving [--peers] [--runs 64] [--at 1,32]

Every answer is compared with the exact expected text; a lost, doubled or misordered token is an error.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil
import psycopg
import psycopg.conninfo

from bench.serving_model import EXPECTED
from store import embedded, migrate

QUESTION = {"messages": [{"role": "user", "content": "Tell me about rust."}]}


@dataclass
class Server:
    """A server under test."""

    name: str
    port: int
    process: "subprocess.Popen[str]"
    path: str = "/runs/stream"
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    headers: str = ""


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
        f"POST {server.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{server.headers}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
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


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds of a process and its children so far."""
    family = [process, *process.children(recursive=True)]
    return sum(sum(member.cpu_times()[:2]) for member in family if member.is_running())


async def measure(server: Server, postgres: psutil.Process, at: int, runs: int) -> dict[str, Any]:
    """Run `runs` runs, `at` of them at a time."""
    process = psutil.Process(server.process.pid)
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
        "server": server.name,
        "at": at,
        "runs/s": round(runs / seconds, 1),
        "frame ms": round(statistics.median(result.frame for result in results) * 1000, 1),
        "token p50": round(tokens[len(tokens) // 2] * 1000),
        "token p95": round(tokens[int(len(tokens) * 0.95)] * 1000),
        "CPU ms/run": round((cpu_of(process) - cpu) / runs * 1000, 1),
        "PG ms/run": round((cpu_of(postgres) - database) / runs * 1000, 1),
        "RSS MiB": process.memory_info().rss // 2**20,
        "wrong": sum(not result.exact for result in results),
    }


def start(
    stack: ExitStack, command: list[str], env: dict[str, str], cwd: Path | None = None
) -> "subprocess.Popen[str]":
    """Start a child process that dies with the bench."""
    process = subprocess.Popen(
        command, env={**os.environ, **env}, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


async def answering(server: Server) -> None:
    """Wait until a server's port is open."""
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise RuntimeError(f"{server.name} does not answer")


def langgraph_dev(stack: ExitStack, folder: Path, env: dict[str, str], port: int) -> Server | None:
    """LangGraph's own development server, where it is installed."""
    command = os.environ.get("LANGGRAPH_CLI", str(Path(sys.executable).with_name("langgraph")))
    if not Path(command).exists():
        return None
    (folder / "agent.py").write_text("from bench.serving_agent import build\n\nagent = build()\n")
    (folder / "langgraph.json").write_text('{"dependencies": ["."], "graphs": {"agent": "./agent.py:agent"}}')
    env = {**env, "PYTHONPATH": str(Path.cwd()), "LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1"}
    options = ["--no-browser", "--no-reload", "--port", str(port), "--n-jobs-per-worker", "64"]
    process = start(stack, [command, "dev", *options], env, folder)
    return Server("langgraph dev", port, process, body={"assistant_id": "agent", "stream_mode": "messages-tuple"})


async def main() -> None:
    """Measure and print one line per server and load."""
    options = argparse.ArgumentParser()
    options.add_argument("--peers", action="store_true")
    options.add_argument("--runs", type=int, default=64)
    options.add_argument("--at", default="1,32")
    chosen = options.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(embedded.start(folder / "data"))
        migrate.upgrade(server.owner_url)
        env = {"FAKE_MODEL_URL": "http://127.0.0.1:18901/v1", "LOGIN_URL": server.login_url}
        start(stack, [sys.executable, "-m", "bench.serving_model", "18901"], {})
        ours = Server("ours", 18902, start(stack, [sys.executable, "-m", "bench.serving_ours", "18902"], env))
        token = ours.process.stdout.readline().strip() if ours.process.stdout else ""
        ours.headers = f"Authorization: Bearer {token}\r\n"
        ours.body = {"assistant_id": "agent", "stream_mode": "messages-tuple"}
        servers = [ours]
        if chosen.peers:
            with psycopg.connect(server.owner_url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE plain")
            plain = {**env, "PLAIN_URL": psycopg.conninfo.make_conninfo(server.owner_url, dbname="plain")}
            servers.append(
                Server(
                    "plain FastAPI", 18903, start(stack, [sys.executable, "-m", "bench.serving_plain", "18903"], plain)
                )
            )
            if (dev := langgraph_dev(stack, folder, env, 18904)) is not None:
                servers.append(dev)
        postmaster = int(next((folder / "data").rglob("postmaster.pid")).read_text().split()[0])
        for at in (int(number) for number in chosen.at.split(",")):
            for candidate in servers:
                await answering(candidate)
                runs = chosen.runs if at > 1 else max(8, chosen.runs // 4)
                print(orjson.dumps(await measure(candidate, psutil.Process(postmaster), at, runs)).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
