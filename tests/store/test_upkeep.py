"""Verify, repair, prune, erase and adopt: each finds or keeps what it promises, and says so when it cannot."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pyarrow.parquet as pq
import pytest

from store import audit, courses, cursors, entity_snapshots, erasure, goals, history, retention, tasks, users
from store.audit import Report
from store.background import service_session
from store.broker import Broker
from store.broker_audit import verify_broker
from store.courses import NewCourse
from store.database import Database, Transaction
from store.entity_snapshots import SnapshotSink
from store.erasure import Erased, erase_user
from store.errors import Conflict, NotFound, Unavailable
from store.goals import NewGoal
from store.lake import ROLL, Lake
from store.principal import SERVICE, Principal
from store.relay import Relay, Sink
from store.repair import adopt, repair_lake, rewind
from store.sequencer import check_origin, cut
from store.tasks import NewTask
from store.users import NewUser
from store.wakeups import Bell
from tests.events import write_many
from tests.postgres import Urls
from tests.rabbitmq import rabbitmq_url
from tests.store.test_history import NOTE

__all__ = ["rabbitmq_url"]
LATER = timedelta(days=365)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


async def carry(urls: Urls, *sinks: Sink) -> None:
    """Sequence what was committed and bring it to every sink."""
    async with service_session(urls.login) as session:
        await cut(session)
    for sink in sinks:
        relay = Relay(urls.login, sink, Bell(), policy=ROLL)
        relay.stop()
        await relay.run()


async def report_of(database: Database, lake: Lake | None) -> Report:
    async with database.transaction(SERVICE) as tx:
        return await audit.verify(tx, lake)


@pytest.fixture
async def goal_id(
    database: Database, learner: Principal, other_learner: Principal, instructor: Principal, urls: Urls, lake: Lake
) -> UUID:
    """A small world in two files of the lake: people, a course, goals and tasks of two learners."""
    async with database.transaction(SERVICE) as tx:
        for principal in (learner, other_learner):
            await users.create(tx, NewUser(id=principal.user_id, email=f"{principal.user_id}@example.org", name="A"))
    async with database.transaction(instructor) as tx:
        course = await courses.create(tx, NewCourse(title="Rust"))
        await courses.publish(tx, course.id)
    async with database.transaction(learner) as tx:
        await courses.enroll(tx, course.id)
        goal = await goals.create(tx, NewGoal(title="secret plan", details={"why": "very private"}))
        await tasks.create(tx, NewTask(goal_id=goal.id, title="secret task"))
    await carry(urls, lake)
    async with database.transaction(other_learner) as tx:
        await goals.create(tx, NewGoal(title="Bob's own"))
    async with database.transaction(learner) as tx:
        await goals.set_progress(tx, goal.id, 30)
    await carry(urls, lake)
    return goal.id


async def test_a_whole_system_is_sound(database: Database, lake: Lake, goal_id: UUID) -> None:
    report = await report_of(database, lake)
    assert report.differences == []
    assert report.sound
    assert (report.files, report.batches) == (2, 2)
    assert report.positions >= 9
    assert report.rows >= 7


def owner(urls: Urls, *statements: str) -> None:
    """Do as the superuser what nobody else may."""
    with psycopg.connect(urls.owner) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("place", "damage"),
    [
        (
            "lake",
            "UPDATE events SET payload = '{\"changes\": {}}' FROM event_log l WHERE l.seq = events.seq AND position=2",
        ),
        ("log", "DELETE FROM event_log WHERE position = 3"),
        ("postgres", "DELETE FROM events WHERE seq = (SELECT seq FROM event_log WHERE position = 3)"),
        ("rows", "UPDATE goals SET title = 'tampered'"),
        ("log", "UPDATE event_batches SET digest = '\\x00' WHERE batch_no = 1"),
        ("postgres", "UPDATE events SET recorded_at = '2020-01-01' WHERE entity_version = 2"),
    ],
)
async def test_tampering_with_the_database_is_found(
    database: Database, lake: Lake, goal_id: UUID, urls: Urls, place: str, damage: str
) -> None:
    owner(urls, damage)
    report = await report_of(database, lake)
    assert place in {difference.place for difference in report.differences}


async def test_a_changed_event_is_found_even_where_there_is_no_lake(
    database: Database, goal_id: UUID, urls: Urls
) -> None:
    owner(
        urls, "UPDATE events SET payload = jsonb_set(payload, '{changes,title}', '\"x\"') WHERE type = 'task.created'"
    )
    places = {difference.place for difference in (await report_of(database, None)).differences}
    assert places == {"log", "rows"}


@pytest.mark.parametrize("damage", ["flip", "flip the footer", "delete", "cut"])
async def test_a_damaged_file_is_named_and_repaired(database: Database, lake: Lake, goal_id: UUID, damage: str) -> None:
    broken = Path(lake.folder.root) / lake.files()[0].path
    whole = broken.read_bytes()
    if damage == "delete":
        broken.unlink()
    elif damage == "cut":
        broken.write_bytes(whole[:-20])
    elif damage == "flip the footer":
        broken.write_bytes(whole[:-60] + bytes([whole[-60] ^ 1]) + whole[-59:])
    else:
        payloads = pq.read_metadata(broken).row_group(0).column(19)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        assert payloads.path_in_schema == "payload_json"  # pyright: ignore[reportUnknownMemberType]
        middle = int(payloads.data_page_offset + payloads.total_compressed_size // 2)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        broken.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    (difference,) = (await report_of(database, lake)).differences
    assert (difference.place, difference.position) == ("lake", 1)
    repaired = await repair_lake(database, lake)
    assert repaired.lost == []
    assert (await report_of(database, lake)).sound
    assert broken.read_bytes() == whole


async def test_a_sound_lake_is_left_alone_by_repair(database: Database, lake: Lake, goal_id: UUID) -> None:
    repaired = await repair_lake(database, lake)
    assert (repaired.written, repaired.removed, repaired.lost) == ([], [], [])


async def test_pruned_history_is_read_from_the_lake(
    database: Database, lake: Lake, goal_id: UUID, learner: Principal, other_learner: Principal
) -> None:
    async with database.transaction(learner) as tx:
        before = await history.history(tx, "goal", str(goal_id))
        system = await history.system_at(tx, position=100)
        first = await history.replay(tx, "goal", str(goal_id), version=1)
        latest = await history.replay(tx, "goal", str(goal_id))
    pruned = await retention.prune(database, lake, before=datetime.now(UTC) + LATER, chunk=4)
    assert pruned.events >= 9
    async with database.transaction(SERVICE) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM events") == 0
    async with database.transaction(learner) as tx:
        after = await history.history(tx, "goal", str(goal_id), archive=lake)
        assert [event.id for event in after.items] == [event.id for event in before.items]
        assert [event.payload for event in after.items] == [event.payload for event in before.items]
        assert (await history.replay(tx, "goal", str(goal_id), version=1, archive=lake)).state == first.state
        assert (await history.replay(tx, "goal", str(goal_id))).state == latest.state, "needs no archive"
        again = await history.system_at(tx, position=100, archive=lake)
        assert [each.state for each in again.entities] == [each.state for each in system.entities]
        with pytest.raises(Unavailable):
            await history.history(tx, "goal", str(goal_id))
        await goals.update(tx, goal_id, {"title": "goes on"})
        assert [e.entity_version for e in (await history.history(tx, "goal", str(goal_id), archive=lake)).items] == [
            1,
            2,
            3,
        ]
    async with database.transaction(other_learner) as tx:
        with pytest.raises(NotFound):
            await history.history(tx, "goal", str(goal_id), archive=lake)
        assert {each.entity_type for each in (await history.system_at(tx, position=100, archive=lake)).entities} == {
            "goal",
            "user",
        }
    assert (await report_of(database, lake)).sound


async def test_pruning_stops_at_the_slowest_sink_and_at_the_age(
    database: Database, lake: Lake, goal_id: UUID, urls: Urls
) -> None:
    async with service_session(urls.login) as session:
        await session.execute("INSERT INTO sinks (name, position) VALUES ('broker', 3)")
    young = await retention.prune(database, lake, before=datetime.now(UTC) - timedelta(days=1))
    held = await retention.prune(database, lake, before=datetime.now(UTC) + LATER)
    rest = await retention.prune(database, lake, before=datetime.now(UTC) + LATER, ignoring=frozenset({"broker"}))
    assert (young.events, young.held_back_by) == (0, None)
    assert (held.pruned_to, held.held_back_by) == (3, "broker")
    assert rest.events >= 6


async def test_what_the_lake_cannot_prove_is_never_pruned(
    database: Database, lake: Lake, goal_id: UUID, urls: Urls
) -> None:
    (Path(lake.folder.root) / lake.files()[1].path).unlink()
    with pytest.raises(Conflict, match="goals events verify"):
        await retention.prune(database, lake, before=datetime.now(UTC) + LATER)
    async with database.transaction(SERVICE) as tx:
        assert await tx.fetch_value("SELECT pruned_to FROM event_head") == 0


async def test_a_stream_of_reports_keeps_its_versions_after_pruning(
    database: Database, lake: Lake, learner: Principal, urls: Urls
) -> None:
    async with database.transaction(learner) as tx:
        await history.post(tx, NOTE)
    await carry(urls, lake)
    await retention.prune(database, lake, before=datetime.now(UTC) + LATER)
    async with database.transaction(learner) as tx:
        assert (await history.post(tx, NOTE)).entity_version == 2


def everything_written(root: Path, urls: Urls) -> bytes:
    with psycopg.connect(urls.owner) as connection:
        rows = connection.execute("SELECT e::text FROM events AS e").fetchall()
        rows += connection.execute("SELECT s::text FROM entity_snapshots AS s").fetchall()
    texts = [row[0] for row in rows]
    texts += [repr(event) for events in Lake(str(root)).read() for event in events]
    return "\n".join(texts).encode()


@pytest.mark.parametrize("pruned", [False, True])
async def test_an_erased_person_is_gone_everywhere_and_others_are_untouched(
    database: Database,
    lake: Lake,
    goal_id: UUID,
    learner: Principal,
    other_learner: Principal,
    urls: Urls,
    pruned: bool,
) -> None:
    async with database.transaction(other_learner) as tx:
        bobs = await history.system_at(tx, position=100)
    if pruned:
        await carry(urls, SnapshotSink(database))
        await retention.prune(database, lake, before=datetime.now(UTC) + LATER)
    assert b"secret" in everything_written(Path(lake.uri), urls)
    erased = await erase_with_relay(database, lake, learner.user_id, urls)
    await carry(urls, lake)
    left = everything_written(Path(lake.uri), urls)
    assert b"secret" not in left
    assert b"very private" not in left
    assert b"ada@example.org" not in left
    assert erased.rows > 0
    assert erased.files > 0
    async with database.transaction(learner) as tx:
        shell = await history.replay(tx, "goal", str(goal_id), archive=lake)
        assert shell.deleted
        assert shell.state is not None
        assert "title" not in shell.state
    async with database.transaction(other_learner) as tx:
        now = await history.system_at(tx, position=100, archive=lake)
        assert [each.state for each in now.entities] == [each.state for each in bobs.entities]
    report = await report_of(database, lake)
    assert report.differences == []


async def erase_with_relay(database: Database, lake: Lake, user_id: str, urls: Urls, **more: str) -> Erased:
    """Erase while the lake's relay runs, as it does in the service."""

    async def relaying() -> None:
        while True:
            await carry(urls, lake)
            await asyncio.sleep(0.1)

    background = asyncio.create_task(relaying(), name="relaying")
    try:
        return await erase_user(database, lake, user_id, **more)  # pyright: ignore[reportArgumentType]
    finally:
        background.cancel()


async def test_no_cut_takes_the_digest_of_a_text_that_is_about_to_go(
    database: Database, lake: Lake, goal_id: UUID, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = erasure._note  # pyright: ignore[reportPrivateUsage]
    cuts: list[asyncio.Task[None]] = []

    async def note_while_somebody_cuts(tx: Transaction, redactions: list[tuple[int, bytes, bytes]]) -> None:
        if not cuts:
            cuts.append(asyncio.create_task(carry(urls), name="cutting"))
            await asyncio.sleep(0.5)
            assert not cuts[0].done()
        await note(tx, redactions)

    monkeypatch.setattr(erasure, "_note", note_while_somebody_cuts)
    await erase_with_relay(database, lake, "ada", urls)
    await asyncio.gather(*cuts)
    await carry(urls, lake)
    assert (await report_of(database, lake)).differences == []


async def test_no_state_is_kept_that_was_read_before_an_erasure_and_stored_after(
    database: Database, lake: Lake, goal_id: UUID, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, go_on = asyncio.Event(), asyncio.Event()
    fold_of, wait_for_lake = entity_snapshots.fold_of, erasure._wait_for_lake  # pyright: ignore[reportPrivateUsage]

    async def read_early(*given: Any, **more: Any) -> Any:
        found = await fold_of(*given, **more)
        if "secret" in repr(found):
            read.set()
            await go_on.wait()
        return found

    async def events_are_empty(*given: Any) -> None:
        go_on.set()
        await wait_for_lake(*given)

    monkeypatch.setattr(entity_snapshots, "EVERY", 1)
    monkeypatch.setattr(entity_snapshots, "fold_of", read_early)
    monkeypatch.setattr(erasure, "_wait_for_lake", events_are_empty)
    storing = asyncio.create_task(carry(urls, SnapshotSink(database)), name="storing")
    await read.wait()
    await erase_with_relay(database, lake, "ada", urls)
    await storing
    assert b"secret" not in everything_written(Path(lake.uri), urls)


async def test_erasing_leaves_no_row_with_the_users_id(
    database: Database, lake: Lake, goal_id: UUID, learner: Principal, urls: Urls
) -> None:
    async with service_session(urls.login) as session:
        await session.execute(
            "INSERT INTO tool_ledger (thread_id, ai_message_id, call_index, user_id, tool, args_hash, status)"
            " VALUES ('t', 'm', 0, 'ada', 'x', 'h', 'done')"
        )
    await erase_with_relay(database, lake, learner.user_id, urls)
    with psycopg.connect(urls.owner) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'user_id'"
            " AND table_schema = 'public' AND table_name NOT IN ('events', 'entity_snapshots')"
        ).fetchall()
        left = [
            name
            for (name,) in tables
            if connection.execute(f"SELECT 1 FROM {name} WHERE user_id = 'ada'".encode()).fetchone()
        ]
    assert left == []


async def test_a_database_set_back_gets_a_new_epoch_and_the_lake_follows(
    database: Database, lake: Lake, goal_id: UUID, learner: Principal, urls: Urls
) -> None:
    """The lake knows a future that the database, restored from a backup, does not."""
    async with service_session(urls.login) as session:
        before = await cursors.read(session, "lake")
    write_many(urls.owner, "undone", range(1, 6))
    await carry(urls, lake)
    assert max(file.last for file in lake.files()) == before.position + 5
    owner(
        urls,
        f"DELETE FROM events WHERE entity_id = 'undone'; DELETE FROM event_log WHERE position > {before.position}",
        f"DELETE FROM event_batches WHERE last_position > {before.position}",
        f"UPDATE sinks SET position = {before.position}",
        "UPDATE event_head AS h SET next_position = b.last_position + 1, batch_no = b.batch_no, digest = b.digest,"
        " upto = b.upto, sequenced_at = b.sequenced_at, system_identifier = 1"
        " FROM (SELECT * FROM event_batches ORDER BY batch_no DESC LIMIT 1) AS b",
    )
    assert await adopt(database, lake) == 2
    async with service_session(urls.login) as session:
        await check_origin(session)
    async with database.transaction(learner) as tx:
        await goals.update(tx, goal_id, {"title": "after the restore"})
    fresh = Lake(lake.uri, epoch=2)
    await carry(urls, fresh)
    assert [file.epoch for file in fresh.files()] == [1, 1, 2]
    assert [file.last for file in fresh.files()][-1] == before.position + 1
    assert (await report_of(database, fresh)).differences == []
    assert list((Path(lake.uri) / "_forked").rglob("*.forked"))


async def test_events_that_had_no_position_before_a_restore_get_one(
    database: Database, lake: Lake, goal_id: UUID, urls: Urls
) -> None:
    write_many(urls.owner, "late", range(1, 4))
    owner(urls, "UPDATE event_head SET system_identifier = 1")
    owner(urls, "UPDATE events SET xid = xid + 4000000000")  # a copy on a young server: old ids lie in its future
    await adopt(database, lake)
    write_many(urls.owner, "new", range(1, 3))
    await carry(urls, Lake(lake.uri, epoch=2))
    report = await report_of(database, Lake(lake.uri, epoch=2))
    assert report.differences == []
    async with database.transaction(SERVICE) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM events WHERE seq NOT IN (SELECT seq FROM event_log)") == 0


async def test_the_log_queue_is_compared_too(database: Database, goal_id: UUID, urls: Urls, rabbitmq_url: str) -> None:
    exchange = f"test.{uuid4().hex}"
    broker = Broker(rabbitmq_url, exchange=exchange)
    await carry(urls, broker)
    report = Report()
    async with database.transaction(SERVICE) as tx:
        await verify_broker(tx, report, rabbitmq_url, exchange=exchange)
    assert report.differences == []
    assert report.messages is not None
    assert report.messages >= 9
    await rewind(database, "broker", 2)
    await carry(urls, broker)
    owner(urls, "UPDATE events SET payload = '{\"changes\": {}}' WHERE type = 'task.created'")
    async with database.transaction(SERVICE) as tx:
        await verify_broker(tx, report, rabbitmq_url, exchange=exchange)
    await broker.close()
    assert [difference.place for difference in report.differences] == ["broker"]


async def test_a_message_that_never_arrived_is_named(
    database: Database, goal_id: UUID, urls: Urls, rabbitmq_url: str
) -> None:
    """Planted fault: the cursor was moved before the broker had the events."""
    exchange = f"test.{uuid4().hex}"
    broker = Broker(rabbitmq_url, exchange=exchange)
    await carry(urls, broker)
    write_many(urls.owner, "skipped", range(1, 3))
    async with service_session(urls.login) as session:
        await cut(session)
        await session.execute("UPDATE sinks SET position = position + 2 WHERE name = 'broker'")
    write_many(urls.owner, "sent", range(1, 3))
    await carry(urls, broker)
    await broker.close()
    report = Report()
    async with database.transaction(SERVICE) as tx:
        await verify_broker(tx, report, rabbitmq_url, exchange=exchange)
    assert [difference.place for difference in report.differences] == ["broker"]


async def test_erasing_empties_the_log_queue_of_what_the_person_wrote(
    database: Database, lake: Lake, goal_id: UUID, urls: Urls, rabbitmq_url: str
) -> None:
    exchange = f"test.{uuid4().hex}"
    broker = Broker(rabbitmq_url, exchange=exchange)
    await carry(urls, broker, lake)
    erased = await erase_with_relay(database, lake, "ada", urls, rabbitmq_url=rabbitmq_url, exchange=exchange)
    await broker.close()
    await carry(urls, broker)
    await broker.close()
    report = Report()
    async with database.transaction(SERVICE) as tx:
        await verify_broker(tx, report, rabbitmq_url, exchange=exchange)
    assert erased.log_queue
    assert report.differences == []
