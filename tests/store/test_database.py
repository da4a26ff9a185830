"""The door: what it survives, and how refusals of PostgreSQL reach the caller."""

import asyncio
import contextlib

import psycopg
import pytest

from store import goals
from store.database import Database
from store.errors import Invalid, NotFound, PayloadRejected, Unavailable
from store.goals import GoalFilter, NewGoal
from store.principal import SERVICE, Principal
from store.types import Role
from tests.postgres import Urls, with_database


async def test_connections_that_died_in_the_pool_cost_no_request(
    database: Database, urls: Urls, learner: Principal
) -> None:
    async with database.transaction(learner) as tx:
        await tx.execute("SELECT 1")
    async with await psycopg.AsyncConnection.connect(urls.owner, autocommit=True) as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'goals_login'"
            " AND datname = current_database()"
        )
    async with database.transaction(learner) as tx:
        assert await tx.fetch_value("SELECT 1") == 1


async def test_a_database_that_is_not_there_is_unavailable(urls: Urls) -> None:
    gone = Database(with_database(urls.login, "gone"), open_timeout=0.5)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(_open(gone), 20)


async def test_a_statement_that_takes_too_long_ends_as_unavailable(urls: Urls, learner: Principal) -> None:
    async with Database(urls.login, statement_timeout=0.1) as database:
        with pytest.raises(Unavailable):
            async with database.transaction(learner) as tx:
                await tx.execute("SELECT pg_sleep(5)")
        await database.check()


@pytest.mark.parametrize("title", ["a\x00b", "lone \ud800 surrogate"])
async def test_text_postgresql_cannot_store_is_refused_before_sql(
    database: Database, learner: Principal, title: str
) -> None:
    async with database.transaction(learner) as tx:
        with pytest.raises(PayloadRejected, match="title"):
            await goals.create(tx, NewGoal(title=title))
        assert await tx.fetch_value("SELECT count(*) FROM goals") == 0


async def test_a_rule_of_the_database_is_named(database: Database) -> None:
    with pytest.raises(Invalid, match="do not fit together"):
        async with database.transaction(SERVICE) as tx:
            await tx.execute(
                "INSERT INTO courses VALUES ('', 'o', '', '', '', 'en', 'draft', 'global', NULL, NULL, 1, now(), now())"
            )


async def test_a_commit_that_keeps_nothing_is_no_success(database: Database, learner: Principal) -> None:
    woken: list[None] = []
    database.after_events = lambda: woken.append(None)
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        async with database.transaction(learner) as tx:
            await goals.create(tx, NewGoal(title="Go"))
            with contextlib.suppress(psycopg.Error):
                await tx.execute("SELECT 1 / 0")
    assert woken == []
    async with database.transaction(learner) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM goals") == 0


async def test_writers_wake_the_sequencer_only_when_they_wrote(database: Database, learner: Principal) -> None:
    woken: list[None] = []
    database.after_events = lambda: woken.append(None)
    async with database.transaction(learner) as tx:
        await tx.execute("SELECT 1")
    assert woken == []
    async with database.transaction(learner) as tx:
        await goals.create(tx, NewGoal(title="Go"))
    assert woken == [None]


async def test_many_people_share_a_pool_without_mixing(database: Database) -> None:
    async def whoami(number: int) -> None:
        who = Principal(f"user-{number % 7}", Role.LEARNER)
        try:
            async with database.transaction(who) as tx:
                assert await tx.fetch_value("SELECT app_user_id() || current_user") == f"{who.user_id}goals_user"
                if number % 5 == 0:
                    raise ValueError("an error in the middle")
        except ValueError:
            return

    await asyncio.gather(*(whoami(number) for number in range(300)))


async def test_a_reader_asks_as_its_principal_and_leaves_nothing_behind(database: Database) -> None:
    async def whoami(number: int) -> None:
        who = Principal(f"reader-{number % 7}", Role.LEARNER, courses=("a", "b")[: number % 3])
        asked = "SELECT app_user_id() || current_user || cardinality(my_courses())"
        if number % 3 == 0:
            async with database.transaction(who) as tx:
                assert await tx.fetch_value(asked) == f"{who.user_id}goals_user0"
        else:
            assert await database.reader(who).fetch_value(asked) == f"{who.user_id}goals_user{number % 3}"

    await asyncio.gather(*(whoami(number) for number in range(100)))
    async with database.pool.connection() as connection:
        cursor = await connection.execute("SELECT current_user, current_setting('app.user_id', true)")
        assert await cursor.fetchone() == ("goals_login", "")


async def test_a_reader_sees_only_what_is_its_own_and_writes_nothing(
    database: Database, learner: Principal, other_learner: Principal
) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Go", description="private"))
    assert await goals.get(database.reader(learner), goal.id) == goal
    assert await goals.list(database.reader(learner), GoalFilter()) == ([goal], 1)
    with pytest.raises(NotFound):
        await goals.get(database.reader(other_learner), goal.id)
    assert await goals.list(database.reader(other_learner), GoalFilter()) == ([], 0)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await database.reader(learner).fetch_value("DELETE FROM goals RETURNING id")
    assert (await goals.get(database.reader(learner), goal.id)).version == 1


async def test_a_reader_outlives_dead_connections_errors_and_cancellation(
    database: Database, urls: Urls, learner: Principal
) -> None:
    reader = database.reader(learner)
    with pytest.raises(Invalid):
        await reader.fetch_value("SELECT 'no number'::int")
    waiting = asyncio.create_task(reader.fetch_value("SELECT pg_sleep(30)::text"))
    await asyncio.sleep(0.2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 5)
    async with await psycopg.AsyncConnection.connect(urls.owner, autocommit=True) as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'goals_login'"
            " AND datname = current_database()"
        )
    assert await reader.fetch_value("SELECT 1") == 1
    assert database.pool.get_stats().get("requests_waiting", 0) == 0


async def test_a_page_knows_how_long_the_listing_is(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        for number in range(5):
            await goals.create(tx, NewGoal(title=f"Goal {number}"))
    for skip, limit, shown in ((0, 2, 2), (4, 2, 1), (5, 2, 0), (99, 2, 0), (0, 50, 5)):
        page = await goals.list(database.reader(learner), GoalFilter(skip=skip, limit=limit))
        assert (len(page.items), page.total) == (shown, 5)


async def _open(database: Database) -> None:
    async with database:
        pass
