"""The five task endpoints."""

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import answers, queries
from api.dependencies import SecuredRoute, caller_of, origin_of, reader_of, services_of
from api.idempotency import IDEMPOTENT, once
from api.openapi import problems
from api.schemas.common import Listing
from api.schemas.tasks import Task, TaskCreate, TaskQuery, TaskUpdate
from store import tasks
from store.database import Transaction
from store.tasks import NewTask, TaskFilter

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=SecuredRoute)


@router.post(
    "",
    status_code=201,
    response_model=Task,
    summary="Add a task",
    responses=problems(403, 404, 409),
    openapi_extra=IDEMPOTENT,
)
async def create_task(request: Request, body: TaskCreate) -> Response:
    """Add a step to a goal of your own."""
    caller = caller_of(request)

    async def work(tx: Transaction) -> Response:
        task = await tasks.create(tx, NewTask(**dict(body)))
        return answers.entity(task, 201, location=f"/tasks/{task.id}")

    return await once(request, caller, work)


@router.get("", response_model=Listing[Task], summary="List tasks", openapi_extra=queries.parameters(TaskQuery))
async def list_tasks(request: Request) -> Response:
    """Your tasks, newest first; with `goal_id`, the tasks of that goal in their order."""
    query = queries.read(TaskQuery, request)
    caller = caller_of(request)
    found = await tasks.list(reader_of(request), TaskFilter(**dict(query)))
    return answers.page(request, answers.page_for_eyes_of(caller, found), query.skip, query.limit)


@router.get("/{task_id}", response_model=Task, summary="Read a task", openapi_extra=answers.CACHED)
async def read_task(request: Request, task_id: UUID) -> Response:
    """A task of your own, or one that is shared with you."""
    caller = caller_of(request)
    task = await tasks.get(reader_of(request), task_id)
    return answers.entity_or_unchanged(request, answers.for_eyes_of(caller, task))


@router.put(
    "/{task_id}",
    response_model=Task,
    summary="Change a task",
    responses=problems(403, 409),
    openapi_extra=answers.GUARDED,
)
async def update_task(request: Request, task_id: UUID, body: TaskUpdate) -> Response:
    """Change what you send; times follow the status, and dependencies may not form a cycle."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        task = await tasks.update(tx, task_id, body.given(), expected_version=expected)
    return answers.entity(task)


@router.delete("/{task_id}", status_code=204, summary="Delete a task", openapi_extra=answers.GUARDED)
async def delete_task(request: Request, task_id: UUID) -> Response:
    """Delete a task with its snapshots; tasks that waited for it no longer do."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        await tasks.delete(tx, task_id, expected_version=expected)
    return answers.nothing()
