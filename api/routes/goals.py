"""The six goal endpoints."""

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import answers, queries
from api.dependencies import SecuredRoute, caller_of, origin_of, reader_of, services_of
from api.idempotency import IDEMPOTENT, once
from api.openapi import problems
from api.schemas.common import Listing
from api.schemas.goals import Goal, GoalCreate, GoalProgress, GoalQuery, GoalUpdate
from store import goals
from store.database import Transaction
from store.goals import GoalFilter, NewGoal

router = APIRouter(prefix="/goals", tags=["goals"], route_class=SecuredRoute)


@router.post(
    "",
    status_code=201,
    response_model=Goal,
    summary="Set a goal",
    responses=problems(403),
    openapi_extra=IDEMPOTENT,
)
async def create_goal(request: Request, body: GoalCreate) -> Response:
    """Create a goal of your own, pending and at 0 percent."""
    caller = caller_of(request)

    async def work(tx: Transaction) -> Response:
        goal = await goals.create(tx, NewGoal(**dict(body)))
        return answers.entity(goal, 201, location=f"/goals/{goal.id}")

    return await once(request, caller, work)


@router.get("", response_model=Listing[Goal], summary="List goals", openapi_extra=queries.parameters(GoalQuery))
async def list_goals(request: Request) -> Response:
    """Your goals, newest first; with `shared`, also those of the course that others share."""
    query = queries.read(GoalQuery, request)
    caller = caller_of(request)
    found = await goals.list(reader_of(request), GoalFilter(**dict(query)))
    return answers.page(request, answers.page_for_eyes_of(caller, found), query.skip, query.limit)


@router.get("/{goal_id}", response_model=Goal, summary="Read a goal", openapi_extra=answers.CACHED)
async def read_goal(request: Request, goal_id: UUID) -> Response:
    """A goal of your own, or one that is shared with you."""
    caller = caller_of(request)
    goal = await goals.get(reader_of(request), goal_id)
    return answers.entity_or_unchanged(request, answers.for_eyes_of(caller, goal))


@router.put(
    "/{goal_id}",
    response_model=Goal,
    summary="Change a goal",
    responses=problems(403, 409),
    openapi_extra=answers.GUARDED,
)
async def update_goal(request: Request, goal_id: UUID, body: GoalUpdate) -> Response:
    """Change what you send; status, progress and times follow each other."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        goal = await goals.update(tx, goal_id, body.given(), expected_version=expected)
    return answers.entity(goal)


@router.patch(
    "/{goal_id}/progress",
    response_model=Goal,
    summary="Report progress",
    responses=problems(409),
    openapi_extra=answers.GUARDED,
)
async def report_progress(request: Request, goal_id: UUID, body: GoalProgress) -> Response:
    """Set how far a goal is: more than 0 starts it, 100 completes it."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        goal = await goals.set_progress(tx, goal_id, body.progress_percentage, expected_version=expected)
    return answers.entity(goal)


@router.delete("/{goal_id}", status_code=204, summary="Delete a goal", openapi_extra=answers.GUARDED)
async def delete_goal(request: Request, goal_id: UUID) -> Response:
    """Delete a goal with its tasks and their snapshots; its history stays."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        await goals.delete(tx, goal_id, expected_version=expected)
    return answers.nothing()
