"""Starts the processes of a campaign, and looks afterwards at what is really there, without the code under test."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aio_pika
import duckdb
import psycopg
from aio_pika.abc import AbstractIncomingMessage

from store import audit
from store.audit import Report
from store.background import service_session
from store.database import Database
from store.lake import Lake
from store.principal import SERVICE
from store.sequencer import cut
from tests.events import INSERT, event_values, until

ROOT = Path(__file__).parents[2]
KILLED = -9


@dataclass(slots=True)
class Child:
    """One process of a campaign."""

    number: int
    pid: int
    nursery: "Nursery"

    @property
    def code(self) -> int | None:
        return self.nursery.ended.get(self.number)

    async def wait(self, seconds: float = 60) -> int:
        """Return its exit code, negative for a signal; anything else than 0 and -9 fails the test."""
        try:
            await until(lambda: self.code is not None, seconds)
        except TimeoutError:
            self.send(signal.SIGKILL)
            raise AssertionError(f"the child did not end: {self.nursery.log()}") from None
        assert self.code in {0, KILLED}, self.nursery.log()
        return self.code

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # why it ended before its time is told by `wait`
            os.kill(self.pid, number)

    @property
    def state(self) -> str:
        """The state letter of the process; T means frozen."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return "gone"


class Nursery:
    """Forks children from one process that has imported everything: a start takes 20 ms instead of 2 s."""

    def __init__(self, folder: Path) -> None:
        self._errors = folder / "children.log"
        self._numbers = count(1)
        self.started: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.events_child"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, name="nursery", daemon=True)
        self._reader.start()

    async def start(self, role: str, *, fault: str | None = None, **config: Any) -> Child:
        """Start a child, with a fault armed or not."""
        number = next(self._numbers)
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"number": number, "role": role, "fault": fault, **config}) + "\n")
        self._process.stdin.flush()
        await until(lambda: number in self.started, 60)
        return Child(number, self.started[number], self)

    async def run(self, role: str, *, fault: str | None = None, **config: Any) -> int:
        """Run a child to its end and return its exit code."""
        return await (await self.start(role, fault=fault, **config)).wait()

    def log(self) -> str:
        return self._errors.read_text(errors="replace")[-3000:]

    def close(self) -> None:
        for number, pid in self.started.items():
            if number not in self.ended:
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            what, number, value = line.split()
            (self.started if what == "started" else self.ended)[int(number)] = int(value)


def write_rounds(url: str, rounds: int, *, entities: int = 10, first: int = 1) -> None:
    """Write one event per entity and round, interleaved, one transaction per round."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for version in range(first, first + rounds):
            cursor.executemany(INSERT, [event_values(f"g{number}", version) for number in range(entities)])
            connection.commit()


async def sequence_all(login: str) -> None:
    """Cut everything committed so far."""
    async with service_session(login) as session:
        await cut(session)


def sequenced(url: str) -> list[tuple[int, str, int]]:
    """Return (position, entity, version) as PostgreSQL has it."""
    with psycopg.connect(url) as connection:
        return connection.execute("""
            SELECT l.position, e.entity_id, e.entity_version
            FROM event_log AS l JOIN events AS e USING (seq) ORDER BY l.position""").fetchall()


def order_faults(rows: list[tuple[int, str, int]]) -> list[str]:
    """Name every gap in positions and every version that does not follow the one before it."""
    faults = [f"position {row[0]} where {index} belongs" for index, row in enumerate(rows, 1) if row[0] != index]
    seen: dict[str, int] = defaultdict(int)
    for position, entity, version in rows:
        if version != seen[entity] + 1:
            faults.append(f"{entity} has version {version} after {seen[entity]} at position {position}")
        seen[entity] = version
    return faults


def lake_faults(url: str, lake: str) -> list[str]:
    """Compare every Parquet file, found by plain globbing and read by DuckDB, with PostgreSQL."""
    expected = sequenced(url)
    if not list(Path(lake).rglob("*.parquet")):
        return ["there is no file"] if expected else []
    relation = duckdb.sql(
        f"SELECT position, entity_id, entity_version FROM read_parquet('{lake}/**/*.parquet') ORDER BY position"
    )
    found: list[tuple[int, str, int]] = [] if relation is None else relation.fetchall()
    faults = order_faults(found)
    if found != expected:
        faults.append(f"{len(found)} rows in files, {len(expected)} events in PostgreSQL")
    return faults + [f"left behind: {path}" for path in Path(lake).rglob(".tmp-*")]


async def audit_of(login: str, lake: str | None) -> Report:
    """Return what `goals events verify` would say."""
    async with Database(login, max_size=2) as database, database.transaction(SERVICE) as tx:
        return await audit.verify(tx, Lake(lake) if lake else None)


async def received(rabbitmq_url: str, queue: str) -> list[int]:
    """Return the positions of all messages waiting in a queue, in order, repeats included."""
    connection = await aio_pika.connect(rabbitmq_url)
    positions: list[int] = []
    async with connection:
        channel = await connection.channel()
        waiting = await channel.get_queue(queue)
        inbox: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await waiting.consume(inbox.put, no_ack=True)
        while True:
            try:
                async with asyncio.timeout(2):
                    message = await inbox.get()
            except TimeoutError:
                return positions
            positions.append(int(str(message.headers["position"])))


def broker_faults(positions: list[int], last: int) -> list[str]:
    """At least once, first occurrences in order: name what breaks that."""
    first_seen = list(dict.fromkeys(positions))
    if first_seen == list(range(1, last + 1)):
        return []
    missing = sorted(set(range(1, last + 1)) - set(first_seen))
    return [f"first occurrences {first_seen[:5]}..., missing {missing[:5]}"]
