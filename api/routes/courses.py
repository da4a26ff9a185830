"""The six course endpoints, and three for who is enrolled."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import answers, queries
from api.dependencies import SecuredRoute, caller_of, origin_of, reader_of, services_of
from api.idempotency import IDEMPOTENT, once
from api.openapi import problems
from api.schemas.common import Listing, Paging, PathId
from api.schemas.courses import (
    Course,
    CourseCreate,
    CourseQuery,
    CourseUpdate,
    Enrollment,
    EnrollmentCreate,
    Leaver,
)
from store import courses
from store.courses import CourseFilter, NewCourse
from store.database import Transaction

router = APIRouter(prefix="/courses", tags=["courses"], route_class=SecuredRoute)


@router.post(
    "",
    status_code=201,
    response_model=Course,
    summary="Create a course",
    responses=problems(403, 409),
    openapi_extra=IDEMPOTENT,
)
async def create_course(request: Request, body: CourseCreate) -> Response:
    """Create a draft; you become its instructor. Needs the role instructor or admin."""
    caller = caller_of(request)

    async def work(tx: Transaction) -> Response:
        course = await courses.create(tx, NewCourse(**dict(body)))
        return answers.entity(course, 201, location=f"/courses/{course.id}")

    return await once(request, caller, work)


@router.get("", response_model=Listing[Course], summary="List courses", openapi_extra=queries.parameters(CourseQuery))
async def list_courses(request: Request) -> Response:
    """Courses you may read, newest first."""
    query = queries.read(CourseQuery, request)
    found = await courses.list(reader_of(request), CourseFilter(**dict(query)))
    return answers.page(request, found, query.skip, query.limit)


@router.get("/{course_id}", response_model=Course, summary="Read a course", openapi_extra=answers.CACHED)
async def read_course(request: Request, course_id: PathId) -> Response:
    """A course of your own, one you belong to, or a published one that is open to everybody."""
    course = await courses.get(reader_of(request), course_id)
    return answers.entity_or_unchanged(request, course)


@router.put(
    "/{course_id}",
    response_model=Course,
    summary="Change a course",
    responses=problems(403, 409),
    openapi_extra=answers.GUARDED,
)
async def update_course(request: Request, course_id: PathId, body: CourseUpdate) -> Response:
    """Change a course of your own; an archived one has to be published first."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        course = await courses.update(tx, course_id, body.given(), expected_version=expected)
    return answers.entity(course)


@router.post(
    "/{course_id}/publish",
    response_model=Course,
    summary="Publish a course",
    responses=problems(403, 409),
    openapi_extra=answers.GUARDED,
)
async def publish_course(request: Request, course_id: PathId) -> Response:
    """Let learners in: a draft, or an archived course again."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        course = await courses.publish(tx, course_id, expected_version=expected)
    return answers.entity(course)


@router.post(
    "/{course_id}/archive",
    response_model=Course,
    summary="Archive a course",
    responses=problems(403, 409),
    openapi_extra=answers.GUARDED,
)
async def archive_course(request: Request, course_id: PathId) -> Response:
    """Close a course: its members keep reading it, nobody joins it any more."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        course = await courses.archive(tx, course_id, expected_version=expected)
    return answers.entity(course)


@router.post(
    "/{course_id}/enrollments",
    status_code=201,
    response_model=Enrollment,
    summary="Enroll",
    responses=problems(403, 409),
    openapi_extra=IDEMPOTENT,
)
async def enroll(request: Request, course_id: PathId, body: EnrollmentCreate) -> Response:
    """Join a published course, or enroll somebody in a course of your own."""
    caller = caller_of(request)

    async def work(tx: Transaction) -> Response:
        enrollment = await courses.enroll(tx, course_id, body.user_id)
        return answers.entity(enrollment, 201, location=f"/courses/{course_id}/enrollments")

    return await once(request, caller, work)


@router.get(
    "/{course_id}/enrollments",
    response_model=Listing[Enrollment],
    summary="List enrollments",
    openapi_extra=queries.parameters(Paging),
)
async def list_enrollments(request: Request, course_id: PathId) -> Response:
    """Everybody in a course of your own; in other courses, yourself."""
    query = queries.read(Paging, request)
    found = await courses.members(reader_of(request), course_id, skip=query.skip, limit=query.limit)
    return answers.page(request, found, query.skip, query.limit)


@router.delete(
    "/{course_id}/enrollments",
    status_code=204,
    summary="Leave a course",
    responses=problems(409),
    openapi_extra=queries.parameters(Leaver),
)
async def leave(request: Request, course_id: PathId) -> Response:
    """Leave a course, or remove somebody from a course of your own."""
    leaver = queries.read(Leaver, request)
    caller = caller_of(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        await courses.leave(tx, course_id, leaver.user_id)
    return answers.nothing()
