"""Measures the event path: appending, sequencing, delivery, replay, size, and what it costs when nothing happens.

    pip install eventsourcing==9.5.6      # only for the comparison; without it those lines are left out
    python -m bench.events [--seconds 3] [--rounds 3] [--long 100000] [--only append,latency,lake,replay,size,idle]

Everything runs on one private PostgreSQL with fsync on, in turns, so that noise of the machine hits all alike.
RabbitMQ comes from RABBITMQ_URL or from an installed rabbitmq-server. The library writes under one lock, held while
its commit reaches the disk, so the slower the disk, the further it falls behind: `--flush-ms 1` lets PostgreSQL wait
that long before each flush, as disks do that are not in this machine.
"""

import argparse
import asyncio
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import orjson
import psutil
import psycopg
import uvloop

from api.worker import EventPathConfig, event_path
from store import embedded, goals, history, migrate
from store.background import service_session
from store.broker import Broker
from store.database import Database
from store.entity_snapshots import SnapshotSink
from store.event_rows import SequencedEvent
from store.goals import NewGoal
from store.lake import ROLL, Lake
from store.principal import Principal
from store.relay import BatchPolicy, Relay
from store.sequencer import Sequencer, cut
from store.types import Role
from store.wakeups import COMMITTED, Bell, Wakeups
from tests.rabbitmq import private_node, server_script

WRITERS = 16
ADA = Principal("ada", Role.LEARNER)


class Figures:
    """Prints each figure beside its aim and remembers whether all were met."""

    def __init__(self) -> None:
        self.met = True

    def show(self, name: str, value: str, aim: str = "", *, met: bool = True) -> None:
        """Print one line."""
        mark = "" if not aim else "  ok" if met else "  MISSED"
        sys.stdout.write(f"{name:<58}{value:>24}   {aim}{mark}\n")
        sys.stdout.flush()
        self.met = self.met and met


async def append_rate(database: Database, seconds: float) -> float:
    """Return events per second of sixteen writers, each changing its own goal: row and event in one commit."""
    until = time.perf_counter() + seconds

    async def write() -> int:
        count = 0
        async with database.transaction(ADA) as tx:
            goal = await goals.create(tx, NewGoal(title="Learn Rust"))
        while time.perf_counter() < until:
            async with database.transaction(ADA) as tx:
                await goals.set_progress(tx, goal.id, 1 + count % 98)
            count += 1
        return count

    started = time.perf_counter()
    counts = await asyncio.gather(*(write() for _ in range(WRITERS)))
    return sum(counts) / (time.perf_counter() - started)


_ONE_STATEMENT: LiteralString = """
WITH changed AS (
    UPDATE goals SET progress_percentage = %(to)s, version = version + 1,
           updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
    WHERE id = %(goal)s RETURNING id, user_id, version, updated_at
)
INSERT INTO events (id, entity_type, entity_id, entity_version, type, schema_version, occurred_at, recorded_at, actor,
                    user_id, correlation_id, payload, metadata)
SELECT %(event)s, 'goal', id::text, version, 'goal.progress_updated', 1, updated_at, updated_at, user_id, user_id,
       %(event)s, jsonb_build_object('changes', jsonb_build_object('progress_percentage', %(to)s::float8)),
       '{"channel": "api"}'
FROM changed
"""


async def bare_rate(url: str, database: Database, seconds: float) -> float:
    """The same change as one bare statement: no identity, no policies, no validation, as the library has none."""
    until = time.perf_counter() + seconds

    async def write() -> int:
        count = 0
        async with database.transaction(ADA) as tx:
            goal = await goals.create(tx, NewGoal(title="Learn Rust"))
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while time.perf_counter() < until:
                values = {"to": 1.0 + count % 98, "goal": goal.id, "event": uuid4()}
                await connection.execute(_ONE_STATEMENT, values)
                count += 1
        return count

    started = time.perf_counter()
    counts = await asyncio.gather(*(write() for _ in range(WRITERS)))
    return sum(counts) / (time.perf_counter() - started)


async def sequenced_rate(database: Database, seconds: float) -> float:
    """The same with a sequencer at work in this process."""
    async with Wakeups(database.url) as wakeups:
        with wakeups.bell(COMMITTED) as bell:
            sequencer = Sequencer(database.url, wakeups, bell)
            running = asyncio.create_task(sequencer.run(), name="sequencer")
            database.after_events = wakeups.committed
            rate = await append_rate(database, seconds)
            database.after_events = None
            sequencer.stop()
            await running
    return rate


async def bench_append(url: str, login: str, figures: Figures, seconds: float, rounds: int) -> None:
    """Our mutator, alone and sequenced, and the library, in turns."""
    peer = _peer()
    application = peer.open_application(url) if peer else None
    rates: dict[str, list[float]] = {"ours": [], "sequenced": [], "bare": [], "library": [], "library with rows": []}
    async with Database(login, min_size=WRITERS, max_size=WRITERS) as database:
        await append_rate(database, 0.5)
        for _ in range(rounds):
            # Alone before and after, so that a machine that grows slower or faster counts for neither.
            before = await append_rate(database, seconds / 2)
            rates["sequenced"].append(await sequenced_rate(database, seconds))
            rates["ours"].append((before + await append_rate(database, seconds / 2)) / 2)
            rates["bare"].append(await bare_rate(url, database, seconds))
            if peer:
                rates["library"].append(await asyncio.to_thread(peer.append_rate, application, WRITERS, seconds))
                rates["library with rows"].append(await asyncio.to_thread(peer.rows_rate, url, WRITERS, seconds))
    ours, sequenced = statistics.median(rates["ours"]), statistics.median(rates["sequenced"])
    figures.show("append, 16 writers, goal row + event", f"{ours:,.0f} events/s")
    ratio = statistics.median(a / b for a, b in zip(rates["sequenced"], rates["ours"], strict=True))
    with_sequencer = f"{sequenced:,.0f} events/s = {ratio:.2f}x"
    figures.show("  with the sequencer at work", with_sequencer, ">= 0.85x", met=ratio >= 0.85)
    bare = statistics.median(rates["bare"])
    figures.show("  as one bare statement, without identity and policies", f"{bare:,.0f} events/s")
    if peer:
        library = statistics.median(rates["library"])
        figures.show("  eventsourcing, default mode, event only", f"{library:,.0f} events/s")
        library = statistics.median(rates["library with rows"])
        figures.show("  eventsourcing, event and goal row by its projection", f"{library:,.0f} events/s")
        for name, ours, theirs in (
            ("mutator / eventsourcing, event and row", "ours", "library with rows"),
            ("mutator / eventsourcing, event only", "ours", "library"),
            ("bare statement / eventsourcing, event only", "bare", "library"),
        ):
            ratio = statistics.median(a / b for a, b in zip(rates[ours], rates[theirs], strict=True))
            figures.show(f"  our {name}", f"{ratio:.1f}x", ">= 3x", met=ratio >= 3)


async def bench_latency(login: str, figures: Figures, folder: Path, rabbitmq: str) -> None:
    """From the return of a commit until the broker has confirmed the event."""
    committed: dict[str, float] = {}
    confirmed: dict[str, float] = {}
    config = EventPathConfig(str(folder / "latency"), rabbitmq, exchange=f"bench.{uuid4().hex}")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(login, max_size=8))
        await _deliver_backlog(login)
        stack.enter_context(_noting(confirmed))
        await stack.enter_async_context(event_path(config, database))
        for _ in range(100):
            async with database.transaction(ADA) as tx:
                goal = await goals.create(tx, NewGoal(title="Learn Rust"))
            committed[str(goal.id)] = time.perf_counter()
            await asyncio.sleep(0.05)
        async with asyncio.timeout(30):
            while committed.keys() - confirmed.keys():  # noqa: ASYNC110 - another task fills it
                await asyncio.sleep(0.1)
    delays = sorted((confirmed[key] - committed[key]) * 1000 for key in list(committed)[5:])
    middle, worst = statistics.median(delays), delays[int(len(delays) * 0.99)]
    both = f"{middle:.0f} / {worst:.0f} ms"
    figures.show("commit to confirmed by RabbitMQ, p50 / p99", both, "p50 < 100 ms", met=middle < 100)


@contextmanager
def _noting(confirmed: dict[str, float]) -> Generator[None]:
    """Note when the broker has confirmed each entity's event."""
    deliver = Broker.deliver

    async def noted(self: Broker, events: Sequence[SequencedEvent]) -> None:
        await deliver(self, events)
        confirmed.update({event.entity_id: time.perf_counter() for event in events})

    Broker.deliver = noted
    try:
        yield
    finally:
        Broker.deliver = deliver


async def _deliver_backlog(login: str) -> None:
    """Bring every sink to the head, so that a measurement starts from rest."""
    async with service_session(login) as session:
        await cut(session)
        await session.execute("""
            INSERT INTO sinks (name, position) SELECT name, next_position - 1
            FROM event_head, (VALUES ('lake'), ('snapshots'), ('broker')) AS v (name)
            ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, pending_end = NULL""")


async def bench_lake(login: str, figures: Figures, folder: Path) -> None:
    """How soon an event can be read from Parquet: on demand, and without asking."""
    lake = Lake(str(folder / "visible"))
    async with Database(login, max_size=8) as database:
        await _deliver_backlog(login)
        async with event_path(EventPathConfig(lake.uri), database) as path:
            await _one_goal(database)
            started = time.perf_counter()
            assert await path.flush()
            asked = time.perf_counter() - started
            await _one_goal(database)
            started, before = time.perf_counter(), len(lake.files())
            while len(lake.files()) == before:  # noqa: ASYNC110 - files appear when they do
                await asyncio.sleep(0.2)
            waited = time.perf_counter() - started
    figures.show("commit to Parquet, on `flush`", f"{asked * 1000:.0f} ms", "at once", met=asked < 2)
    figures.show("commit to Parquet, unasked", f"{waited:.1f} s", "< 60 s", met=waited < 60)


async def _one_goal(database: Database) -> None:
    async with database.transaction(ADA) as tx:
        await goals.create(tx, NewGoal(title="Learn Rust"))


async def bench_replay(url: str, login: str, figures: Figures, length: int) -> None:
    """A long history of one entity: folded from the first, from a snapshot, and by the library."""
    _write_long(url, length)
    async with service_session(login) as session:
        await cut(session)
    peer = _peer()
    application = peer.open_application(url) if peer else None
    identity = await asyncio.to_thread(peer.make_long, application, length) if peer else None
    rounds: list[tuple[float, float]] = []
    async with Database(login, max_size=4, statement_timeout=120) as database:
        for _ in range(3):
            ours = await _timed(lambda: _replay(database), 1)
            library = await asyncio.to_thread(peer.replay_seconds, application, identity) if peer else 0.0
            rounds.append((ours, library))
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT recorded_at FROM events WHERE entity_id = 'long' AND entity_version = %s", [length // 2]
            ).fetchone()
        assert row
        await _snapshots(login, database)
        at_time = await _timed(lambda: _replay(database, at=row[0]), 20)
        now = await _timed(lambda: _replay(database), 20)
    ours = statistics.median(each for each, _ in rounds)
    figures.show(f"replay of {length:,} events of one entity", f"{ours * 1000:,.0f} ms = {length / ours:,.0f}/s")
    if peer:
        library = statistics.median(each for _, each in rounds)
        ratio = statistics.median(theirs / mine for mine, theirs in rounds)
        figures.show("  eventsourcing", f"{library * 1000:,.0f} ms")
        figures.show("  ours / eventsourcing", f"{ratio:.1f}x", ">= 10x", met=ratio >= 10)
    figures.show("state at a time in the middle", f"{at_time * 1000:.1f} ms", "< 10 ms", met=at_time < 0.01)
    figures.show("state now", f"{now * 1000:.1f} ms", "< 10 ms", met=now < 0.01)


def _write_long(url: str, length: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            """
            INSERT INTO events (id, entity_type, entity_id, entity_version, type, schema_version, occurred_at,
                                recorded_at, actor, user_id, correlation_id, payload, metadata)
            SELECT gen_random_uuid(), 'goal', 'long', n,
                   CASE n WHEN 1 THEN 'goal.created' ELSE 'goal.progress_updated' END, 1, t, t, 'ada', 'ada',
                   gen_random_uuid(),
                   jsonb_build_object('changes', jsonb_build_object(
                       'progress_percentage', n %% 100, 'status', 'in_progress')), '{"channel": "api"}'
            FROM generate_series(1, %s) AS n,
                 LATERAL (SELECT now() - interval '30 days' + n * interval '1 second') AS x (t)
            """,
            [length],
        )
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE events")


async def _snapshots(login: str, database: Database) -> None:
    relay = Relay(login, SnapshotSink(database), Bell(), policy=BatchPolicy(max_events=5000))
    relay.stop()
    await relay.run()


async def _replay(database: Database, **bound: Any) -> None:
    async with database.transaction(ADA) as tx:
        replayed = await history.replay(tx, "goal", "long", **bound)
        assert replayed.state


async def _timed(work: Callable[[], Awaitable[None]], rounds: int) -> float:
    seconds: list[float] = []
    for _ in range(rounds):
        started = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


async def bench_size(login: str, figures: Figures, folder: Path) -> None:
    """What ten thousand goals' events weigh in Parquet and as lines of JSON."""
    lake = Lake(str(folder / "size"))
    async with Database(login, max_size=WRITERS) as database:
        await _deliver_backlog(login)
        await asyncio.gather(*(_story(database, number) for number in range(WRITERS)))
        async with service_session(login) as session:
            await cut(session)
        relay = Relay(login, lake, Bell(), policy=ROLL)
        relay.stop()
        started = time.perf_counter()
        await relay.run()
        seconds = time.perf_counter() - started
    events = [event for batch in lake.read() for event in batch]
    size = sum(path.stat().st_size for path in (folder / "size").rglob("*.parquet"))
    lines = sum(len(orjson.dumps(event.as_event())) + 1 for event in events)
    each, share = size / len(events), lines / size
    figures.show(f"Parquet, {len(events):,} events", f"{each:.1f} bytes/event", "<= 45", met=each <= 45)
    as_lines = f"{lines / len(events):.0f} bytes/event = {share:.1f}x"
    figures.show("  JSON lines / Parquet", as_lines, ">= 10x", met=share >= 10)
    figures.show("  PostgreSQL to Parquet, fsync and cursor", f"{len(events) / seconds:,.0f} events/s")


async def _story(database: Database, number: int) -> None:
    """One learner's goals: made, pushed forward in steps, renamed, completed."""
    learner = Principal(f"learner-{number}", Role.LEARNER)
    for index in range(60):
        async with database.transaction(learner) as tx:
            goal = await goals.create(tx, NewGoal(title=f"Learn topic {index} well", description="In small steps."))
            for step in range(1, 10):
                await goals.set_progress(tx, goal.id, step * 11)
            await goals.update(tx, goal.id, {"title": f"Learn topic {index} very well"})


async def bench_idle(login: str, figures: Figures, folder: Path) -> None:
    """What the loops cost while nothing happens."""
    process = psutil.Process()
    async with Database(login, max_size=4) as database:
        await _deliver_backlog(login)
        async with event_path(EventPathConfig(str(folder / "idle")), database):
            await asyncio.sleep(3)
            before, queries, started = sum(process.cpu_times()[:2]), _transactions(login), time.perf_counter()
            await asyncio.sleep(15)
            spent = sum(process.cpu_times()[:2]) - before
            elapsed = time.perf_counter() - started
            made = _transactions(login) - queries
    share, rate = spent / elapsed * 100, made / elapsed
    figures.show("idle: processor time of the loops", f"{share:.2f} % of a core", "< 1 %", met=share < 1)
    figures.show("idle: statements", f"{rate:.1f} per second", "< 5", met=rate < 5)


def _transactions(login: str) -> int:
    """Return the statements of all sessions so far; outside of blocks each is a transaction of its own."""
    with psycopg.connect(login, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        time.sleep(1.1)
        row = connection.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    return int(row[0]) if row else 0


def _peer() -> Any:
    if importlib.util.find_spec("eventsourcing") is None:
        return None
    from bench import events_peer  # noqa: PLC0415 - needs the library

    return events_peer


@contextmanager
def rabbitmq(folder: Path) -> Generator[str | None]:
    """A broker to measure against, or None."""
    given = os.environ.get("RABBITMQ_URL")
    if given or server_script() is None:
        yield given
        return
    with private_node(folder / "rabbitmq") as node:
        yield node.url


def _flush_seconds(folder: Path) -> float:
    """Return how long the disk takes to make 8 KB durable."""
    seconds: list[float] = []
    with (folder / "flush").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(8192))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _slow_down(url: str, milliseconds: float) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET commit_siblings = 0")
        connection.execute(f"ALTER SYSTEM SET commit_delay = {int(milliseconds * 1000)}".encode())
        connection.execute("SELECT pg_reload_conf()")


async def main(arguments: argparse.Namespace) -> bool:
    """Run what was asked for; True when every aim was met."""
    wanted: set[str] = set(arguments.only.split(","))
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with embedded.start(folder / "data") as server:
            migrate.upgrade(server.owner_url)
            figures.show("one flush of this disk", f"{_flush_seconds(folder) * 1000:.2f} ms")
            if arguments.flush_ms:
                _slow_down(server.owner_url, arguments.flush_ms)
                figures.show("  each flush of PostgreSQL waits before", f"{arguments.flush_ms:g} ms")
            owner, login = server.owner_url, server.login_url
            if "idle" in wanted:
                await bench_idle(login, figures, folder)
            if "append" in wanted:
                await bench_append(owner, login, figures, arguments.seconds, arguments.rounds)
            if "size" in wanted:
                await bench_size(login, figures, folder)
            if "latency" in wanted:
                with rabbitmq(folder) as url:
                    if url is None:
                        figures.show("commit to confirmed by RabbitMQ", "no RabbitMQ here", "p50 < 100 ms", met=False)
                    else:
                        await bench_latency(login, figures, folder, url)
            if "lake" in wanted:
                await bench_lake(login, figures, folder)
            if "replay" in wanted:
                await bench_replay(owner, login, figures, arguments.long)
    return figures.met


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", type=int, default=100_000, help="events of the entity that is replayed")
    parser.add_argument("--flush-ms", type=float, default=0, help="how long PostgreSQL waits before each flush")
    parser.add_argument("--only", default="idle,append,size,latency,lake,replay")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as `goals serve` and `goals worker` run
        sys.exit(0 if runner.run(main(parser.parse_args())) else 1)
