"""Finds chunks that share words with the question, whichever language the words are in."""

from dataclasses import dataclass
from typing import Final, LiteralString

from store.database import Transaction
from store.search_types import QueryVector, Scope, SearchRequest
from store.search_window import Window
from store.vectors import VectorParameter, register_parameters


@dataclass(frozen=True, slots=True)
class Worded:
    """A chunk with the words it has, and how many chunks of the scope have each word."""

    entity_type: str
    entity_id: str
    chunk_no: int
    user_id: str
    distance: float | None
    matched: list[int]
    documents: list[int]


_TEXT_ARGUMENTS: Final[LiteralString] = """(
    %(model)s, %(types)s, %(courses)s::text[], %(terms)s::text[], %(vector)s::vector, %(rows)s::bigint,
    %(language)s::text, %(validated)s, %(since)s::timestamptz, %(most)s::integer)"""
_BY_TEXT: Final[dict[Scope, LiteralString]] = {
    Scope.USER: "SELECT * FROM search_text_user" + _TEXT_ARGUMENTS,
    Scope.COURSE: "SELECT * FROM search_text_course" + _TEXT_ARGUMENTS,
    Scope.GLOBAL: "SELECT * FROM search_text_global" + _TEXT_ARGUMENTS,
}


async def by_text(
    tx: Transaction, request: SearchRequest, window: Window, query: QueryVector | None, most: int
) -> list[Worded]:
    """Return up to `most` chunks that share words with the question, those with the rarest words first.

    The functions behind it take the scope from the caller's own settings; see the migration that makes them.
    """
    register_parameters(tx.connection)
    narrowed = [request.course_id] if request.course_id else None
    parameters = {
        "model": window.model,
        "types": [entity_type.value for entity_type in request.entity_types],
        "courses": window.keys if request.scope is Scope.COURSE else narrowed,
        "terms": window.terms,
        "vector": VectorParameter(query.vector) if query else None,
        "rows": window.rows,
        "language": request.language,
        "validated": request.only_validated,
        "since": request.since,
        "most": most,
    }
    return await tx.fetch_all(_BY_TEXT[request.scope], parameters, row=Worded)
