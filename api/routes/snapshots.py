"""The seven endpoints of code snapshots."""

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import answers, queries
from api.dependencies import SecuredRoute, caller_of, origin_of, reader_of, services_of
from api.idempotency import IDEMPOTENT, once
from api.openapi import problems
from api.schemas.common import Listing
from api.schemas.snapshots import (
    Snapshot,
    SnapshotCreate,
    SnapshotQuery,
    SnapshotUpdate,
    SnapshotValidation,
)
from store import snapshots
from store.database import Transaction
from store.snapshots import NewSnapshot, SnapshotFilter, Validation
from store.types import ValidationStatus

router = APIRouter(prefix="/code-snapshots", tags=["code snapshots"], route_class=SecuredRoute)


@router.post(
    "",
    status_code=201,
    response_model=Snapshot,
    summary="Hand in code",
    responses=problems(403, 404),
    openapi_extra=IDEMPOTENT,
)
async def create_snapshot(request: Request, body: SnapshotCreate) -> Response:
    """Store the next version of a file of a task of your own, with its difference to the version before."""
    caller = caller_of(request)

    async def work(tx: Transaction) -> Response:
        snapshot = await snapshots.create(tx, NewSnapshot(**dict(body)))
        return answers.entity(snapshot, 201, location=f"/code-snapshots/{snapshot.id}")

    return await once(request, caller, work)


@router.get(
    "", response_model=Listing[Snapshot], summary="List code snapshots", openapi_extra=queries.parameters(SnapshotQuery)
)
async def list_snapshots(request: Request) -> Response:
    """Your snapshots, newest first; with `task_id` or `goal_id`, also those that others share."""
    query = queries.read(SnapshotQuery, request)
    caller = caller_of(request)
    found = await snapshots.list(reader_of(request), SnapshotFilter(**dict(query)))
    return answers.page(request, answers.page_for_eyes_of(caller, found), query.skip, query.limit)


@router.get(
    "/tasks/{task_id}/latest",
    response_model=Snapshot,
    summary="Read the newest snapshot of a task",
    openapi_extra=answers.CACHED,
)
async def latest_snapshot(request: Request, task_id: UUID) -> Response:
    """Your newest snapshot of a task."""
    snapshot = await snapshots.latest(reader_of(request), task_id)
    assert snapshot is not None
    return answers.entity_or_unchanged(request, snapshot)


@router.get("/{snapshot_id}", response_model=Snapshot, summary="Read a code snapshot", openapi_extra=answers.CACHED)
async def read_snapshot(request: Request, snapshot_id: UUID) -> Response:
    """A snapshot of your own, or one that passed validation and is shared with you."""
    caller = caller_of(request)
    snapshot = await snapshots.get(reader_of(request), snapshot_id)
    return answers.entity_or_unchanged(request, answers.for_eyes_of(caller, snapshot))


@router.put(
    "/{snapshot_id}",
    response_model=Snapshot,
    summary="Change a code snapshot",
    responses=problems(403),
    openapi_extra=answers.GUARDED,
)
async def update_snapshot(request: Request, snapshot_id: UUID, body: SnapshotUpdate) -> Response:
    """Change what you send; new content takes back the validation of the old."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        snapshot = await snapshots.update(tx, snapshot_id, body.given(), expected_version=expected)
    return answers.entity(snapshot)


@router.patch(
    "/{snapshot_id}/validation",
    response_model=Snapshot,
    summary="Record a validation",
    openapi_extra=answers.GUARDED,
)
async def record_validation(request: Request, snapshot_id: UUID, body: SnapshotValidation) -> Response:
    """Record what a check of your snapshot found; the code-validation graph does the same by itself."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    validation = Validation(
        status=ValidationStatus(body.status),
        score=body.score,
        feedback=body.feedback,
        issues=[issue.model_dump() for issue in body.issues],
    )
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        snapshot = await snapshots.record_validation(tx, snapshot_id, validation, expected_version=expected)
    return answers.entity(snapshot)


@router.delete("/{snapshot_id}", status_code=204, summary="Delete a code snapshot", openapi_extra=answers.GUARDED)
async def delete_snapshot(request: Request, snapshot_id: UUID) -> Response:
    """Delete one version of a file; its history stays."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        await snapshots.delete(tx, snapshot_id, expected_version=expected)
    return answers.nothing()
