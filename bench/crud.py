"""Compares our CRUD endpoints with bare FastAPI + psycopg ones that run the same SQL without RLS, events or validation.

    python -m bench.crud [--seconds 1] [--rounds 7] [--connections 16]

Both servers run beside each other on one PostgreSQL and are measured in turns, so that noise of the machine hits both.
The bare endpoints are written for speed: one statement, rows straight into orjson, no response model.
"""

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson
import psutil
import psycopg

from api.services import open_tokens
from api.settings import given
from store import embedded, migrate
from store.principal import Principal
from store.types import Role

BODY = orjson.dumps(
    {
        "course_id": "course-123",
        "title": "Build REST API",
        "description": "A small service with tests and documentation.",
        "priority": "high",
    }
)


@dataclass(frozen=True)
class Case:
    """One request to repeat."""

    name: str
    method: str
    path: str
    body: bytes = b""


class Target(NamedTuple):
    """One server, and the database behind it."""

    port: int
    server: psutil.Process
    postgres: psutil.Process


class Round(NamedTuple):
    """What one server did in one turn."""

    per_second: float
    p50_ms: float
    p99_ms: float
    server_us: float
    """CPU of the server process per request; steadier than the clock on a busy machine."""
    postgres_us: float


def seed(url: str, *, users: int = 200, goals: int = 100) -> None:
    """Other people's goals and a hundred of our own, so that plans are those of a service in use."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO goals (id, user_id, course_id, title, description, type, status, priority, progress_percentage,
                               visibility, details, version, created_at, updated_at)
            SELECT gen_random_uuid(), CASE WHEN u = 1 THEN 'bench' ELSE 'user-' || u END, 'course-123',
                   'Goal ' || g, repeat('Learn something new. ', 10), 'learning', 'pending', 'high', 0, 'private', '{}',
                   1, now() - g * interval '1 hour', now()
            FROM generate_series(1, %s) AS u, generate_series(1, %s) AS g
            """,
            (users, goals),
        )
        connection.execute("VACUUM ANALYZE")


@contextmanager
def server(module: str, port: int, environment: dict[str, str]) -> Iterator[psutil.Process]:
    """Run one of the two applications in a process of its own."""
    command = [
        sys.executable, "-m", "uvicorn", "--factory", module, "--port", str(port),
        "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=Path(__file__).parent.parent)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=15)


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, expected: bytes
) -> bytes:
    """Send one request on an open connection and return the body of the answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if head[9:12] != expected:
        raise SystemExit(f"unexpected answer: {head[:200]!r}")
    at = head.lower().index(b"content-length:") + 15
    return await reader.readexactly(int(head[at : head.index(b"\r", at)]))


def request_of(case: Case, port: int, token: str) -> bytes:
    """The bytes of a request."""
    lines = [f"{case.method} {case.path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Authorization: Bearer {token}"]
    if case.body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(case.body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + case.body


def cpu_of(processes: list[psutil.Process]) -> float:
    """Seconds of CPU these processes have used so far."""
    return sum(times.user + times.system for process in processes for times in (process.cpu_times(),))


async def measure(case: Case, at: Target, token: str, connections: int, seconds: float) -> Round:
    """Keep `connections` connections busy for a while."""
    request = request_of(case, at.port, token)
    expected = b"201" if case.method == "POST" else b"200"
    backends = at.postgres.children(recursive=True)
    server_before, postgres_before = cpu_of([at.server]), cpu_of(backends)
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        while (started := time.perf_counter()) < end:
            await exchange(reader, writer, request, expected)
            times.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    elapsed = time.perf_counter() - started
    times.sort()
    each = 1e6 / len(times)
    return Round(
        len(times) / elapsed,
        times[len(times) // 2] * 1000,
        times[int(len(times) * 0.99)] * 1000,
        (cpu_of([at.server]) - server_before) * each,
        (cpu_of(backends) - postgres_before) * each,
    )


async def ready(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(300):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise SystemExit(f"nothing listens on port {port}")


async def compare(options: argparse.Namespace, token: str, targets: dict[str, Target]) -> bool:
    """Measure every case in turns and print the table; True if all aims are reached."""
    ours, bare = targets["ours"].port, targets["bare"].port
    await asyncio.gather(ready(ours), ready(bare))
    reader, writer = await asyncio.open_connection("127.0.0.1", ours)
    create = Case("POST /goals", "POST", "/goals", BODY)
    goal = orjson.loads(await exchange(reader, writer, request_of(create, ours, token), b"201"))
    writer.close()
    cases = [
        (Case("GET /goals/{id}", "GET", f"/goals/{goal['id']}"), 0.7),
        (Case("GET /goals", "GET", "/goals?limit=20"), 0.7),
        (create, 0.5),
    ]
    reached = True
    print(f"{'':18}{'server':8}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'cpu us':>9}{'pg us':>9}{'ratio':>8}{'aim':>6}")
    for case, aim in cases:
        rounds: dict[str, list[Round]] = {"bare": [], "ours": []}
        for number in range(options.rounds + 1):
            for name, target in targets.items():
                seconds = options.seconds if number else 0.5  # the first turn only warms up
                measured = await measure(case, target, token, options.connections, seconds)
                if number:
                    rounds[name].append(measured)
        ratio = statistics.median(
            mine.per_second / theirs.per_second for mine, theirs in zip(rounds["ours"], rounds["bare"], strict=True)
        )
        reached = reached and ratio >= aim
        for name, results in rounds.items():
            median = [statistics.median(values) for values in zip(*results, strict=True)]
            figures = "".join(f"{value:9.1f}" for value in median)
            print(f"{case.name:18}{name:8}{figures}" + (f"{ratio:8.2f}{aim:6.1f}" if name == "ours" else ""))
    return reached


def main() -> None:
    """Start PostgreSQL and both servers, measure, stop everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--port", type=int, default=18400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder)) as postgres:
        migrate.upgrade(postgres.owner_url)
        seed(postgres.owner_url)
        token = open_tokens(given(data_dir=Path(folder))).issue(Principal("bench", Role.LEARNER)).access_token
        ours = {"DATABASE_URL": postgres.login_url, "DATA_DIR": folder}
        bare = {"DATABASE_URL": postgres.owner_url}
        with psycopg.connect(postgres.owner_url) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert row is not None
            postmaster = psutil.Process(row[0]).parent()
        assert postmaster is not None
        with (
            server("bench.servers:bare", options.port + 1, bare) as theirs,
            server("bench.servers:ours", options.port, ours) as mine,
        ):
            targets = {
                "bare": Target(options.port + 1, theirs, postmaster),
                "ours": Target(options.port, mine, postmaster),
            }
            reached = asyncio.run(compare(options, token, targets))
    raise SystemExit(0 if reached else 1)


if __name__ == "__main__":
    main()
