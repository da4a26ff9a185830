"""Kills every part of the event path at every step, then compares the three places; `make chaos` goes longer."""

import asyncio
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import psycopg
import pytest

from store.broker import declare
from store.faults import POINTS
from store.lake import Lake
from tests.chaos import campaign
from tests.chaos.campaign import KILLED, Nursery, sequence_all, write_rounds
from tests.events import until
from tests.postgres import Urls
from tests.rabbitmq import rabbitmq_url

__all__ = ["rabbitmq_url"]

LAKE_STEPS = [
    "border_fixed",
    "half_written",
    "before_fsync",
    "after_fsync",
    "after_rename",
    "after_directory_fsync",
    "between_files",
    "before_cursor",
    "after_cursor",
]
COMPACTION_STEPS = ["manifest_written", "compacted_written", "superseded_removed"]
SEQUENCER_POINTS = ["sequencer.before_cut", "sequencer.after_commit"]
WRITER_POINTS = ["writer.between_statements", "writer.before_commit"]
UPKEEP_POINTS = ["prune.before_commit", "erase.lake_rewritten"]
BROKER_STEPS = ["before_publish", "half_published", "before_confirms", "before_cursor", "after_cursor"]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Where the processes come from that will be killed."""
    opened = Nursery(tmp_path_factory.mktemp("nursery"))
    yield opened
    opened.close()


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


def roll_over(url: str) -> None:
    """Let the next cut fall on the next day, whatever the clock says from then on."""
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE event_head SET sequenced_at = greatest(%s, sequenced_at + '1 day')", [tomorrow])


async def two_days(urls: Urls, rounds: int = 45) -> None:
    """Write events of two days; the border lies inside a batch."""
    write_rounds(urls.owner, rounds)
    await sequence_all(urls.login)
    roll_over(urls.owner)
    write_rounds(urls.owner, rounds, first=rounds + 1)
    await sequence_all(urls.login)


async def test_the_lake_holds_every_event_once_whatever_step_its_relay_is_killed_at(
    nursery: Nursery, urls: Urls, lake: str
) -> None:
    await two_days(urls, 90)
    for step in LAKE_STEPS:
        assert await nursery.run("lake", fault=f"lake.{step}:1", url=urls.login, lake=lake, batch=140) == KILLED, step
    assert await nursery.run("lake", url=urls.login, lake=lake) == 0
    assert campaign.lake_faults(urls.owner, lake) == []
    assert (await campaign.audit_of(urls.login, lake)).differences == []


async def test_compaction_loses_and_doubles_nothing_whatever_step_it_is_killed_at(
    nursery: Nursery, urls: Urls, lake: str
) -> None:
    await two_days(urls, 30)
    for step in COMPACTION_STEPS:
        await nursery.run("lake", fault=f"lake.{step}:1", url=urls.login, lake=lake)
        write_rounds(urls.owner, 5, first=1 + max(row[2] for row in campaign.sequenced(urls.owner)))
        await sequence_all(urls.login)
    assert await nursery.run("lake", url=urls.login, lake=lake) == 0
    roll_over(urls.owner)
    write_rounds(urls.owner, 1, first=1 + max(row[2] for row in campaign.sequenced(urls.owner)))
    await sequence_all(urls.login)
    assert await nursery.run("lake", url=urls.login, lake=lake) == 0
    assert campaign.lake_faults(urls.owner, lake) == []
    days = {file.day for file in Lake(lake).files()}
    assert len(Lake(lake).files()) == len(days), "every closed day is one file"


async def test_rabbitmq_gets_every_event_in_order_whatever_step_its_relay_is_killed_at(
    nursery: Nursery, urls: Urls, rabbitmq_url: str
) -> None:
    exchange = f"test.{uuid4().hex}"
    queue = await bound_queue(rabbitmq_url, exchange)
    write_rounds(urls.owner, 60)
    await sequence_all(urls.login)
    config = {"url": urls.login, "rabbitmq": rabbitmq_url, "exchange": exchange}
    for step in BROKER_STEPS:
        assert await nursery.run("broker", fault=f"broker.{step}:2", **config) == KILLED, step
    assert await nursery.run("broker", **config) == 0
    positions = await campaign.received(rabbitmq_url, queue)
    assert campaign.broker_faults(positions, 600) == []
    assert len(positions) <= 600 + 100 * len(BROKER_STEPS), "at most one batch is repeated per kill"


async def bound_queue(url: str, exchange: str) -> str:
    """Make a quorum queue that receives everything."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(f"{exchange}.all", durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(await declare(channel, exchange), "#")
    return queue.name


async def test_killed_and_competing_sequencers_leave_no_gap(nursery: Nursery, urls: Urls) -> None:
    competing = [await nursery.start("sequencer", url=urls.login)]
    competing += [await nursery.start("sequencer", fault=f"{point}:2", url=urls.login) for point in SEQUENCER_POINTS]
    competing[0].send(signal.SIGKILL)  # the others take over one after the other, and each dies at its point
    await competing[0].wait()
    written = 0
    for victim in competing[1:]:
        while victim.code is None:
            write_rounds(urls.owner, 2, first=1 + 2 * written)
            written += 1
            await asyncio.sleep(0.05)
        assert await victim.wait() == KILLED
    await sequence_all(urls.login)
    rows = campaign.sequenced(urls.owner)
    assert len(rows) == 20 * written
    assert campaign.order_faults(rows) == []
    assert (await campaign.audit_of(urls.login, None)).differences == []


@pytest.mark.parametrize("severed", [False, True], ids=["process killed", "session ended"])
async def test_a_cut_that_is_cut_short_happened_once_or_not_at_all(nursery: Nursery, urls: Urls, severed: bool) -> None:
    """The lock lets the statement begin and not end; a killed client does not stop it, an ended session does."""
    victim = await nursery.start("sequencer", url=urls.login)
    with psycopg.connect(urls.owner) as holder, psycopg.connect(urls.owner, autocommit=True) as watcher:
        holder.execute("LOCK TABLE event_batches IN SHARE MODE")
        write_rounds(urls.owner, 2)
        stuck = "application_name = 'goals-sequencer' AND wait_event_type = 'Lock'"
        query = f"SELECT pid FROM pg_stat_activity WHERE {stuck}"
        while (waiting := watcher.execute(query).fetchone()) is None:  # noqa: ASYNC110 - another process reaches it
            await asyncio.sleep(0.02)
        if severed:
            watcher.execute("SELECT pg_terminate_backend(%s)", waiting)
        else:
            victim.send(signal.SIGKILL)
            assert await victim.wait() == KILLED
    write_rounds(urls.owner, 2, first=3)
    await sequence_all(urls.login)
    if severed:
        victim.send(signal.SIGKILL)
        await victim.wait()
    rows = campaign.sequenced(urls.owner)
    assert len(rows) == 40
    assert campaign.order_faults(rows) == []
    assert (await campaign.audit_of(urls.login, None)).differences == []


@pytest.mark.parametrize("point", WRITER_POINTS)
async def test_a_killed_writer_leaves_state_and_event_or_neither(
    nursery: Nursery, urls: Urls, point: str, tmp_path: Path
) -> None:
    noted = tmp_path / "acknowledged"
    code = await nursery.run("writer", fault=f"{point}:4", url=urls.login, user="ada", acknowledged=str(noted))
    assert code == KILLED
    acknowledged = noted.read_text().split()
    assert len(acknowledged) == 3
    await sequence_all(urls.login)
    assert (await campaign.audit_of(urls.login, None)).differences == []
    with psycopg.connect(urls.owner) as connection:
        rows = connection.execute("SELECT id::text, title, version FROM goals ORDER BY created_at").fetchall()
    assert rows == [(identity, "renamed", 2) for identity in acknowledged]


async def frozen_leader(nursery: Nursery, urls: Urls, lake: str, mutants: list[str]) -> None:
    """Freeze a relay before it moves its cursor, let another finish the work, then thaw it."""
    write_rounds(urls.owner, 35)
    await sequence_all(urls.login)
    config: dict[str, Any] = {"url": urls.login, "lake": lake, "mutants": mutants}
    frozen = await nursery.start("lake", fault="lake.before_cursor:2:stop", **config)
    await until(lambda: frozen.state == "T", 20)
    if "no_election" not in mutants:
        with psycopg.connect(urls.owner) as owner:
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'goals-lake'"
            )
    assert await nursery.run("lake", batch=70, **config) == 0
    frozen.send(signal.SIGCONT)
    assert await frozen.wait() == 0


async def test_a_leader_that_comes_back_late_does_no_harm(nursery: Nursery, urls: Urls, lake: str) -> None:
    await frozen_leader(nursery, urls, lake, [])
    assert campaign.lake_faults(urls.owner, lake) == []


async def test_two_leaders_at_once_do_no_harm_because_cursors_are_fenced(
    nursery: Nursery, urls: Urls, lake: str
) -> None:
    """Planted fault: no election at all. Correctness must not rest on it."""
    await frozen_leader(nursery, urls, lake, ["no_election"])
    assert campaign.lake_faults(urls.owner, lake) == []


async def test_the_check_catches_two_leaders_without_fences(nursery: Nursery, urls: Urls, lake: str) -> None:
    """Planted fault: no election and no fences."""
    await frozen_leader(nursery, urls, lake, ["no_election", "no_fencing"])
    assert campaign.lake_faults(urls.owner, lake) != []


async def test_a_full_disk_moves_no_cursor_and_the_lake_heals_when_there_is_room(
    nursery: Nursery, urls: Urls, lake: str
) -> None:
    write_rounds(urls.owner, 40)
    await sequence_all(urls.login)
    child = await nursery.start("lake", url=urls.login, lake=lake, file_size=3000)
    with psycopg.connect(urls.owner, autocommit=True) as owner:

        def failing() -> bool:
            row = owner.execute("SELECT position, last_error FROM sinks WHERE name = 'lake'").fetchone()
            return row is not None and row[0] == 0 and "File too large" in str(row[1])

        await until(failing, 20)
    child.send(signal.SIGKILL)
    await child.wait()
    assert Lake(lake).files() == []
    assert await nursery.run("lake", url=urls.login, lake=lake) == 0
    assert campaign.lake_faults(urls.owner, lake) == []


async def test_the_check_catches_a_cursor_that_moves_before_the_write(nursery: Nursery, urls: Urls, lake: str) -> None:
    """Planted fault."""
    write_rounds(urls.owner, 30)
    await sequence_all(urls.login)
    config: dict[str, Any] = {"url": urls.login, "lake": lake, "mutants": ["cursor_first"]}
    assert await nursery.run("lake", fault="lake.half_written:2", **config) == KILLED
    assert await nursery.run("lake", **config) == 0
    assert campaign.lake_faults(urls.owner, lake) != []


async def test_the_check_catches_borders_that_are_not_fixed_before_writing(
    nursery: Nursery, urls: Urls, lake: str
) -> None:
    """Planted fault: a redo after new events writes another file over the same positions."""
    write_rounds(urls.owner, 5)
    await sequence_all(urls.login)
    config: dict[str, Any] = {"url": urls.login, "lake": lake, "mutants": ["no_borders"]}
    assert await nursery.run("lake", fault="lake.after_directory_fsync:1", **config) == KILLED
    write_rounds(urls.owner, 2, first=6)
    await sequence_all(urls.login)
    assert await nursery.run("lake", batch=60, **config) == 0
    assert campaign.lake_faults(urls.owner, lake) != []


def test_every_fault_point_is_armed_by_some_campaign() -> None:
    armed = {f"lake.{step}" for step in LAKE_STEPS + COMPACTION_STEPS} | {f"broker.{step}" for step in BROKER_STEPS}
    assert armed | {*SEQUENCER_POINTS, *WRITER_POINTS, *UPKEEP_POINTS} == POINTS


@pytest.mark.parametrize("point", UPKEEP_POINTS)
async def test_upkeep_that_is_killed_can_be_repeated(nursery: Nursery, urls: Urls, lake: str, point: str) -> None:
    write_rounds(urls.owner, 10)
    await sequence_all(urls.login)
    config = {"url": urls.login, "lake": lake}
    assert await nursery.run("lake", **config) == 0
    role = point.partition(".")[0]
    assert await nursery.run(role, fault=f"{point}:1", **config) == KILLED
    assert await nursery.run(role, **config) == 0
    assert (await campaign.audit_of(urls.login, lake)).differences == []
    with psycopg.connect(urls.owner) as connection:
        left = connection.execute("SELECT count(*) FROM events WHERE payload::text LIKE '%version%'").fetchone()
    assert left == (0,)
