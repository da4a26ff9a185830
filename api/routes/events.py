"""The five event endpoints: report, read, list, history, and travel in time."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from api import answers, queries
from api.dependencies import SecuredRoute, caller_of, reader_of, services_of
from api.idempotency import IDEMPOTENT, once
from api.openapi import problems
from api.schemas.common import Listing, Paging
from api.schemas.events import Event, EventCreate, EventQuery, Replayed, ReplayRequest
from store import history
from store.database import Transaction
from store.event_types import EventType
from store.history import EventFilter, NewClientEvent

router = APIRouter(prefix="/events", tags=["events"], route_class=SecuredRoute)

EntityType = Annotated[str, Path(min_length=1, max_length=40, pattern=r"^[a-z_]+$")]
EntityId = Annotated[str, Path(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]


@router.post(
    "",
    status_code=201,
    response_model=Event,
    summary="Report what happened at the client",
    openapi_extra=IDEMPOTENT,
)
async def create_event(request: Request, body: EventCreate) -> Response:
    """Record a session, a viewed hint, a test run or a note; changes of entities are recorded by the service."""

    async def work(tx: Transaction) -> Response:
        report = NewClientEvent(
            type=EventType(body.type),
            entity_id=body.entity_id,
            payload=body.payload,
            occurred_at=body.occurred_at,
            schema_version=body.schema_version,
        )
        event = await history.post(tx, report)
        return answers.json(event, 201, {"Location": f"/events/{event.id}"})

    return await once(request, caller_of(request), work)


@router.get("", response_model=Listing[Event], summary="List events", openapi_extra=queries.parameters(EventQuery))
async def list_events(request: Request) -> Response:
    """Your events that are still in PostgreSQL, newest first; history and replay reach further back."""
    query = queries.read(EventQuery, request)
    wanted = EventFilter(
        entity_type=query.entity_type,
        entity_id=query.entity_id,
        types=None if query.type is None else (query.type.value,),
        run_id=query.run_id,
        correlation_id=query.correlation_id,
        since=query.since,
        until=query.until,
    )
    found = await history.events_of(reader_of(request), wanted, query.skip, query.limit)
    return answers.page(request, found, query.skip, query.limit)


@router.post(
    "/replay",
    response_model=Replayed,
    summary="See an entity as it was",
    responses=problems(404),
)
async def replay(request: Request, body: ReplayRequest) -> Response:
    """Fold the events of an entity up to an instant; deleted entities can be seen as well."""
    services = services_of(request)
    async with services.database.transaction(caller_of(request)) as tx:
        replayed = await history.replay(
            tx,
            body.entity_type,
            body.entity_id,
            version=body.version,
            at=body.at,
            position=body.position,
            archive=services.events.lake,
        )
    return answers.json(replayed)


@router.get(
    "/entities/{entity_type}/{entity_id}/history",
    response_model=Listing[Event],
    summary="Read the history of an entity",
    openapi_extra=queries.parameters(Paging),
)
async def entity_history(request: Request, entity_type: EntityType, entity_id: EntityId) -> Response:
    """Everything that happened to an entity of yours, oldest first, also after it was deleted."""
    query = queries.read(Paging, request)
    services = services_of(request)
    async with services.database.transaction(caller_of(request)) as tx:
        found = await history.history(tx, entity_type, entity_id, query.skip, query.limit, archive=services.events.lake)
    return answers.page(request, found, query.skip, query.limit)


@router.get("/{event_id}", response_model=Event, summary="Read an event")
async def read_event(request: Request, event_id: UUID) -> Response:
    """One event of yours."""
    event = await history.get_event(reader_of(request), event_id)
    return answers.json(event, headers={"Cache-Control": "private, no-cache"})
