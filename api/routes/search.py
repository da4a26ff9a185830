"""The one search endpoint, for the page and the extension; the agents' tools ask the same module."""

import dataclasses
from contextlib import AbstractAsyncContextManager

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import queries
from api.answers import JSON
from api.dependencies import SecuredRoute, caller_of, services_of
from api.openapi import problems
from api.schemas.search import SearchAnswer, SearchQuery
from store.database import Transaction
from store.index import wait_for
from store.search import SearchRequest, retrieve
from store.search_types import OpenTransaction
from store.types import EntityType

router = APIRouter(prefix="/search", tags=["search"], route_class=SecuredRoute)


@router.get(
    "",
    response_model=SearchAnswer,
    summary="Search",
    responses=problems(403),
    openapi_extra=queries.parameters(SearchQuery),
)
async def search(request: Request) -> Response:
    """Find what is near a question among what you may see. Vectors are never part of an answer."""
    query = queries.read(SearchQuery, request)
    services, caller = services_of(request), caller_of(request)

    def opened() -> AbstractAsyncContextManager[Transaction]:
        return services.database.transaction(caller)

    waited = await _waited(opened, query.wait_for)
    asked = SearchRequest(
        query.q,
        scope=query.scope,
        entity_types=query.types,
        k=query.k,
        course_id=query.course_id,
        language=query.language,
        only_validated=query.only_validated,
        since=query.since,
        mode=query.mode,
        diversity=query.diversity,
    )
    found = await retrieve(opened, services.embedder, asked, explain=query.explain)
    answer = {**dataclasses.asdict(found), "waited": waited}
    return Response(orjson.dumps(answer), media_type=JSON, headers={"Cache-Control": "private, no-store"})


async def _waited(transaction: OpenTransaction, written: str | None) -> bool | None:
    match = SearchQuery.WRITTEN.fullmatch(written) if written else None
    if match is None:
        return None
    return await wait_for(transaction, EntityType(match[1]), match[2], int(match[3]))
