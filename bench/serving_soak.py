"""Long loads that must leave no trace: streams dropped and rejoined, readers that do not read, runs without end.

    python -m bench.serving_soak drops [--streams 500] [--seconds 120] [--drops 5]
    python -m bench.serving_soak stalled [--stalled 300] [--good 40] [--rounds 3] [--seconds 8]
    python -m bench.serving_soak runs [--runs 10000] [--at 16] [--every 1000] [--trace]

Each starts a PostgreSQL, a fake model and one server of its own, prints what it measured and ends with a verdict.
"""

import argparse
import asyncio
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import psutil

from bench.crud import ready
from bench.serving_soak_model import expected
from store import embedded, migrate

QUESTION = {"messages": [{"role": "user", "content": "Tell me about rust."}]}
MODEL_PORT, PORT = 18921, 18922
FIRST_RUNS = 1000
"""Caches fill and the allocator finds its size: what grows later, leaks."""
RSS_BYTES_PER_RUN = 1024


@dataclass
class Server:
    """The server under test."""

    process: psutil.Process
    http: httpx.AsyncClient
    token: str
    words: int

    async def gauges(self) -> dict[str, float]:
        """What the server says about itself."""
        lines = (await self.http.get("/metrics")).text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def request(self, method: str, path: str, body: object = None, headers: str = "") -> bytes:
        """One request as it goes over a socket of its own."""
        content = b"" if body is None else orjson.dumps(body)
        head = (
            f"{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n{headers}"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


@dataclass
class Event:
    """One event of a stream."""

    name: str = ""
    data: bytes = b""
    number: int = 0


@asynccontextmanager
async def serving(words: int, pause: float, *flags: str, trace: bool = False) -> AsyncGenerator[Server]:
    """A server, its model and its PostgreSQL for the length of the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(embedded.start(folder / "data"))
        migrate.upgrade(database.owner_url)
        env = {**os.environ, "FAKE_MODEL_URL": f"http://127.0.0.1:{MODEL_PORT}/v1", "LOGIN_URL": database.login_url}
        if trace:
            env["TRACE_MEMORY"] = "1"

        def start(*command: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen([sys.executable, "-m", *command], env=env, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("bench.serving_soak_model", str(MODEL_PORT), str(words), str(pause), *flags)
        process = start("bench.serving_ours", str(PORT))
        token = process.stdout.readline().strip() if process.stdout else ""
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{PORT}", headers=headers, timeout=60) as http:
            for port in (MODEL_PORT, PORT):
                await ready(port)
            yield Server(psutil.Process(process.pid), http, token, words)


async def stream(request: bytes) -> AsyncGenerator[Event]:
    """Send a request and yield the events of its answer; leaving the loop drops the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=2**22)
    try:
        writer.write(request)
        event = Event()
        async for line in reader:
            if line.startswith(b"event: "):
                event.name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                event.data = line[6:]
            elif line.startswith(b"id: "):
                event.number = int(line[4:])
            elif line == b"\r\n" and event.name:
                yield event
                event = Event()
    finally:
        writer.close()


def spoken(event: Event) -> str:
    """The words of an event, if it has any."""
    if event.name != "messages":
        return ""
    chunk = orjson.loads(event.data)[0]
    return chunk["content"] if chunk["type"] == "AIMessageChunk" else ""


def share(values: list[float], part: float) -> float:
    """The value below which that part of the values lies."""
    return sorted(values)[int(len(values) * part)] if values else 0.0


@dataclass
class Reader:
    """What one reader of the drops has seen."""

    numbers: list[int] = field(default_factory=list[int])
    text: list[str] = field(default_factory=list[str])
    waits: list[float] = field(default_factory=list[float])
    """From each connection to its first event."""

    async def follow(self, server: Server, url: str, drops: int, dice: random.Random) -> None:
        """Follow a run to its end, dropping the connection `drops` times at random and rejoining after a while."""
        over = False
        while not over:
            leave = dice.randint(5, 2 * server.words // (drops + 1)) if len(self.waits) < drops else 10**9
            last = self.numbers[-1] if self.numbers else -1
            begin, got = time.perf_counter(), 0
            async with aclosing(stream(server.request("GET", url, headers=f"Last-Event-ID: {last}\r\n"))) as events:
                async for event in events:
                    if not got:
                        self.waits.append(time.perf_counter() - begin)
                    got += 1
                    self.numbers.append(event.number)
                    self.text.append(spoken(event))
                    over = event.name == "end"
                    if over or got >= leave:
                        break
            if not over:
                await asyncio.sleep(dice.uniform(0, 1))


async def drops(chosen: argparse.Namespace) -> bool:
    """Many readers follow many runs, drop their streams at random and rejoin."""
    words = 200
    runs = max(1, chosen.streams // 10)
    async with serving(words, chosen.seconds / words / 2) as server:
        urls: list[str] = []
        body = {"assistant_id": "agent", "input": QUESTION, "stream_mode": ["messages-tuple"]}
        for _ in range(runs):
            thread = (await server.http.post("/threads", json={})).json()["thread_id"]
            run = (await server.http.post(f"/threads/{thread}/runs", json=body)).json()["run_id"]
            urls.append(f"/threads/{thread}/runs/{run}/stream")
        dice = random.Random(7)  # noqa: S311 - drops that can be repeated
        readers = [Reader() for _ in range(chosen.streams)]
        begin, cpu = time.monotonic(), sum(server.process.cpu_times()[:2])
        following = asyncio.gather(
            *(reader.follow(server, urls[number % runs], chosen.drops, dice) for number, reader in enumerate(readers))
        )
        opened = 0.0
        while not following.done():
            await asyncio.wait({following}, timeout=5)
            opened = max(opened, (await server.gauges())["goals_streams_open"])
        await following
        seconds = time.monotonic() - begin
        wholes = [list(range(1, len(reader.numbers) + 1)) for reader in readers]
        lengths = {
            url: max(len(readers[n].numbers) for n in range(i, len(readers), runs)) for i, url in enumerate(urls)
        }
        result = {
            "streams open at once": int(opened),
            "seconds": round(seconds),
            "drops and rejoins": sum(len(reader.waits) - 1 for reader in readers),
            "events read": sum(len(reader.numbers) for reader in readers),
            "lost": sum(lengths[urls[n % runs]] - len(set(reader.numbers)) for n, reader in enumerate(readers)),
            "doubled": sum(len(reader.numbers) - len(set(reader.numbers)) for reader in readers),
            "out of order": sum(reader.numbers != sorted(reader.numbers) for reader in readers),
            "readers with another text": sum("".join(reader.text) != expected(words) for reader in readers),
            "first event after a join, p50 and p99 ms": [
                round(share([wait for reader in readers for wait in reader.waits], part) * 1000) for part in (0.5, 0.99)
            ],
            "server CPU": f"{(sum(server.process.cpu_times()[:2]) - cpu) / seconds:.0%} of a core",
        }
        good = all(reader.numbers == whole for reader, whole in zip(readers, wholes, strict=True)) and not any(
            result[name] for name in ("lost", "doubled", "out of order", "readers with another text")
        )
    return verdict(result, good)


@dataclass
class Delays:
    """How long words took from the model to a reader, by whether others stalled."""

    alone: list[float] = field(default_factory=list[float])
    opening: list[float] = field(default_factory=list[float])
    """While all the stalled streams are opened at once, and replay until they stall."""
    beside: list[float] = field(default_factory=list[float])
    current: list[float] | None = None


async def listen(server: Server, delays: Delays, begin: float) -> None:
    """Follow one run after another, and note how old each word is when it arrives."""
    await asyncio.sleep(begin)
    body = {"assistant_id": "agent", "input": QUESTION, "stream_mode": ["messages-tuple"]}
    while True:
        async with aclosing(stream(server.request("POST", "/runs/stream", body))) as events:
            async for event in events:
                said = spoken(event).split()
                if said and delays.current is not None:
                    now = time.time()
                    delays.current += [now - float(word) for word in said]


async def stall(server: Server, url: str) -> socket.socket:
    """Ask for a stream and never read it, with as small a window as the system allows."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", PORT))
    await loop.sock_sendall(connection, server.request("GET", url, headers="Last-Event-ID: -1\r\n"))
    return connection


async def stalled(chosen: argparse.Namespace) -> bool:
    """Good readers beside readers that do not read, in turns with good readers alone."""
    async with serving(200, 0.05, "stamped") as server:
        # A long run for the stalled ones: what they ask for must not fit into the buffers on the way.
        modes = ["messages", "messages-tuple", "values", "updates", "debug"]
        body = {"assistant_id": "agent", "input": QUESTION, "stream_mode": modes}
        thread = (await server.http.post("/threads", json={})).json()["thread_id"]
        run = (await server.http.post(f"/threads/{thread}/runs", json=body)).json()["run_id"]
        url = f"/threads/{thread}/runs/{run}/stream"
        await server.http.get(f"/threads/{thread}/runs/{run}/join")
        size = len((await server.http.get(url, headers={"Last-Event-ID": "-1"})).content)
        delays = Delays()
        lasts = 2 * 200 * 0.05  # a run; the good ones begin one after another, not all at once
        listening = [
            asyncio.create_task(listen(server, delays, lasts * number / chosen.good)) for number in range(chosen.good)
        ]
        await asyncio.sleep(lasts + 2)
        before = server.process.memory_info().rss
        after, held = before, 0.0
        for _ in range(chosen.rounds):
            delays.current = delays.alone
            await asyncio.sleep(chosen.seconds)
            open_before = (await server.gauges())["goals_streams_open"]
            delays.current = delays.opening
            idle = await asyncio.gather(*(stall(server, url) for _ in range(chosen.stalled)))
            await asyncio.sleep(chosen.settle)
            delays.current = delays.beside
            await asyncio.sleep(chosen.seconds)
            delays.current = None
            after = max(after, server.process.memory_info().rss)
            held = max(held, (await server.gauges())["goals_streams_open"] - open_before)
            for connection in idle:
                connection.close()
            await asyncio.sleep(3)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        p99 = [share(values, 0.99) * 1000 for values in (delays.alone, delays.beside)]
        result = {
            "stalled streams held at once": int(held),
            "bytes each asked for": size,
            "words timed": [len(delays.alone), len(delays.beside)],
            "word p50 ms without, with": [round(statistics.median(v) * 1000, 1) for v in (delays.alone, delays.beside)],
            "word p99 ms without, with": [round(value, 1) for value in p99],
            "word p99 ms while they open": round(share(delays.opening, 0.99) * 1000, 1),
            "p99 costs": f"{p99[1] / p99[0] - 1:+.0%}",
            "RSS growth MiB": (after - before) // 2**20,
        }
    return verdict(result, p99[1] < 1.2 * p99[0] and held >= chosen.stalled * 0.95)


async def one_run(server: Server, number: int) -> bool:
    """One run in one of three ways: stateless, as a further turn of a thread, or by the second protocol."""
    if number % 10 < 6:
        body = {"assistant_id": "agent", "input": QUESTION, "stream_mode": ["messages-tuple"]}
        async with aclosing(stream(server.request("POST", "/runs/stream", body))) as events:
            text = [spoken(event) async for event in events]
        return "".join(text) == expected(server.words)
    thread = uuid4()
    if number % 10 < 9:
        body: dict[str, Any] = {"assistant_id": "agent", "input": QUESTION, "if_not_exists": "create"}
        body["stream_mode"] = ["values", "messages-tuple"]
        text = ""
        async with aclosing(stream(server.request("POST", f"/threads/{thread}/runs/stream", body))) as events:
            async for event in events:
                if event.name == "values":
                    text = "".join(m["content"] for m in orjson.loads(event.data)["messages"] if m["type"] == "ai")
        return text == expected(server.words)
    start = {"id": 1, "method": "run.start", "params": {"assistant_id": "agent", "input": QUESTION}}
    await server.http.post(f"/threads/{thread}/commands", json=start)
    channels = {"channels": ["messages", "lifecycle", "values"]}
    async with aclosing(stream(server.request("POST", f"/threads/{thread}/stream/events", channels))) as events:
        async for event in events:
            if event.name == "lifecycle":
                params = orjson.loads(event.data)["params"]
                if not params["namespace"] and params["data"]["event"] == "completed":
                    return True
    return False


async def sample(server: Server, runs: int) -> dict[str, float]:
    """Wait until nothing is under way, and look at what the process holds."""
    gauges = await server.gauges()
    for _ in range(50):
        if gauges["goals_runs_active"] == 0 and gauges["goals_streams_open"] == 0:
            break
        await asyncio.sleep(0.2)
        gauges = await server.gauges()
    await asyncio.sleep(1)
    gauges = await server.gauges()
    return {
        "runs": runs,
        "RSS KiB": server.process.memory_info().rss / 1024,
        "descriptors": server.process.num_fds(),
        "tasks": gauges["goals_asyncio_tasks"],
        "database connections": gauges['goals_database_pool{state="pool_size"}'],
    }


async def runs(chosen: argparse.Namespace) -> bool:
    """Runs without end in one process: what it holds must not grow with them."""
    async with serving(chosen.words, 0.0, trace=chosen.trace) as server:
        wrong, done = 0, 0
        series: list[dict[str, float]] = []
        begin = time.monotonic()
        gate = asyncio.Semaphore(chosen.at)

        async def guarded(number: int) -> bool:
            async with gate:
                return await one_run(server, number)

        while done < chosen.runs:
            outcomes = await asyncio.gather(*(guarded(number) for number in range(chosen.every)))
            wrong += outcomes.count(False)
            done += chosen.every
            series.append(await sample(server, done))
            print(orjson.dumps(series[-1]).decode(), flush=True)
            if chosen.trace and done in (chosen.every, chosen.runs):
                server.process.send_signal(signal.SIGUSR1)
                await asyncio.sleep(10)
        settled = [at for at in series if at["runs"] >= min(FIRST_RUNS, chosen.every)]
        slopes = (
            {
                name: statistics.linear_regression([at["runs"] for at in settled], [at[name] for at in settled]).slope
                for name in series[0]
                if name != "runs"
            }
            if len(settled) > 1
            else {}
        )
        growth = {f"{name} per 1000 runs": round(slope * 1000, 2) for name, slope in slopes.items()}
        result = {"runs": done, "wrong": wrong, "seconds": round(time.monotonic() - begin), **growth}
    flat = all(abs(slope) * done < 5 for name, slope in slopes.items() if name != "RSS KiB")
    return verdict(result, not wrong and flat and slopes.get("RSS KiB", 0) * 1024 <= RSS_BYTES_PER_RUN)


def verdict(result: dict[str, Any], good: bool) -> bool:
    """Print what was found."""
    print(orjson.dumps({**result, "verdict": "holds" if good else "DOES NOT HOLD"}).decode(), flush=True)
    return good


def main() -> None:
    """Run one soak; the exit code is its verdict."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = options.add_subparsers(dest="soak", required=True)
    dropping = which.add_parser("drops")
    dropping.add_argument("--streams", type=int, default=500)
    dropping.add_argument("--seconds", type=float, default=120)
    dropping.add_argument("--drops", type=int, default=5)
    stalling = which.add_parser("stalled")
    stalling.add_argument("--stalled", type=int, default=300)
    stalling.add_argument("--good", type=int, default=40)
    stalling.add_argument("--rounds", type=int, default=3)
    stalling.add_argument("--seconds", type=float, default=8, help="of each phase; the server drops readers after 15")
    stalling.add_argument(
        "--settle", type=float, default=6, help="from the opening of the stalled streams to the phase"
    )
    running = which.add_parser("runs")
    running.add_argument("--runs", type=int, default=10_000)
    running.add_argument("--at", type=int, default=16)
    running.add_argument("--every", type=int, default=1000)
    running.add_argument("--words", type=int, default=10, help="in each of a run's two answers")
    running.add_argument(
        "--trace", action="store_true", help="tell where memory went between the first and last sample"
    )
    chosen = options.parse_args()
    soak = {"drops": drops, "stalled": stalled, "runs": runs}[chosen.soak]
    with asyncio.Runner() as runner:
        sys.exit(0 if runner.run(soak(chosen)) else 1)


if __name__ == "__main__":
    main()
