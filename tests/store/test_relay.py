"""Relays: order and completeness whatever the sink does, fenced cursors, parked events, and a stop that drains."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import AsyncConnection

from store import cursors, relay
from store.background import service_session
from store.cursors import Fenced
from store.event_rows import SequencedEvent
from store.relay import BatchPolicy, PoisonEvent, Relay, SinkUnavailable
from store.sequencer import Sequencer, cut
from store.wakeups import COMMITTED, SEQUENCED, Bell, Wakeups
from tests.events import MemorySink, until, write_many
from tests.postgres import Urls


@pytest.fixture
async def session(urls: Urls) -> AsyncIterator[AsyncConnection]:
    async with service_session(urls.login) as connection:
        yield connection


async def logged(urls: Urls, session: AsyncConnection, count: int) -> None:
    write_many(urls.owner, "g", range(1, count + 1))
    await cut(session)


def value(urls: Urls, query: str) -> object:
    with psycopg.connect(urls.owner) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


@asynccontextmanager
async def running(*loops: Relay | Sequencer) -> AsyncGenerator[None]:
    tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in loops]
    try:
        yield
    finally:
        for loop in loops:
            loop.stop()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "backoff", lambda failures: 0.01)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]


async def test_every_event_arrives_once_and_in_order(urls: Urls, session: AsyncConnection) -> None:
    await logged(urls, session, 25)
    sink = MemorySink()
    async with running(Relay(urls.login, sink, Bell(), policy=BatchPolicy(max_events=10))):
        await until(lambda: len(sink.events) == 25)
    assert sink.positions == list(range(1, 26))
    assert sink.calls == 3
    assert value(urls, "SELECT position FROM sinks") == 25


async def test_a_sink_that_is_away_is_waited_for(urls: Urls, session: AsyncConnection) -> None:
    await logged(urls, session, 3)
    sink = MemorySink()
    sink.failures = [SinkUnavailable("away"), OSError("refused"), TimeoutError()] * 5
    delivering = Relay(urls.login, sink, Bell())
    async with running(delivering):
        await until(lambda: delivering.error is not None)
        await until(lambda: value(urls, "SELECT last_error FROM sinks") is not None)
        await until(lambda: len(sink.events) == 3)
    assert sink.positions == [1, 2, 3]
    assert delivering.counters.retries == 15
    assert value(urls, "SELECT count(*) FROM sink_parked") == 0
    assert value(urls, "SELECT last_error FROM sinks") is None


async def test_a_poison_event_is_parked_and_the_others_arrive(urls: Urls, session: AsyncConnection) -> None:
    class Picky(MemorySink):
        async def deliver(self, events: Sequence[SequencedEvent]) -> None:
            if any(event.position == 2 for event in events):
                raise PoisonEvent(2, "unreadable")
            await super().deliver(events)

    await logged(urls, session, 4)
    sink = Picky()
    async with running(Relay(urls.login, sink, Bell())):
        await until(lambda: len(sink.events) == 3)
    assert sink.positions == [1, 3, 4]
    assert value(urls, "SELECT error FROM sink_parked WHERE sink = 'memory' AND position = 2") == "unreadable"


async def test_an_event_that_breaks_the_sink_is_found_by_trying_alone(urls: Urls, session: AsyncConnection) -> None:
    class Fragile(MemorySink):
        async def deliver(self, events: Sequence[SequencedEvent]) -> None:
            if any(event.position == 3 for event in events):
                raise KeyError("title")
            await super().deliver(events)

    await logged(urls, session, 5)
    sink = Fragile()
    delivering = Relay(urls.login, sink, Bell())
    async with running(delivering):
        await until(lambda: len(sink.events) == 4)
    assert sink.positions == [1, 2, 4, 5]
    assert delivering.counters.parked == 1


async def test_a_sink_that_fails_for_everything_parks_only_a_few(urls: Urls, session: AsyncConnection) -> None:
    class Broken(MemorySink):
        async def deliver(self, events: Sequence[SequencedEvent]) -> None:
            self.calls += 1
            raise RuntimeError("a bug")

    await logged(urls, session, 20)
    sink = Broken()
    async with running(Relay(urls.login, sink, Bell())):
        await until(lambda: sink.calls > 40)
    assert value(urls, "SELECT count(*) FROM sink_parked") == relay.PARKED_IN_A_ROW


async def test_a_sink_that_must_be_complete_holds_instead_of_parking(urls: Urls, session: AsyncConnection) -> None:
    await logged(urls, session, 2)
    sink = MemorySink()
    sink.failures = [*[KeyError("x")] * 12, *[PoisonEvent(1, "no")] * 3]
    async with running(Relay(urls.login, sink, Bell(), policy=BatchPolicy(parks=False))):
        await until(lambda: len(sink.events) == 2)
    assert sink.positions == [1, 2]
    assert value(urls, "SELECT count(*) FROM sink_parked") == 0


async def test_an_unparked_event_is_delivered_late(urls: Urls, session: AsyncConnection) -> None:
    await logged(urls, session, 2)
    await session.execute("INSERT INTO sinks (name, position) VALUES ('memory', 2)")
    await session.execute(
        "INSERT INTO sink_parked (sink, position, attempts, error, retry) VALUES ('memory', 1, 3, 'x', true)"
    )
    sink = MemorySink()
    async with running(Relay(urls.login, sink, Bell())):
        await until(lambda: sink.positions == [1])
        await until(lambda: value(urls, "SELECT count(*) FROM sink_parked") == 0)


async def test_small_batches_wait_for_company_unless_flushed(urls: Urls, session: AsyncConnection) -> None:
    await logged(urls, session, 3)
    sink = MemorySink()
    bell = Bell()
    waiting = Relay(urls.login, sink, bell, policy=BatchPolicy(min_events=100, max_wait=60))
    async with running(waiting):
        await until(lambda: waiting.leading)
        await asyncio.sleep(0.2)
        assert sink.events == []
        await cursors.request_flush(session, "memory")
        bell.ring()
        await until(lambda: len(sink.events) == 3)
        assert await cursors.flushed(session, "memory")


async def test_a_small_batch_waits_no_longer_than_it_may_by_the_clock_of_postgresql(
    urls: Urls, session: AsyncConnection
) -> None:
    await logged(urls, session, 3)
    sink = MemorySink()
    waiting = Relay(urls.login, sink, Bell(), policy=BatchPolicy(min_events=100, max_wait=60))
    await cursors.register(session, "memory")
    pause = await waiting.step(session)
    assert (pause, sink.events) == (relay.POLL_SECONDS, [])
    with psycopg.connect(urls.owner) as owner:
        owner.execute("UPDATE event_log SET sequenced_at = clock_timestamp() - interval '61 seconds'")
    assert 61 <= (await cursors.read(session, "memory")).age < 120
    await waiting.step(session)
    assert sink.positions == [1, 2, 3]


async def test_stopping_delivers_what_is_waiting(urls: Urls, session: AsyncConnection) -> None:
    await logged(urls, session, 3)
    sink = MemorySink()
    waiting = Relay(urls.login, sink, Bell(), policy=BatchPolicy(min_events=100, max_wait=60))
    async with running(waiting):
        await until(lambda: waiting.leading)
    assert sink.positions == [1, 2, 3]


async def test_a_batch_with_a_fixed_border_comes_again_exactly_as_it_was(urls: Urls, session: AsyncConnection) -> None:
    await logged(urls, session, 3)
    await session.execute("INSERT INTO sinks (name, position, pending_end) VALUES ('memory', 0, 3)")
    write_many(urls.owner, "g", range(4, 9))
    await cut(session)
    batches: list[list[int]] = []

    class Batches(MemorySink):
        async def deliver(self, events: Sequence[SequencedEvent]) -> None:
            batches.append([event.position for event in events])
            await super().deliver(events)

    sink = Batches()
    async with running(Relay(urls.login, sink, Bell(), policy=BatchPolicy(fixed_borders=True))):
        await until(lambda: len(sink.events) == 8)
    assert batches == [[1, 2, 3], [4, 5, 6, 7, 8]]


async def test_a_batch_is_limited_by_bytes_but_never_empty(urls: Urls, session: AsyncConnection) -> None:
    await logged(urls, session, 10)
    await cursors.register(session, "memory")
    at = await cursors.read(session, "memory")
    assert len(await cursors.fetch(session, at, most=10, most_bytes=1)) == 1
    assert 1 < len(await cursors.fetch(session, at, most=10, most_bytes=200)) < 10


async def test_a_cursor_that_somebody_else_moved_is_not_moved_again(urls: Urls, session: AsyncConnection) -> None:
    await logged(urls, session, 5)
    await cursors.register(session, "memory")
    stale = await cursors.read(session, "memory")
    await cursors.advance(session, stale, 5)
    with pytest.raises(Fenced):
        await cursors.advance(session, stale, 3)
    with pytest.raises(Fenced):
        await cursors.fix_border(session, stale, 3)
    assert value(urls, "SELECT position FROM sinks") == 5


async def test_a_hole_in_the_log_holds_delivery(urls: Urls, session: AsyncConnection) -> None:
    await logged(urls, session, 5)
    await session.execute("DELETE FROM event_log WHERE position = 3")
    await cursors.register(session, "memory")
    at = await cursors.read(session, "memory")
    with pytest.raises(cursors.MissingPositions):
        await cursors.fetch(session, at, most=5, most_bytes=10**6)


async def test_only_one_of_two_relays_works_and_the_other_takes_over(
    urls: Urls, session: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.background.STANDBY_SECONDS", 0.05)
    first, second = MemorySink(), MemorySink()
    leader, standby = Relay(urls.login, first, Bell()), Relay(urls.login, second, Bell())
    async with running(standby):
        async with running(leader):
            await until(lambda: leader.leading or standby.leading)
            await asyncio.sleep(0.2)
            assert leader.leading != standby.leading
        await logged(urls, session, 2)
        await until(lambda: first.positions + second.positions == [1, 2])


async def test_a_commit_reaches_a_sink_through_sequencer_and_bells(urls: Urls) -> None:
    sink = MemorySink()
    async with Wakeups(urls.login) as wakeups:
        with wakeups.bell(COMMITTED) as committed, wakeups.bell(SEQUENCED) as sequenced:
            loops = Sequencer(urls.login, wakeups, committed), Relay(urls.login, sink, sequenced)
            async with running(*loops):
                await until(lambda: loops[0].leading and loops[1].leading)
                write_many(urls.owner, "g", range(1, 4))
                wakeups.committed()
                async with asyncio.timeout(0.9):  # less than either poll
                    await until(lambda: len(sink.events) == 3)


async def test_a_killed_session_is_replaced_and_nothing_is_lost(urls: Urls, session: AsyncConnection) -> None:
    sink = MemorySink()
    relaying = Relay(urls.login, sink, Bell())
    async with running(relaying):
        await until(lambda: relaying.leading)
        with psycopg.connect(urls.owner) as owner:
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'goals-memory'"
            )
        await logged(urls, session, 2)
        await until(lambda: sink.positions == [1, 2])


async def test_a_cut_listen_connection_only_slows_things_to_the_poll(urls: Urls) -> None:
    async with Wakeups(urls.login) as wakeups:
        with wakeups.bell(SEQUENCED) as bell:
            await until(lambda: value(urls, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'") == 1)
            while await bell.wait(0.05):
                pass
            with psycopg.connect(urls.owner, autocommit=True) as owner:
                owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
            assert await bell.wait(5), "a bell rings when notifications may have been lost"
            with psycopg.connect(urls.owner, autocommit=True) as owner:
                owner.execute("NOTIFY goals_events_sequenced")
            assert await bell.wait(5)
