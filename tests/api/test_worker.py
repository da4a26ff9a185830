"""The event path as a whole: one change reaches PostgreSQL, Parquet and RabbitMQ, and stopping loses nothing."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import aio_pika
import psycopg
import pytest

from api import worker
from api.worker import EventPathConfig, event_path
from store import goals
from store.broker import declare
from store.database import Database
from store.event_rows import SequencedEvent
from store.goals import NewGoal
from store.lake import Forked, Lake
from store.principal import Principal
from store.relay import SinkUnavailable
from store.sequencer import Restored
from tests.events import MemorySink, sequenced, until, write_many
from tests.postgres import Urls
from tests.rabbitmq import rabbitmq_url

__all__ = ["rabbitmq_url"]


@pytest.fixture
def config(tmp_path: Path) -> EventPathConfig:
    return EventPathConfig(lake_uri=str(tmp_path / "lake"))


def positions(config: EventPathConfig) -> list[int]:
    return [event.position for events in Lake(config.lake_uri).read() for event in events]


async def test_one_change_is_in_three_places(
    database: Database, learner: Principal, tmp_path: Path, rabbitmq_url: str
) -> None:
    exchange = f"test.{uuid4().hex}"
    config = EventPathConfig(lake_uri=str(tmp_path / "lake"), rabbitmq_url=rabbitmq_url, exchange=exchange)
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(await declare(channel, exchange), "#")
        async with event_path(config, database):
            async with database.transaction(learner) as tx:
                goal = await goals.create(tx, NewGoal(title="Learn Rust"))
            message = await queue.get(timeout=5, fail=False)
            for _ in range(50):
                if message is None:
                    await asyncio.sleep(0.1)
                    message = await queue.get(timeout=5, fail=False)
    (batch,) = Lake(config.lake_uri).read()
    assert message is not None
    assert message.message_id == str(batch[0].id)
    assert batch[0].entity_id == str(goal.id)


async def test_a_broker_that_appears_later_gets_everything(
    database: Database, tmp_path: Path, urls: Urls, rabbitmq_url: str
) -> None:
    exchange = f"test.{uuid4().hex}"
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(await declare(channel, exchange), "#")
        async with event_path(EventPathConfig(str(tmp_path)), database):
            write_many(urls.owner, "g", range(1, 4))
        async with event_path(EventPathConfig(str(tmp_path), rabbitmq_url, exchange), database):
            write_many(urls.owner, "g", range(4, 6))
        messages = [await queue.get(timeout=5) for _ in range(5)]
    assert [message.headers["position"] for message in messages] == [1, 2, 3, 4, 5]


async def test_stopping_brings_what_was_committed_to_every_sink(
    database: Database, config: EventPathConfig, urls: Urls
) -> None:
    sink = MemorySink()
    async with event_path(config, database, [sink]):
        write_many(urls.owner, "g", range(1, 21))
    assert sink.positions == positions(config) == list(range(1, 21))


async def test_flush_makes_everything_visible_in_the_lake_at_once(
    database: Database, config: EventPathConfig, urls: Urls
) -> None:
    async with event_path(config, database) as path:
        write_many(urls.owner, "g", range(1, 4))
        assert await path.flush()
        assert positions(config) == [1, 2, 3]


async def test_health_shows_where_every_sink_stands(database: Database, config: EventPathConfig, urls: Urls) -> None:
    class Away(MemorySink):
        async def deliver(self, events: Sequence[SequencedEvent]) -> None:
            raise SinkUnavailable("gone fishing")

    async with event_path(config, database, [Away("index")]) as path:
        write_many(urls.owner, "g", range(1, 4))
        assert await path.flush()
        health = await path.health()
        while not health["sinks"]["index"]["last_error"]:
            await asyncio.sleep(0.05)
            health = await path.health()
        await path.measure()
    assert health["position"] == 3
    assert health["state"] == "working"
    assert health["sinks"]["lake"]["lag"] == 0
    assert health["sinks"]["broker"] | {"state": "not configured here", "lag": 3} == health["sinks"]["broker"]
    assert health["sinks"]["index"]["lag"] == 3
    assert "gone fishing" in health["sinks"]["index"]["last_error"]
    assert worker.LAG.labels("index")._value.get() == 3  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]


async def test_a_dead_sink_slows_no_other(
    database: Database, config: EventPathConfig, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(MemorySink):
        async def deliver(self, events: Sequence[SequencedEvent]) -> None:
            await asyncio.sleep(3600)

    sink = MemorySink()
    monkeypatch.setattr(worker, "GRACE_SECONDS", 1.0)
    async with event_path(config, database, [Stuck("index"), sink]):
        write_many(urls.owner, "g", range(1, 11))
        await until(lambda: len(sink.events) == 10, 5)


async def test_two_processes_share_the_work_without_doubling_it(
    database: Database, config: EventPathConfig, urls: Urls
) -> None:
    first, second = MemorySink(), MemorySink()
    async with (
        Database(urls.login) as other,
        event_path(config, database, [first]),
        event_path(config, other, [second]),
    ):
        write_many(urls.owner, "g", range(1, 31))
        await until(lambda: len(first.events) + len(second.events) >= 30)
    assert sorted(first.positions + second.positions) == list(range(1, 31))
    assert positions(config) == list(range(1, 31))


async def test_a_database_set_back_behind_its_lake_is_refused(database: Database, config: EventPathConfig) -> None:
    await Lake(config.lake_uri).deliver(sequenced(1, 9))
    with pytest.raises(Forked, match="goals events adopt"):
        async with event_path(config, database):
            pass


async def test_a_database_restored_on_another_server_is_refused(
    database: Database, config: EventPathConfig, urls: Urls
) -> None:
    with psycopg.connect(urls.owner) as owner:
        owner.execute("UPDATE event_head SET system_identifier = 1")
    with pytest.raises(Restored):
        async with event_path(config, database):
            pass
