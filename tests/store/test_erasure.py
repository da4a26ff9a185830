"""A person's content goes from every table and every file, and what others see and can prove stays as it was."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from store import courses, goals, history, users
from store.database import Database
from store.erasure import EMPTIED_OTHERWISE
from store.goals import NewGoal
from store.lake import Lake
from store.principal import SERVICE, Principal
from store.repair import repair_lake
from tests.postgres import Urls
from tests.store.test_upkeep import carry, erase_with_relay, goal_id, lake, report_of

__all__ = ["goal_id", "lake"]

NOBODYS: Final = {
    "alembic_version": "which migrations ran",
    "checkpoint_migrations": "which migrations of LangGraph's ran",
    "courses": "stay for those enrolled, with their owner's id",
    "embedding_counts": "numbers of rows",
    "event_batches": "positions, times and digests",
    "event_head": "positions, times and digests",
    "event_log": "positions and times",
    "event_redactions": "digests of what was erased",
    "index_models": "names of embedding models",
    "sign_in_attempts": "digests that expire within hours",
    "sink_parked": "errors, emptied for the person's events",
    "sinks": "cursors",
}
"""Tables without a `user_id`, and what they hold instead of somebody's content."""

_KINDS: Final = {
    "text": "'{words}'",
    "text[]": "ARRAY['{words}']",
    "jsonb": "'[\"{words}\"]'",
    "bytea": "'{words}'",
    "uuid": "gen_random_uuid()",
    "boolean": "true",
    "timestamp with time zone": "now()",
    "vector(1536)": "array_fill(0.5, ARRAY[1536])::vector",
}
_RULED: Final = {
    ("embeddings", "entity_type"): "'goal'",
    ("runs", "cancel"): "NULL",
    ("runs", "epoch"): "NULL",
    ("runs", "lease_until"): "NULL",
    ("suggestion_feedback", "decision"): "'accepted'",
    ("tool_ledger", "status"): "'done'",
}
"""Columns in which a check allows only some values."""


def columns(connection: psycopg.Connection) -> dict[str, dict[str, str]]:
    """Return the columns one may write, with their types, of every table there is."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
        """
    ):
        found.setdefault(table, {})[column] = kind
    return found


def write_row(connection: psycopg.Connection, table: str, kinds: dict[str, str], user_id: str, words: str) -> None:
    """Insert one row of a person's with the words in every column that can hold any."""
    enums = {row[0] for row in connection.execute("SELECT typname FROM pg_type WHERE typtype = 'e'")}
    values: list[str] = []
    for column, kind in kinds.items():
        usual = f"enum_first(NULL::{kind})" if kind in enums else _KINDS.get(kind, "1").format(words=words)
        values.append(f"'{user_id}'" if column == "user_id" else _RULED.get((table, column), usual))
    connection.execute(f"INSERT INTO {table} ({', '.join(kinds)}) VALUES ({', '.join(values)})".encode())


def tables_with(urls: Urls, *words: str) -> set[str]:
    """Return the tables in which one of the words stands anywhere, as text or as bytes."""
    pattern = "|".join([*words, *(word.encode().hex() for word in words)])
    with psycopg.connect(urls.owner) as connection:
        return {
            table
            for table in columns(connection)
            if connection.execute(
                f"SELECT 1 FROM {table} AS t WHERE t::text ~ %s LIMIT 1".encode(), [pattern]
            ).fetchone()
        }


def rows_of(connection: psycopg.Connection, table: str, user_id: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table} WHERE user_id = %s".encode(), [user_id]).fetchone()
    assert row
    return row[0]


def test_every_table_is_erased_or_says_why_not(urls: Urls) -> None:
    with psycopg.connect(urls.owner) as connection:
        every = columns(connection)
    theirs = {table for table, kinds in every.items() if "user_id" in kinds}
    assert set(every) - theirs == {*NOBODYS, "users"}, "a new table without a user_id needs a reason above"
    assert set(EMPTIED_OTHERWISE) - {"users"} <= theirs


async def test_whatever_a_person_left_in_any_table_is_gone_and_nobody_elses(
    database: Database, lake: Lake, goal_id: UUID, learner: Principal, other_learner: Principal, urls: Urls
) -> None:
    with psycopg.connect(urls.owner) as connection:
        every = columns(connection)
        swept = {table for table, kinds in every.items() if "user_id" in kinds} - set(EMPTIED_OTHERWISE)
        connection.execute("SET session_replication_role = replica")  # rows alone, without what they would point to
        for table in swept:
            write_row(connection, table, every[table], learner.user_id, "secret")
            write_row(connection, table, every[table], other_learner.user_id, "harmless")
    assert tables_with(urls, "secret") >= {"goals", "tasks", "events", "checkpoints", "run_frames", "tool_ledger"}
    erased = await erase_with_relay(database, lake, learner.user_id, urls)
    closed = await users.closed(database.reader(SERVICE), timedelta(minutes=5))
    assert [(account.user_id, account.erased) for account in closed] == [(learner.user_id, True)]
    assert erased.rows >= len(swept)
    assert tables_with(urls, "secret", "very private", "ada@example.org") == set()
    with psycopg.connect(urls.owner) as connection:
        left = {table: (rows_of(connection, table, "ada"), rows_of(connection, table, "bob")) for table in swept}
    assert left == dict.fromkeys(swept, (0, 1))


async def test_the_courses_of_an_erased_owner_stay_whole(
    database: Database, lake: Lake, goal_id: UUID, instructor: Principal, other_learner: Principal, urls: Urls
) -> None:
    with psycopg.connect(urls.owner) as connection:
        row = connection.execute("SELECT id FROM courses").fetchone()
        assert row
        write_row(connection, "embeddings", columns(connection)["embeddings"], instructor.user_id, "of a course")
        connection.execute("UPDATE embeddings SET entity_type = 'course'")
    async with database.transaction(instructor) as tx:
        await goals.create(tx, NewGoal(title="secret goal of a teacher"))
    await carry(urls, lake)
    async with database.transaction(SERVICE) as tx:
        before = await history.replay(tx, "course", row[0])
    await erase_with_relay(database, lake, instructor.user_id, urls)
    await carry(urls, lake)
    async with database.transaction(SERVICE) as tx:
        assert await history.replay(tx, "course", row[0]) == before
    async with database.transaction(other_learner) as tx:
        assert (await courses.enroll(tx, row[0])).course_owner_id == instructor.user_id
    assert "embeddings" in tables_with(urls, "of a course")
    assert "secret goal" not in contents(lake)
    await carry(urls, lake)
    assert (await report_of(database, lake)).differences == []


def contents(lake: Lake) -> str:
    """Return what every file of the lake says, also those that no longer count."""
    return repr([lake.read_file(file) for file in [*lake.folder.files(), *lake.folder.forked()]])


async def test_files_that_no_longer_count_are_emptied_too(
    database: Database, lake: Lake, goal_id: UUID, learner: Principal, urls: Urls
) -> None:
    first, second = lake.files()
    lake.folder.move(first.path, replace(first, forked=True).path)
    await repair_lake(database, lake)
    lake.write(first.day, [*lake.read_file(first), *lake.read_file(second)])  # killed before the joined ones went
    half = (Path(lake.folder.root) / first.path).parent / ".tmp-killed"
    half.write_text("secret")
    assert len(lake.files()) == 1
    assert contents(lake).count("secret plan") == 3
    await erase_with_relay(database, lake, learner.user_id, urls)
    assert "secret" not in contents(lake)
    assert not half.exists()
    assert len(lake.folder.forked()) == 1, "what others did in the undone future stays"
    await carry(urls, lake)
    assert (await report_of(database, lake)).differences == []
