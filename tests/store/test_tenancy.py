"""Nobody sees or changes what is not theirs, and PostgreSQL itself says so."""

from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest

from store import courses, goals, snapshots, tasks
from store.courses import Course, NewCourse
from store.database import Database, Policy
from store.errors import Forbidden, NotFound
from store.goals import GoalFilter, NewGoal
from store.principal import Principal
from store.snapshots import NewSnapshot, Validation
from store.tasks import NewTask
from store.types import Role, TaskStatus, ValidationStatus, Visibility
from tests.postgres import Urls
from tests.store.conftest import GoalFactory, TaskFactory

OWNED = ["goals", "tasks", "code_snapshots", "events", "enrollments", "tool_ledger", "users", "courses", "credentials"]


@dataclass(frozen=True)
class _Table:
    name: str
    forced: bool
    has_policy: bool


async def test_every_table_with_a_user_id_is_under_forced_row_level_security(urls: Urls) -> None:
    async with await psycopg.AsyncConnection.connect(urls.owner) as connection:
        rows = await connection.execute(
            "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,"
            " EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid)"
            " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
            " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace"
            " AND a.attname IN ('user_id', 'owner_id') AND NOT a.attisdropped"
        )
        tables = [_Table(*row) for row in await rows.fetchall()]
    assert {"goals", "tasks", "code_snapshots", "events", "embeddings", "threads", "runs"} <= {t.name for t in tables}
    assert [table.name for table in tables if not (table.forced and table.has_policy)] == []


async def test_the_login_role_has_no_rights_of_its_own(urls: Urls) -> None:
    async with await psycopg.AsyncConnection.connect(urls.login, autocommit=True) as connection:
        row = await (
            await connection.execute(
                "SELECT rolsuper, rolbypassrls, rolinherit FROM pg_roles WHERE rolname = current_user"
            )
        ).fetchone()
        assert row == (False, False, False)
        for table in OWNED:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(f"SELECT 1 FROM {table}".encode())


@pytest.mark.parametrize("table", ["goals", "tasks", "code_snapshots", "events", "tool_ledger", "enrollments"])
async def test_the_request_role_without_an_identity_sees_nothing(
    urls: Urls, make_task: TaskFactory, table: str
) -> None:
    await make_task()
    async with await psycopg.AsyncConnection.connect(urls.login) as connection:
        for name in ("", "bob"):
            await connection.execute("SELECT set_config('role', 'goals_user', true)")
            await connection.execute("SELECT set_config('app.user_id', %s, true)", [name])
            rows = await connection.execute(f"SELECT count(*) FROM {table}".encode())
            assert await rows.fetchone() == (0,)


@pytest.mark.parametrize(
    "forged",
    [
        "UPDATE goals SET user_id = 'bob'",
        'INSERT INTO goals SELECT (jsonb_populate_record(g, \'{"user_id": "bob"}\')).* FROM goals AS g',
        "UPDATE events SET payload = '{}'",
        "DELETE FROM events",
        "TRUNCATE goals",
        "SET LOCAL row_security = off; SELECT 1 FROM goals",
        "SELECT password_hash FROM credentials",
        "INSERT INTO users SELECT * FROM users; SELECT * FROM pg_authid",
    ],
)
async def test_what_the_request_role_may_not_do_even_with_sql_in_hand(
    urls: Urls, make_goal: GoalFactory, forged: str
) -> None:
    await make_goal()
    async with await psycopg.AsyncConnection.connect(urls.login) as connection:
        await connection.execute(
            "SELECT set_config('role', 'goals_user', true), set_config('app.user_id', 'ada', true)"
        )
        with pytest.raises(psycopg.Error):
            await connection.execute(forged.encode())


async def test_the_identity_ends_with_its_transaction(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        await tx.execute("SELECT 1")
    connection = await database.pool.getconn()
    try:
        row = await (await connection.execute("SELECT current_user, current_setting('app.user_id', true)")).fetchone()
        assert row == ("goals_login", "")
    finally:
        await database.pool.putconn(connection)


async def test_a_user_id_full_of_quotes_is_only_a_user_id(database: Database) -> None:
    mallory = Principal("'; SET ROLE postgres; --\\", Role.LEARNER)
    async with database.transaction(mallory) as tx:
        assert await tx.fetch_value("SELECT app_user_id()") == mallory.user_id
        assert (await goals.create(tx, NewGoal(title="Try"))).user_id == mallory.user_id


async def test_members_of_a_course_see_what_is_shared_with_it(
    database: Database, course: Course, other_learner: Principal, make_goal: GoalFactory
) -> None:
    shared = await make_goal(course_id=course.id)
    private = await make_goal(course_id=course.id, visibility=Visibility.PRIVATE)
    async with database.transaction(other_learner) as tx:
        assert (await goals.get(tx, shared.id)).title == shared.title
        listed = await goals.list(tx, GoalFilter(course_id=course.id, shared=True))
        assert [goal.id for goal in listed.items] == [shared.id]
        with pytest.raises(NotFound):
            await goals.get(tx, private.id)
        with pytest.raises(NotFound):
            await goals.update(tx, shared.id, {"title": "Mine"})


async def test_outsiders_and_former_members_do_not(
    database: Database, course: Course, other_learner: Principal, make_goal: GoalFactory
) -> None:
    shared = await make_goal(course_id=course.id)
    async with database.transaction(other_learner) as tx:
        await courses.leave(tx, course.id)
    for stranger in (other_learner, Principal("mallory", Role.INSTRUCTOR)):
        async with database.transaction(stranger) as tx:
            with pytest.raises(NotFound):
                await goals.get(tx, shared.id)


async def test_who_left_a_course_works_on_and_says_no_more_to_its_members(
    database: Database, course: Course, learner: Principal, make_goal: GoalFactory, make_task: TaskFactory
) -> None:
    goal = await make_goal(course_id=course.id)
    first = await make_task(goal_id=goal.id)
    second = await make_task(goal_id=goal.id, depends_on=[first.id])
    async with database.transaction(learner) as tx:
        code = await snapshots.create(tx, NewSnapshot(task_id=second.id, file_path="a.py", content="a"))
        assert {goal.visibility, first.visibility, code.visibility} == {Visibility.COURSE}
        await courses.leave(tx, course.id)
    async with database.transaction(learner) as tx:
        with pytest.raises(Forbidden, match="not enrolled"):
            await goals.update(tx, goal.id, {"visibility": Visibility.COURSE, "title": "Hear me"})
        passed = Validation(status=ValidationStatus.PASSED, score=1)
        changed = [
            await snapshots.record_validation(tx, code.id, passed),
            await snapshots.update(tx, code.id, {"content": "b"}),
            await snapshots.create(tx, NewSnapshot(task_id=second.id, file_path="a.py", content="c")),
            await tasks.create(tx, NewTask(goal_id=goal.id, title="Third")),
            await tasks.update(tx, first.id, {"status": TaskStatus.IN_PROGRESS}),
            await goals.set_progress(tx, goal.id, 10),
        ]
        await tasks.delete(tx, first.id)
        changed.append(await tasks.get(tx, second.id))
    assert {row.visibility for row in changed} == {Visibility.PRIVATE}


async def test_what_was_shared_with_everybody_ends_with_the_office(
    database: Database, instructor: Principal, make_goal: GoalFactory
) -> None:
    goal = await make_goal(instructor, visibility=Visibility.GLOBAL)
    async with database.transaction(Principal(instructor.user_id, Role.LEARNER)) as tx:
        assert (await goals.update(tx, goal.id, {"title": "Mine again"})).visibility is Visibility.PRIVATE


async def test_nobody_makes_themselves_owner_of_a_course_of_another_service(
    database: Database, instructor: Principal, admin: Principal
) -> None:
    database.policy = Policy(courses_elsewhere=True)
    async with database.transaction(instructor) as tx:
        with pytest.raises(Forbidden, match="another service"):
            await courses.create(tx, NewCourse(title="Mine", id="ext-course"))
        assert (await courses.create(tx, NewCourse(title="Mine"))).owner_id == instructor.user_id
    for entitled in (admin, Principal("ext-4", Role.INSTRUCTOR, ("ext-course-4",))):
        async with database.transaction(entitled) as tx:
            course_id = (entitled.courses or ("ext-course-5",))[0]
            assert (await courses.create(tx, NewCourse(title="Theirs", id=course_id))).id == course_id


async def test_a_course_of_another_service_counts_when_the_token_vouches_for_it(
    database: Database, make_goal: GoalFactory
) -> None:
    member, guest = Principal("ext-1", Role.LEARNER, ("ext-course",)), Principal("ext-2", Role.LEARNER, ("ext-course",))
    goal = await make_goal(member, course_id="ext-course")
    assert goal.visibility is Visibility.COURSE
    async with database.transaction(guest) as tx:
        assert (await goals.get(tx, goal.id)).id == goal.id
    async with database.transaction(Principal("ext-3", Role.LEARNER)) as tx:
        with pytest.raises(NotFound):
            await goals.get(tx, goal.id)


async def test_sharing_needs_membership_and_everybody_needs_staff(make_goal: GoalFactory, course: Course) -> None:
    outsider = Principal("mallory", Role.LEARNER)
    assert (await make_goal(outsider, course_id=course.id)).visibility is Visibility.PRIVATE
    with pytest.raises(Forbidden, match="not enrolled"):
        await make_goal(outsider, course_id=course.id, visibility=Visibility.COURSE)
    with pytest.raises(Forbidden):
        await make_goal(outsider, visibility=Visibility.GLOBAL)


async def test_code_is_shared_once_it_has_passed(
    database: Database,
    course: Course,
    learner: Principal,
    other_learner: Principal,
    make_goal: GoalFactory,
    make_task: TaskFactory,
) -> None:
    goal = await make_goal(course_id=course.id)
    task = await make_task(goal_id=goal.id)
    async with database.transaction(learner) as tx:
        made = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content="x = 1"))
    assert not await _sees_snapshot(database, other_learner, made.id)
    async with database.transaction(learner) as tx:
        await snapshots.record_validation(tx, made.id, Validation(status=ValidationStatus.PASSED, score=1))
    assert await _sees_snapshot(database, other_learner, made.id)
    async with database.transaction(learner) as tx:
        await snapshots.update(tx, made.id, {"content": "x = 2"})
    assert not await _sees_snapshot(database, other_learner, made.id)


async def test_history_is_its_owners_alone(
    database: Database, course: Course, other_learner: Principal, learner: Principal, make_task: TaskFactory
) -> None:
    task = await make_task()
    async with database.transaction(learner) as tx:
        await tasks.update(tx, task.id, {"title": "Private title"})
        assert await tx.fetch_value("SELECT count(*) FROM events WHERE entity_id = %s", [str(task.id)]) == 2
    async with database.transaction(other_learner) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM events WHERE user_id <> 'bob'") == 0


async def _sees_snapshot(database: Database, who: Principal, snapshot_id: UUID) -> bool:
    async with database.transaction(who) as tx:
        try:
            await snapshots.get(tx, snapshot_id)
        except NotFound:
            return False
        return True
