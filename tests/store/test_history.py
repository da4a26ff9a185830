"""History and time travel: any version, time or position, deleted entities too, and nobody else's past."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import goals, history, kept_fold
from store.background import service_session
from store.database import Database
from store.entity_snapshots import EVERY, SnapshotSink
from store.errors import Conflict, Invalid, NotFound, PayloadRejected
from store.event_types import EventType
from store.goals import NewGoal
from store.history import EventFilter, NewClientEvent
from store.lake import ROLL, Lake
from store.principal import SERVICE, Origin, Principal
from store.relay import Relay
from store.sequencer import cut
from store.types import GoalStatus, new_id
from store.upcasters import NewerSchema
from store.wakeups import Bell
from tests.events import write_many
from tests.postgres import Urls

NOTE = NewClientEvent(type=EventType.NOTE_ADDED, entity_id="n1", payload={"text": "first"})


@pytest.fixture
async def goal_id(database: Database, learner: Principal) -> UUID:
    """A goal of three versions: made, renamed, then started by progress."""
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn Rust"))
    async with database.transaction(learner) as tx:
        await goals.update(tx, goal.id, {"title": "Learn Rust well"})
    async with database.transaction(learner) as tx:
        await goals.set_progress(tx, goal.id, 40)
    return goal.id


async def sequence(urls: Urls) -> None:
    async with service_session(urls.login) as session:
        await cut(session)


async def run_once(urls: Urls, sink: Lake | SnapshotSink) -> None:
    relay = Relay(urls.login, sink, Bell(), policy=ROLL)
    relay.stop()
    await relay.run()


async def test_the_history_of_an_entity_is_complete_and_in_order(
    database: Database, learner: Principal, goal_id: UUID
) -> None:
    async with database.transaction(learner) as tx:
        page = await history.history(tx, "goal", str(goal_id))
        assert (await history.get_event(tx, page.items[0].id)).id == page.items[0].id
        later = await history.history(tx, "goal", str(goal_id), skip=1, limit=1)
    assert [(event.entity_version, event.type) for event in page.items] == [
        (1, "goal.created"),
        (2, "goal.updated"),
        (3, "goal.started"),
    ]
    assert page.total == 3
    assert [event.entity_version for event in later.items] == [2]


async def test_replay_by_version_time_and_position(
    database: Database, learner: Principal, goal_id: UUID, urls: Urls
) -> None:
    await sequence(urls)
    async with database.transaction(learner) as tx:
        events = (await history.history(tx, "goal", str(goal_id))).items
        second = events[1]
        by_version = await history.replay(tx, "goal", str(goal_id), version=2)
        by_time = await history.replay(tx, "goal", str(goal_id), at=second.recorded_at)
        by_position = await history.replay(tx, "goal", str(goal_id), position=second.position)
        before = await history.replay(tx, "goal", str(goal_id), at=events[0].recorded_at - timedelta(microseconds=1))
    assert by_version == by_time == by_position
    assert by_version.state is not None
    assert by_version.state["title"] == "Learn Rust well"
    assert by_version.state["status"] == "pending"
    assert by_version.version == 2
    assert (before.state, before.version) == (None, 0)


async def test_replay_without_a_bound_is_the_row_as_it_is(
    database: Database, learner: Principal, goal_id: UUID
) -> None:
    async with database.transaction(learner) as tx:
        row = await goals.get(tx, goal_id)
        now = await history.replay(tx, "goal", str(goal_id))
    assert now.state is not None
    assert now.state["title"] == row.title
    assert now.state["progress_percentage"] == row.progress_percentage
    assert now.state["version"] == row.version
    assert now.state["created_at"] == row.created_at.isoformat().replace("+00:00", "Z")
    assert now.state["updated_at"] == row.updated_at.isoformat().replace("+00:00", "Z")
    assert set(now.state) == set(goals.Goal.__dataclass_fields__)


async def test_a_deleted_entity_keeps_its_past(database: Database, learner: Principal, goal_id: UUID) -> None:
    async with database.transaction(learner) as tx:
        await goals.delete(tx, goal_id)
    async with database.transaction(learner) as tx:
        replayed = await history.replay(tx, "goal", str(goal_id))
        page = await history.history(tx, "goal", str(goal_id))
    assert replayed.deleted
    assert replayed.state is not None
    assert replayed.state["title"] == "Learn Rust well"
    assert page.items[-1].type == "goal.deleted"


async def test_nobody_else_sees_the_past(
    database: Database, learner: Principal, other_learner: Principal, goal_id: UUID
) -> None:
    async with database.transaction(learner) as tx:
        event_id = (await history.history(tx, "goal", str(goal_id))).items[0].id
    async with database.transaction(other_learner) as tx:
        for question in (
            history.history(tx, "goal", str(goal_id)),
            history.replay(tx, "goal", str(goal_id)),
            history.get_event(tx, event_id),
        ):
            with pytest.raises(NotFound):
                await question
        assert (await history.events_of(tx, EventFilter())).total == 0
        assert (await history.system_at(tx, position=10**9)).total == 0


async def test_two_bounds_at_once_are_refused(database: Database, learner: Principal, goal_id: UUID) -> None:
    async with database.transaction(learner) as tx:
        with pytest.raises(Invalid, match="one of"):
            await history.replay(tx, "goal", str(goal_id), version=1, position=1)


async def test_events_can_be_filtered(database: Database, learner: Principal, goal_id: UUID) -> None:
    async with database.transaction(learner) as tx:
        every = await history.events_of(tx, EventFilter())
        page = await history.events_of(
            tx, EventFilter(entity_type="goal", entity_id=str(goal_id), types=("goal.updated",)), limit=1
        )
        future = await history.events_of(tx, EventFilter(since=datetime.now(UTC) + timedelta(hours=1)))
    assert every.total == 3
    assert every.items[0].type == "goal.started", "newest first"
    assert (page.total, page.items[0].type) == (1, "goal.updated")
    assert future.total == 0


async def test_the_whole_system_at_a_past_instant(
    database: Database, learner: Principal, goal_id: UUID, urls: Urls
) -> None:
    await sequence(urls)
    before = datetime.now(UTC)
    async with database.transaction(learner) as tx:
        await goals.create(tx, NewGoal(title="Second"))
        await goals.update(tx, goal_id, {"status": GoalStatus.COMPLETED})
    await sequence(urls)
    async with database.transaction(learner) as tx:
        then = await history.system_at(tx, at=before, entity_types=frozenset({"goal"}))
        now = await history.system_at(tx, at=datetime.now(UTC), entity_types=frozenset({"goal"}))
    assert then.total == 1
    assert [each.state["status"] for each in then.entities if each.state] == ["in_progress"]
    assert now.total == 2


async def test_snapshots_shorten_a_replay_and_change_nothing(
    database: Database, learner: Principal, urls: Urls
) -> None:
    write_many(urls.owner, "g", range(1, 2 * EVERY + 8))
    await sequence(urls)
    async with database.transaction(learner) as tx:
        without = await history.replay(tx, "goal", "g", version=EVERY + 5)
    await run_once(urls, SnapshotSink(database))
    async with database.transaction(learner) as tx:
        result = await history.replay(tx, "goal", "g", version=EVERY + 5)
        latest = await history.replay(tx, "goal", "g")
    assert without.events_applied == EVERY + 5
    assert (result.events_applied, result.snapshot_version) == (5, EVERY)
    assert result.state == without.state
    assert (latest.events_applied, latest.snapshot_version, latest.version) == (7, 2 * EVERY, 2 * EVERY + 7)


async def test_a_snapshot_of_another_reducer_is_never_used(database: Database, learner: Principal, urls: Urls) -> None:
    write_many(urls.owner, "g", range(1, EVERY + 1))
    await sequence(urls)
    await run_once(urls, SnapshotSink(database))
    async with database.transaction(SERVICE) as tx:
        await tx.execute("UPDATE entity_snapshots SET reducer = 'older', state = '{}'")
    async with database.transaction(learner) as tx:
        replayed = await history.replay(tx, "goal", "g")
    assert replayed.snapshot_version is None
    assert replayed.events_applied == EVERY


async def test_a_client_can_report_what_it_saw(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        first = await history.post(tx, NOTE)
        second = await history.post(tx, NewClientEvent(type=NOTE.type, entity_id="n1", payload={"text": "second"}))
        stored = await history.get_event(tx, second.id)
        replayed = await history.replay(tx, "note", "n1")
    assert (first.entity_version, second.entity_version) == (1, 2)
    assert second.recorded_at > first.recorded_at
    assert stored.payload == {"text": "second"}
    assert replayed.state is not None
    assert replayed.state["text"] == "second"


async def test_a_report_from_an_older_client_is_lifted_when_read(database: Database, learner: Principal) -> None:
    old = NewClientEvent(
        type=EventType.TEST_RUN_REPORTED, entity_id="t", payload={"passed": 1, "failed": 2}, schema_version=1
    )
    async with database.transaction(learner) as tx:
        event = await history.post(tx, old)
        replayed = await history.replay(tx, "test_run", "t")
    assert event.payload == {"passed": 1, "failed": 2}
    assert replayed.state is not None
    assert replayed.state["skipped"] == 0


async def test_the_same_command_reports_once(database: Database, learner: Principal) -> None:
    origin = Origin(command_key="k1")
    async with database.transaction(learner, origin) as tx:
        first = await history.post(tx, NOTE)
    async with database.transaction(learner, origin) as tx:
        again = await history.post(tx, NOTE)
    assert again.id == first.id


async def test_reports_that_are_not_a_clients_to_make_are_refused(
    database: Database, learner: Principal, other_learner: Principal
) -> None:
    async with database.transaction(learner) as tx:
        with pytest.raises(Invalid, match="recorded by the service itself"):
            await history.post(
                tx, NewClientEvent(type=EventType.GOAL_COMPLETED, entity_id=str(new_id()), payload={"changes": {}})
            )
        with pytest.raises(PayloadRejected):
            await history.post(tx, NewClientEvent(type=NOTE.type, entity_id="n", payload={"text": "a\x00b"}))
        await history.post(tx, NOTE)
    async with database.transaction(other_learner) as tx:
        with pytest.raises(Conflict, match="another entity_id"):
            await history.post(tx, NOTE)


class SteppingClock:
    """A clock that goes back an hour at every look."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now -= timedelta(hours=1)
        return self.now


async def test_recorded_at_rises_per_entity_when_the_clock_steps_back(urls: Urls, learner: Principal) -> None:
    async with Database(urls.login, now=SteppingClock()) as database, database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="a"))
        await goals.update(tx, goal.id, {"title": "b"})
        await goals.update(tx, goal.id, {"title": "c"})
        first = await history.post(tx, NOTE)
        second = await history.post(tx, NOTE)
        times = [event.recorded_at for event in (await history.history(tx, "goal", str(goal.id))).items]
    assert times == sorted(set(times))
    assert second.recorded_at > first.recorded_at


changes = st.fixed_dictionaries(
    {},
    optional={
        "title": st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
        "description": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
        "priority": st.sampled_from(["low", "high"]),
        "details": st.dictionaries(st.sampled_from("abc"), st.integers(-5, 5) | st.floats(-1, 1), max_size=2),
    },
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(changes, max_size=6))
async def test_replay_of_any_history_equals_the_row_at_every_step(
    database: Database, learner: Principal, steps: list[dict[str, object]]
) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="start"))
        rows = [goal, *[await goals.update(tx, goal.id, step) for step in steps]]
        for row in rows:
            replayed = await history.replay(tx, "goal", str(goal.id), version=row.version)
            assert replayed.state is not None
            assert replayed.state["title"] == row.title
            assert replayed.state["description"] == row.description
            assert replayed.state["priority"] == row.priority
            assert replayed.state["details"] == row.details
            assert replayed.state["updated_at"] == row.updated_at.isoformat().replace("+00:00", "Z")


def no_kinds(_: str) -> list[str]:
    """As if every event were of another schema version, which only Python can lift."""
    return []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(changes, max_size=6), st.booleans(), st.integers(1, 8))
async def test_events_add_up_to_the_same_in_the_database_and_here(
    database: Database, learner: Principal, steps: list[dict[str, object]], deleted: bool, version: int
) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="start"))
        for step in steps:
            await goals.update(tx, goal.id, step)
        if deleted:
            await goals.delete(tx, goal.id)
        in_database = await history.replay(tx, "goal", str(goal.id), version=version)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kept_fold, "current_kinds", no_kinds)
            here = await history.replay(tx, "goal", str(goal.id), version=version)
    assert in_database == here


async def test_an_event_of_a_newer_release_stops_a_replay(database: Database, learner: Principal, urls: Urls) -> None:
    write_many(urls.owner, "g", range(1, 4))
    write_many(urls.owner, "g", range(4, 5), verb="teleported")
    async with database.transaction(learner) as tx:
        assert (await history.replay(tx, "goal", "g", version=3)).version == 3
        with pytest.raises(NewerSchema, match="teleported"):
            await history.replay(tx, "goal", "g")


async def test_lake_and_postgres_tell_the_same_story(
    database: Database, learner: Principal, other_learner: Principal, goal_id: UUID, urls: Urls, tmp_path: Path
) -> None:
    await sequence(urls)
    lake = Lake(str(tmp_path))
    await run_once(urls, lake)
    async with database.transaction(learner) as tx:
        stored = (await history.history(tx, "goal", str(goal_id))).items
    archived = [event.as_event() for events in lake.read(entity=("goal", str(goal_id))) for event in events]
    assert archived == stored
