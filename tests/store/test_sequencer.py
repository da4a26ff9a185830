"""The sequencer: positions without gaps or losses in the cases that break other ways of reading a log."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import class_row, tuple_row

from store import sequencer
from store.background import service_session
from store.event_rows import SEQUENCED, SequencedEvent, chain, content_digest
from store.sequencer import Restored, UnsafeCommits, check_origin, cut, read_head
from tests.events import write, write_many
from tests.postgres import Urls


@pytest.fixture
async def session(urls: Urls) -> AsyncIterator[AsyncConnection]:
    async with service_session(urls.login) as connection:
        yield connection


async def order(url: str) -> list[tuple[int, str, int]]:
    async with await AsyncConnection.connect(url, row_factory=tuple_row) as connection:
        cursor = await connection.execute("""
            SELECT l.position, e.entity_id, e.entity_version
            FROM event_log AS l JOIN events AS e USING (seq) ORDER BY l.position""")
        return await cursor.fetchall()


async def test_positions_start_at_one_and_have_no_gap(urls: Urls, session: AsyncConnection) -> None:
    write_many(urls.owner, "g", range(1, 4))
    first = await cut(session)
    write_many(urls.owner, "g", range(4, 6))
    second = await cut(session)
    assert first
    assert second
    assert (first.first_position, first.last_position, second.first_position, second.last_position) == (1, 3, 4, 5)
    assert second.sequenced_at > first.sequenced_at
    assert [row[0] for row in await order(urls.owner)] == [1, 2, 3, 4, 5]
    assert await cut(session) is None


async def test_an_event_that_commits_late_is_not_lost(urls: Urls, session: AsyncConnection) -> None:
    async with await AsyncConnection.connect(urls.owner) as slow:
        await write(slow, "late", 1)
        write_many(urls.owner, "early", range(1, 2))
        await cut(session)
        await slow.commit()
        await cut(session)
    assert [row[1] for row in await order(urls.owner)] == ["early", "late"]


async def test_an_older_transaction_that_writes_the_newer_version_keeps_the_entitys_order(
    urls: Urls, session: AsyncConnection
) -> None:
    async with AsyncExitStack() as stack:
        holder, older = [await stack.enter_async_context(await AsyncConnection.connect(urls.owner)) for _ in range(2)]
        await older.execute("SELECT pg_current_xact_id()")
        await holder.execute("SELECT pg_current_xact_id()")
        write_many(urls.owner, "g", range(1, 2))
        await write(older, "g", 2)
        await older.commit()
        made = await cut(session)
        await holder.rollback()
    assert made
    assert [row[2] for row in await order(urls.owner)] == [1, 2]


async def test_an_idle_transaction_delays_nobody(urls: Urls, session: AsyncConnection) -> None:
    async with await AsyncConnection.connect(urls.owner) as idle:
        await idle.execute("CREATE TABLE unrelated (x int)")
        write_many(urls.owner, "g", range(1, 101))
        made = await cut(session)
        await idle.rollback()
    assert made
    assert made.count == 100


async def test_rolled_back_events_leave_no_gap(urls: Urls, session: AsyncConnection) -> None:
    async with await AsyncConnection.connect(urls.owner) as connection:
        await write(connection, "gone", 1)
        await connection.rollback()
    write_many(urls.owner, "g", range(1, 2))
    made = await cut(session)
    assert made
    assert (made.first_position, made.count) == (1, 1)


async def test_a_clock_that_steps_back_does_not_take_sequenced_at_along(urls: Urls, session: AsyncConnection) -> None:
    ahead = datetime.now(UTC) + timedelta(days=2)
    async with await AsyncConnection.connect(urls.owner, autocommit=True) as owner:
        await owner.execute("UPDATE event_head SET sequenced_at = %s", [ahead])
    write_many(urls.owner, "g", range(1, 2))
    made = await cut(session)
    assert made
    assert made.sequenced_at == ahead + timedelta(microseconds=1)


async def test_the_chain_of_digests_can_be_recomputed_from_the_events(urls: Urls, session: AsyncConnection) -> None:
    for versions in (range(1, 4), range(4, 6)):
        write_many(urls.owner, "g", versions, changes={"title": 'ünï "quoted" \\ text', "progress_percentage": 1e-7})
        await cut(session)
    async with await AsyncConnection.connect(urls.owner) as owner:
        cursor = await owner.execute(
            "SELECT first_position, last_position, digest FROM event_batches ORDER BY batch_no"
        )
        batches: list[tuple[int, int, bytes]] = await cursor.fetchall()
        reader = owner.cursor(row_factory=class_row(SequencedEvent))
        await reader.execute("SELECT " + SEQUENCED + " FROM event_log l JOIN events e USING (seq) ORDER BY position")
        events = await reader.fetchall()
    digest = b""
    for first, last, expected in batches:
        covered = events[first - 1 : last]
        digest = chain(digest, ((event.position, content_digest(event)) for event in covered))
        assert digest == expected


async def test_several_sequencers_at_once_give_every_event_one_position(urls: Urls) -> None:
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(service_session(urls.login)) for _ in range(3)]
        for round_number in range(10):
            write_many(urls.owner, f"g{round_number}", range(1, 21))
            # In every other round all start from the same head, as one that was leader and is no more.
            head = await read_head(sessions[0]) if round_number % 2 else None
            made = await asyncio.gather(*(cut(each, head) for each in sessions))
            assert sum(each.count for each in made if each) == 20
    assert [row[0] for row in await order(urls.owner)] == list(range(1, 201))


async def _writer(url: str, number: int, until: float, counts: dict[str, int]) -> None:
    random_numbers = random.Random(number)
    loop = asyncio.get_running_loop()
    async with await AsyncConnection.connect(url) as connection:
        while loop.time() < until:
            chosen = random_numbers.sample(range(8), random_numbers.randint(1, 3))
            versions: dict[str, int] = {}
            # Locked in one order, so that writers wait for each other instead of deadlocking.
            for entity in sorted(f"g{index}" for index in chosen):
                await connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [entity])
                cursor = await connection.execute(
                    "SELECT coalesce(max(entity_version), 0) + 1 FROM events WHERE entity_id = %s", [entity]
                )
                row = await cursor.fetchone()
                assert row
                versions[entity] = row[0]
                await write(connection, entity, row[0])
            if random_numbers.random() < 0.1:
                await asyncio.sleep(random_numbers.random() * 0.2)
            if random_numbers.random() < 0.1:
                await connection.rollback()
            else:
                await connection.commit()
                for entity, version in versions.items():
                    counts[entity] = max(counts[entity], version)


async def stress(url: str, login: str, seconds: float) -> dict[str, int]:
    """Write from many connections while cutting; return the last acknowledged version of every entity."""
    counts: dict[str, int] = defaultdict(int)
    until = asyncio.get_running_loop().time() + seconds
    async with service_session(login) as session:
        writers = asyncio.gather(*(_writer(url, number, until, counts) for number in range(8)))
        made = None
        while not writers.done():
            made = await sequencer.cut(session, made and made.head)
            await asyncio.sleep(0.005)
        await writers
        await sequencer.cut(session)
    return counts


def broken(rows: list[tuple[int, str, int]], counts: dict[str, int]) -> list[str]:
    """Name everything that is lost, doubled or out of order."""
    faults = [f"position {row[0]} where {index} belongs" for index, row in enumerate(rows, 1) if row[0] != index]
    seen: dict[str, int] = defaultdict(int)
    for position, entity, version in rows:
        if version != seen[entity] + 1:
            faults.append(f"{entity} has version {version} after {seen[entity]} at {position}")
        seen[entity] = max(seen[entity], version)
    return faults + [
        f"{entity} ends at {seen[entity]}, not {last}" for entity, last in counts.items() if seen[entity] != last
    ]


async def test_under_random_concurrent_writers_nothing_is_lost_doubled_or_reordered(urls: Urls) -> None:
    counts = await stress(urls.owner, urls.login, 2.0)
    rows = await order(urls.owner)
    assert sum(counts.values()) > 100
    assert broken(rows, counts) == []


async def test_the_stress_catches_a_sequencer_that_reads_by_id(urls: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: `seq > last seen`, the usual way, in place of the snapshot difference."""
    difference = "e.seq > %(floor)s AND (e.xid >= %(xmax)s OR e.xid = ANY (%(xip)s))"
    by_id = "e.seq > (SELECT coalesce(max(seq), 0) FROM event_log)"
    original = sequencer._CUT  # pyright: ignore[reportPrivateUsage]
    assert difference in original
    monkeypatch.setattr(sequencer, "_CUT", original.replace(difference, by_id))
    counts = await stress(urls.owner, urls.login, 2.0)
    assert broken(await order(urls.owner), counts) != []


async def test_the_stress_catches_a_sequencer_that_waits_for_the_oldest_transaction(
    urls: Urls, session: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted fault: `xid < xmin`, the popular rule; an idle transaction stops it."""
    difference = "(e.xid >= %(xmax)s OR e.xid = ANY (%(xip)s))"
    waiting = difference + " AND e.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    monkeypatch.setattr(sequencer, "_CUT", sequencer._CUT.replace(difference, waiting))  # pyright: ignore[reportPrivateUsage]
    async with await AsyncConnection.connect(urls.owner) as idle:
        await idle.execute("CREATE TABLE unrelated (x int)")
        write_many(urls.owner, "g", range(1, 11))
        assert await cut(session) is None
        await idle.rollback()


async def test_a_database_restored_elsewhere_is_refused(urls: Urls, session: AsyncConnection) -> None:
    await check_origin(session)
    with psycopg.connect(urls.owner, autocommit=True) as owner:
        owner.execute("UPDATE event_head SET system_identifier = 1")
    with pytest.raises(Restored, match="goals events adopt"):
        await check_origin(session)


async def test_commits_that_a_crash_could_take_back_are_refused(session: AsyncConnection) -> None:
    await session.execute("SET synchronous_commit = off")
    with pytest.raises(UnsafeCommits):
        await check_origin(session)


async def test_a_cut_reads_only_what_is_new(urls: Urls, session: AsyncConnection) -> None:
    write_many(urls.owner, "g", range(1, 3001))
    await cut(session)
    with psycopg.connect(urls.owner, autocommit=True) as owner:
        owner.execute("ANALYZE events")
    values = sequencer.bounds(await read_head(session))
    cursor = await session.execute("EXPLAIN " + sequencer._CUT, values, prepare=False)  # pyright: ignore[reportPrivateUsage]
    plan = "\n".join(str(row[0]) for row in await cursor.fetchall())
    assert "Seq Scan on events" not in plan
