"""The index follows every change, asks for each text once, and survives whatever its embedder does."""

from dataclasses import replace
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from store import courses, goals, index_documents, index_rows, snapshots
from store.courses import Course, NewCourse
from store.database import Database
from store.event_rows import SequencedEvent
from store.goals import Goal
from store.index import IndexSink, index, wait_for
from store.index_build import rebuild, repair, retry_failed
from store.index_check import count_again, differences, live_keys, status
from store.index_models import current
from store.principal import SERVICE, Principal
from store.relay import SinkUnavailable
from store.snapshots import NewSnapshot, Validation
from store.types import EntityType, ValidationStatus, Visibility
from tests.postgres import Urls
from tests.store.conftest import GoalFactory, TaskFactory
from tests.store.searching import TopicEmbedder, WatchedEmbedder, index_everything


def rows(url: str, columns: LiteralString = "entity_id, chunk_no, visibility::text") -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        query = sql.SQL("SELECT {} FROM embeddings ORDER BY 1, 2").format(sql.SQL(columns))
        return connection.execute(query).fetchall()


@pytest.fixture
def embedder() -> WatchedEmbedder:
    return WatchedEmbedder()


@pytest.fixture
def sink(database: Database, embedder: WatchedEmbedder) -> IndexSink:
    return IndexSink(database, embedder)


async def logged(urls: Urls) -> list[SequencedEvent]:
    """The events as a relay would bring them, without running one."""
    async with await psycopg.AsyncConnection.connect(urls.owner) as connection:
        cursor = await connection.execute("SELECT entity_type, entity_id, seq FROM events ORDER BY seq")
        found = await cursor.fetchall()
    return [event(entity_type, entity_id, position) for entity_type, entity_id, position in found]


def event(entity_type: str, entity_id: str, position: int) -> SequencedEvent:
    bare = object.__new__(SequencedEvent)  # the sink reads only what it is about
    for name, value in {"entity_type": entity_type, "entity_id": entity_id, "position": position}.items():
        object.__setattr__(bare, name, value)
    return bare


async def test_a_new_goal_reaches_the_index_by_its_event(
    urls: Urls, sink: IndexSink, database: Database, make_goal: GoalFactory
) -> None:
    goal = await make_goal(title="Learn Go", description="Channels and slices")
    await sink.deliver(await logged(urls))
    assert rows(urls.owner) == [(str(goal.id), 0, "private")]
    async with database.transaction(SERVICE) as tx:
        assert await current(tx) == "hash-v1"


async def test_the_same_events_again_ask_nothing(
    urls: Urls, sink: IndexSink, embedder: WatchedEmbedder, make_goal: GoalFactory
) -> None:
    await make_goal()
    await sink.deliver(await logged(urls))
    asked = len(embedder.asked)
    await sink.deliver(await logged(urls))
    assert len(embedder.asked) == asked == 1


async def test_a_change_of_progress_asks_nothing_and_a_change_of_text_asks_once(
    urls: Urls,
    database: Database,
    sink: IndexSink,
    embedder: WatchedEmbedder,
    make_goal: GoalFactory,
    learner: Principal,
) -> None:
    goal = await make_goal()
    await sink.deliver(await logged(urls))
    async with database.transaction(learner) as tx:
        await goals.set_progress(tx, goal.id, 40.0)
    await sink.deliver(await logged(urls))
    assert len(embedder.asked) == 1
    async with database.transaction(learner) as tx:
        await goals.update(tx, goal.id, {"title": "Learn Rust"})
    await sink.deliver(await logged(urls))
    assert embedder.asked[1:] == ["Learn Rust"]
    assert len(rows(urls.owner)) == 1


async def test_a_change_of_visibility_moves_the_row_and_asks_nothing(
    urls: Urls, database: Database, sink: IndexSink, embedder: WatchedEmbedder, course: Course, make_goal: GoalFactory,
    learner: Principal,
) -> None:  # fmt: skip
    goal = await make_goal(course_id=course.id)
    await sink.deliver(await logged(urls))
    asked = len(embedder.asked)
    async with database.transaction(learner) as tx:
        await goals.update(tx, goal.id, {"visibility": Visibility.PRIVATE})
    await sink.deliver(await logged(urls))
    assert (str(goal.id), 0, "private") in rows(urls.owner)
    assert len(embedder.asked) == asked


async def test_a_deleted_goal_leaves_nothing_behind(
    urls: Urls, database: Database, sink: IndexSink, make_task: TaskFactory, learner: Principal
) -> None:
    task = await make_task()
    await sink.deliver(await logged(urls))
    assert len(rows(urls.owner)) == 2
    async with database.transaction(learner) as tx:
        await goals.delete(tx, task.goal_id)
    await sink.deliver(await logged(urls))
    assert rows(urls.owner) == []
    with psycopg.connect(urls.owner) as connection:
        assert connection.execute("SELECT count(*) FROM indexed_entities").fetchone() == (0,)
        assert connection.execute("SELECT sum(rows) FROM embedding_counts").fetchone() == (0,)


async def test_only_the_changed_section_of_a_course_is_asked_again(
    urls: Urls, database: Database, sink: IndexSink, embedder: WatchedEmbedder, instructor: Principal
) -> None:
    sections = [f"# Part {number}\n\nText of part {number}.\n" for number in range(5)]
    async with database.transaction(instructor) as tx:
        made = await courses.create(tx, NewCourse(id="c", title="APIs", documentation="\n".join(sections)))
    await sink.deliver(await logged(urls))
    asked = len(embedder.asked)
    new = ["# Intro\n\nA section in front of all others.\n", *sections[:4], "# Part 4\n\nRewritten.\n"]
    async with database.transaction(instructor) as tx:
        await courses.update(tx, made.id, {"documentation": "\n".join(new)})
    await sink.deliver(await logged(urls))
    assert sorted(embedder.asked[asked:]) == [
        "APIs > Intro\nA section in front of all others.",
        "APIs > Part 4\nRewritten.",
    ]
    lines = {heading: (start, end) for heading, start, end in rows(urls.owner, "heading, line_start, line_end")}
    assert lines["APIs > Part 0"] == (7, 7)
    assert lines["APIs > Part 4"] == (23, 23)


async def test_equal_texts_of_two_people_are_asked_for_once(
    database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory, other_learner: Principal
) -> None:
    await make_goal(title="Learn Go")
    await index_everything(database, embedder)
    await make_goal(other_learner, title="Learn Go")
    await index_everything(database, embedder)
    assert embedder.asked == ["Learn Go"]


async def test_an_answer_that_was_stored_before_a_crash_is_not_asked_for_again(
    database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory
) -> None:
    for number in range(6):
        await make_goal(title=f"Goal {number}")
    embedder.away_after = 4
    with pytest.raises(SinkUnavailable, match="gone"):
        await index_everything(database, embedder)
    embedder.away_after = None
    await index_everything(database, embedder)
    assert len(embedder.asked) == len(set(embedder.asked)) == 6
    assert await differences(database, embedder.model) == []


async def test_a_crash_between_answer_and_commit_loses_nothing(
    database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_goal()

    async def crash(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr("store.index_rows.write", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            await index_everything(database, embedder)
    assert [d.kind for d in await differences(database, embedder.model)] == ["missing"]
    await index_everything(database, embedder)
    assert await differences(database, embedder.model) == []


async def test_many_new_entities_go_over_two_connections_beside_those_that_changed_or_went(
    urls: Urls,
    database: Database,
    embedder: WatchedEmbedder,
    learner: Principal,
    make_goal: GoalFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed, gone = await make_goal(title="changes"), await make_goal(title="goes")
    await index_everything(database, embedder)
    async with database.transaction(learner) as tx:
        await goals.update(tx, changed.id, {"title": "changed"})
        await goals.delete(tx, gone.id)
    for number in range(80):
        await make_goal(title=f"Goal {number}")
    keys = [(EntityType.GOAL, str(gone.id)), *await live_keys(database, None, 1000)]
    write, calls = index_rows.write, 0

    async def fail_once(*given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("power cut")
        await write(*given)

    with monkeypatch.context() as patched:
        patched.setattr("store.index_rows.write", fail_once)
        with pytest.raises(RuntimeError, match="power cut"):
            await index(database, embedder, keys)
    assert calls == 2
    await index(database, embedder, keys)
    assert await differences(database, embedder.model) == []
    assert len(rows(urls.owner)) == 81
    async with database.transaction(SERVICE) as tx:
        assert await count_again(tx) == 0


async def test_a_text_the_model_refuses_is_parked_and_the_others_go_on(
    urls: Urls, database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory
) -> None:
    bad = await make_goal(title="poison")
    good = await make_goal(title="Learn Go")
    embedder.refuses = lambda text: "poison" in text
    await index_everything(database, embedder)
    assert [row[0] for row in rows(urls.owner)] == [str(good.id)]
    (difference,) = await differences(database, embedder.model)
    assert (difference.entity_id, difference.kind, difference.reason) == (str(bad.id), "failed", "too strange")
    assert await retry_failed(database, embedder) == 1
    embedder.refuses = lambda _: False
    assert await retry_failed(database, embedder) == 0
    assert len(rows(urls.owner)) == 2


async def test_what_holds_a_secret_stays_its_owners(
    urls: Urls, database: Database, embedder: WatchedEmbedder, course: Course, make_goal: GoalFactory
) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    leaky = await make_goal(course_id=course.id, title="Deploy", description=f"use {key} for now")
    clean = await make_goal(course_id=course.id, title="Deploy")
    await index_everything(database, embedder)
    visible = {row[0]: row[2] for row in rows(urls.owner)}
    assert (visible[str(leaky.id)], visible[str(clean.id)]) == ("private", "course")


async def test_code_is_shared_only_after_it_passed(
    urls: Urls, database: Database, embedder: WatchedEmbedder, course: Course, make_task: TaskFactory,
    make_goal: GoalFactory, learner: Principal,
) -> None:  # fmt: skip
    goal = await make_goal(course_id=course.id)
    task = await make_task(goal_id=goal.id)
    async with database.transaction(learner) as tx:
        code = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content="print(1)"))
    await index_everything(database, embedder)
    assert (str(code.id), 0, "private") in rows(urls.owner)
    async with database.transaction(learner) as tx:
        await snapshots.record_validation(tx, code.id, Validation(status=ValidationStatus.PASSED, score=1.0))
    await index_everything(database, embedder)
    assert (str(code.id), 0, "course") in rows(urls.owner)
    assert len([text for text in embedder.asked if "print(1)" in text]) == 1


async def test_an_index_in_a_model_that_is_not_at_hand_waits_and_says_what_to_do(
    database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.index._MOVED_UNASKED", 0)
    await make_goal()
    await index_everything(database, TopicEmbedder())
    with pytest.raises(SinkUnavailable, match="goals index rebuild --model hash-v1"):
        await IndexSink(database, embedder).deliver([event("goal", str(UUID(int=1)), 1)])


async def test_a_small_index_follows_the_configured_model_by_itself(
    urls: Urls, database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory
) -> None:
    await make_goal(title="before the key was set")
    await index_everything(database, embedder)
    await make_goal(title="afterwards")
    await IndexSink(database, TopicEmbedder()).deliver(await logged(urls))
    assert {row[0] for row in rows(urls.owner, "model, 1")} == {"topics"}
    assert len(rows(urls.owner)) == 2


@pytest.mark.parametrize("own_partitions", [True, False])
async def test_a_rebuild_moves_searches_to_another_model_and_forgets_the_old_one(
    urls: Urls, database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory, *, own_partitions: bool
) -> None:
    for number in range(3):
        await make_goal(title=f"go {number}")
    await index_everything(database, embedder)
    topics = TopicEmbedder()
    stages: list[str] = []
    await rebuild(
        database, topics, owner_url=urls.owner if own_partitions else None, report=lambda p: stages.append(p.stage)
    )
    assert {row[0] for row in rows(urls.owner, "model, 1")} == {"topics"}
    assert await differences(database, "topics") == []
    report = await status(database)
    assert [(m.model, m.state, m.entities, m.chunks) for m in report.models] == [("topics", "current", 3, 3)]
    assert ("graph" in stages) == own_partitions
    with psycopg.connect(urls.owner) as connection:
        cursor = connection.execute(
            "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%hnsw%m=%16%ef_construction=%64%'"
        )
        assert cursor.fetchone() == (8 if own_partitions else 4,)
    await rebuild(database, embedder, owner_url=urls.owner)
    assert {row[0] for row in rows(urls.owner, "model, 1")} == {"hash-v1"}


async def test_verify_finds_what_is_missing_stale_and_orphaned_and_repair_mends_it(
    urls: Urls, database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory, learner: Principal
) -> None:
    kept, stale, orphan = [await make_goal(title=title) for title in ("kept", "stale", "orphan")]
    await index_everything(database, embedder)
    missing = await make_goal(title="missing")
    async with database.transaction(learner) as tx:
        await goals.update(tx, stale.id, {"title": "fresh"})
        await goals.delete(tx, orphan.id)
    found = {d.entity_id: d.kind for d in await differences(database, embedder.model)}
    assert found == {str(missing.id): "missing", str(stale.id): "stale", str(orphan.id): "orphaned"}
    assert await repair(database, embedder) == 0
    assert await differences(database, embedder.model) == []
    assert {row[0] for row in rows(urls.owner)} == {str(g.id) for g in (kept, stale, missing)}


async def test_a_writer_of_an_older_version_does_not_overwrite_a_later_one(
    urls: Urls, database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = await make_goal(title="now")
    await index_everything(database, embedder)
    with psycopg.connect(urls.owner) as connection:
        connection.execute("UPDATE indexed_entities SET version = 9")
    real = index_documents.read

    async def yesterday(*arguments: object) -> list[index_documents.Document]:
        return [replace(d, title="yesterday") for d in await real(*arguments)]  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(index_documents, "read", yesterday)
    await index(database, embedder, [(EntityType.GOAL, str(goal.id))])
    assert rows(urls.owner, "content, 1") == [("now", 1)]


async def test_sizes_of_scopes_follow_the_rows_and_can_be_counted_again(
    urls: Urls, database: Database, embedder: WatchedEmbedder, course: Course, make_goal: GoalFactory
) -> None:
    await make_goal(course_id=course.id)
    await index_everything(database, embedder)
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        counts = connection.execute(
            "SELECT entity_type, scope, key, rows FROM embedding_counts ORDER BY 1, 2"
        ).fetchall()
        assert counts == [
            ("course", "course", course.id, 1), ("course", "global", "", 1), ("course", "user", "ines", 1),
            ("goal", "course", course.id, 1), ("goal", "user", "ada", 1),
        ]  # fmt: skip
        connection.execute("UPDATE embedding_counts SET rows = rows + 5 WHERE scope = 'global'")
    async with database.transaction(SERVICE) as tx:
        assert await count_again(tx) == 1
        assert await count_again(tx) == 0


async def test_a_caller_can_wait_for_what_it_wrote(
    database: Database, embedder: WatchedEmbedder, make_goal: GoalFactory, learner: Principal, other_learner: Principal
) -> None:
    goal: Goal = await make_goal()
    arguments = (EntityType.GOAL, str(goal.id), goal.version)
    assert not await wait_for(lambda: database.transaction(learner), *arguments, timeout=0.05)
    await index_everything(database, embedder)
    assert await wait_for(lambda: database.transaction(learner), *arguments)
    assert not await wait_for(lambda: database.transaction(other_learner), *arguments, timeout=0)


async def test_a_task_is_found_by_its_criteria_and_skills(
    urls: Urls, database: Database, embedder: WatchedEmbedder, make_task: TaskFactory
) -> None:
    task = await make_task(title="Cache", acceptance_criteria=["evicts the oldest"], skills=["lru"])
    await index_everything(database, embedder)
    (content,) = [row[1] for row in rows(urls.owner, "entity_id, content") if row[0] == str(task.id)]
    assert content == "evicts the oldest\nlru"
