"""Courses: their life, who reads them, who joins."""

import pytest

from store import courses
from store.courses import CourseFilter, NewCourse
from store.database import Database
from store.errors import Conflict, Forbidden, IllegalTransition, NotFound
from store.principal import Principal
from store.types import CourseStatus, Visibility


async def test_a_course_is_drafted_published_and_archived(database: Database, instructor: Principal) -> None:
    async with database.transaction(instructor) as tx:
        draft = await courses.create(tx, NewCourse(title="Rust"))
        published = await courses.publish(tx, draft.id)
        archived = await courses.archive(tx, draft.id)
        with pytest.raises(IllegalTransition, match="archived"):
            await courses.update(tx, draft.id, {"title": "More Rust"})
    assert [one.status for one in (draft, published, archived)] == list(CourseStatus)
    assert published.published_at is not None
    assert archived.archived_at is not None


async def test_a_draft_is_its_owners_alone(database: Database, instructor: Principal, learner: Principal) -> None:
    async with database.transaction(instructor) as tx:
        draft = await courses.create(tx, NewCourse(title="Rust"))
    async with database.transaction(learner) as tx:
        with pytest.raises(NotFound):
            await courses.get(tx, draft.id)
        assert (await courses.list(tx, CourseFilter())).items == []


async def test_a_learner_creates_no_course_and_changes_none(
    database: Database, learner: Principal, course: courses.Course
) -> None:
    async with database.transaction(learner) as tx:
        with pytest.raises(Forbidden, match="instructor"):
            await courses.create(tx, NewCourse(title="Mine"))
        with pytest.raises(Forbidden, match="owner"):
            await courses.archive(tx, course.id)


@pytest.mark.parametrize("visibility", [Visibility.COURSE, Visibility.PRIVATE])
async def test_a_course_for_members_is_hidden_from_the_rest(
    database: Database, instructor: Principal, learner: Principal, other_learner: Principal, visibility: Visibility
) -> None:
    async with database.transaction(instructor) as tx:
        made = await courses.create(tx, NewCourse(title="Closed", visibility=visibility))
        await courses.publish(tx, made.id)
        await courses.enroll(tx, made.id, learner.user_id)
    async with database.transaction(learner) as tx:
        assert (await courses.get(tx, made.id)).title == "Closed"
    async with database.transaction(other_learner) as tx:
        with pytest.raises(NotFound):
            await courses.get(tx, made.id)
        with pytest.raises(NotFound):
            await courses.enroll(tx, made.id)


async def test_leaving_ends_what_membership_opened(
    database: Database, instructor: Principal, learner: Principal, course: courses.Course
) -> None:
    async with database.transaction(learner) as tx:
        with pytest.raises(Conflict, match="already"):
            await courses.enroll(tx, course.id)
        await courses.leave(tx, course.id)
        assert await courses.enrollments(tx) == []
    async with database.transaction(instructor) as tx:
        assert {member.user_id for member in (await courses.members(tx, course.id)).items} == {"ines", "bob"}
        with pytest.raises(Conflict, match="owner"):
            await courses.leave(tx, course.id)


async def test_members_see_their_own_enrollment_only(
    database: Database, learner: Principal, course: courses.Course
) -> None:
    async with database.transaction(learner) as tx:
        assert [member.user_id for member in (await courses.members(tx, course.id)).items] == ["ada"]
        with pytest.raises(Forbidden):
            await courses.enroll(tx, course.id, "mallory")
