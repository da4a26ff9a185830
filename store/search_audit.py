"""Tells the log who searched what, where and when; neither the words of the question nor a word of what was found."""

import hashlib
import logging
from typing import Final

from typing_extensions import TypedDict

from store.principal import Principal
from store.search_types import SearchRequest, SearchResult

LOGGER: Final = "store.search_audit"
_log = logging.getLogger(LOGGER)


class Searched(TypedDict):
    """One search, as the log has it under `search`."""

    user_id: str
    role: str
    scope: str
    course_id: str | None
    entity_types: list[str]
    k: int
    question: str
    """The first half of the SHA-256 of the question: who knows a question can look for it, nobody can read one."""
    outcome: str
    """`found`, `nothing`, or `refused` for a course the caller is not in."""
    hits: list[str]
    """What was shown, as `type:id#chunk`."""
    route: str | None
    model: str | None
    seconds: float


def tell(who: Principal, request: SearchRequest, result: SearchResult | None, seconds: float) -> None:
    """Write the line of one search; no result means that it was refused."""
    hits = [f"{hit.entity_type}:{hit.entity_id}#{hit.chunk_no}" for hit in result.hits] if result else []
    searched = Searched(
        user_id=who.user_id,
        role=who.role,
        scope=request.scope,
        course_id=request.course_id,
        entity_types=[*request.entity_types],
        k=request.k,
        question=hashlib.sha256(request.query.encode()).hexdigest()[:32],
        outcome="refused" if result is None else "found" if hits else "nothing",
        hits=hits,
        route=result.provenance.route if result else None,
        model=result.provenance.model if result else None,
        seconds=round(seconds, 6),
    )
    _log.info("search", extra={"search": searched})
