"""The live feed: in order, under the reader's rights, from now or from a position, whether or not LISTEN works."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from psycopg import AsyncConnection

from store import feed
from store.background import service_session
from store.database import Database
from store.principal import Principal
from store.sequencer import cut
from store.wakeups import Wakeups
from tests.events import write_many
from tests.postgres import Urls


@pytest.fixture
async def session(urls: Urls) -> AsyncIterator[AsyncConnection]:
    async with service_session(urls.login) as connection:
        yield connection


@pytest.fixture
async def wakeups(urls: Urls) -> AsyncIterator[Wakeups]:
    async with Wakeups(urls.login) as opened:
        yield opened


async def test_what_happens_from_now_on_arrives_at_once_and_in_order(
    database: Database, wakeups: Wakeups, learner: Principal, urls: Urls, session: AsyncConnection
) -> None:
    write_many(urls.owner, "old", range(1, 3))
    await cut(session)
    async with aclosing(feed.follow(database, wakeups, learner)) as events, asyncio.timeout(feed.POLL_SECONDS / 2):
        arriving = asyncio.create_task(anext(events))
        await asyncio.sleep(0.3)
        write_many(urls.owner, "new", range(1, 4))
        await cut(session)
        batch = await arriving
    assert [(event.entity_id, event.position) for event in batch] == [("new", 3), ("new", 4), ("new", 5)]


async def test_a_reader_goes_on_behind_the_position_it_knows(
    database: Database, wakeups: Wakeups, learner: Principal, urls: Urls, session: AsyncConnection
) -> None:
    write_many(urls.owner, "g", range(1, 2 * feed.BATCH + 10))
    await cut(session)
    seen: list[int | None] = []
    async with aclosing(feed.follow(database, wakeups, learner, after=5)) as events, asyncio.timeout(5):
        async for batch in events:
            seen += [event.position for event in batch]
            if len(seen) == 2 * feed.BATCH + 4:
                break
    assert seen == list(range(6, 2 * feed.BATCH + 10))


async def test_others_events_are_passed_over(
    database: Database, wakeups: Wakeups, other_learner: Principal, urls: Urls, session: AsyncConnection
) -> None:
    write_many(urls.owner, "hers", range(1, 3))
    write_many(urls.owner, "his", range(1, 2), user_id="bob")
    await cut(session)
    async with aclosing(feed.follow(database, wakeups, other_learner, after=0)) as events, asyncio.timeout(5):
        batch = await anext(events)
    assert [event.entity_id for event in batch] == ["his"]


async def test_polling_alone_is_enough(
    database: Database, learner: Principal, urls: Urls, session: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "POLL_SECONDS", 0.1)
    deaf = Wakeups(urls.login)
    async with aclosing(feed.follow(database, deaf, learner)) as events, asyncio.timeout(5):
        arriving = asyncio.create_task(anext(events))
        await asyncio.sleep(0.3)
        write_many(urls.owner, "new", range(1, 2))
        await cut(session)
        assert [event.entity_id for event in await arriving] == ["new"]
