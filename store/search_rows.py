"""Checks candidates against the live rows, which have the last word on what exists and who may see it."""

import re
from dataclasses import dataclass
from typing import Final, LiteralString

from store.database import Transaction
from store.search_rank import Candidate, Key
from store.search_route import Window
from store.search_types import Scope, SearchRequest
from store.types import EntityType

OWN_SNIPPET: Final = 1200
FOREIGN_SNIPPET: Final = 400
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk together with what its entity is like now."""

    place: int
    title: str
    heading: str
    content: str
    line_start: int | None
    line_end: int | None
    language: str | None
    validated: bool
    own: bool
    group: str
    """Versions of one file share it."""


_CHUNKS: Final[LiteralString] = """
    FROM unnest(%(ids)s::text[], %(chunks)s::integer[]) WITH ORDINALITY AS k (id, chunk_no, place)
    JOIN embeddings AS e ON e.entity_type = %(type)s AND e.model = %(model)s
        AND e.entity_id = k.id AND e.chunk_no = k.chunk_no
"""
_SELECT: Final[LiteralString] = """
    SELECT k.place::integer, e.heading, e.content, e.line_start, e.line_end, e.language, """
_LIVE: Final[dict[EntityType, LiteralString]] = {
    EntityType.GOAL: _SELECT + "l.title, false AS validated, l.user_id = %(user)s AS own, k.id AS group"
    + _CHUNKS + "JOIN goals AS l ON l.id = k.id::uuid WHERE ",
    EntityType.TASK: _SELECT + "l.title, false AS validated, l.user_id = %(user)s AS own, k.id AS group"
    + _CHUNKS + "JOIN tasks AS l ON l.id = k.id::uuid WHERE ",
    EntityType.CODE_SNAPSHOT: _SELECT + "l.file_path AS title, l.validation_status = 'passed' AS validated,"
    " l.user_id = %(user)s AS own, l.task_id || '/' || l.file_path AS group"
    + _CHUNKS + "JOIN code_snapshots AS l ON l.id = k.id::uuid"
    " WHERE (l.validation_status = 'passed' OR NOT %(validated)s) AND ",
    EntityType.COURSE: _SELECT + "l.title, false AS validated, l.owner_id = %(user)s AS own, k.id AS group"
    + _CHUNKS + "JOIN courses AS l ON l.id = k.id WHERE ",
}  # fmt: skip
_SCOPE: Final[dict[Scope, LiteralString]] = {
    Scope.USER: "l.user_id = %(user)s",
    Scope.COURSE: "l.course_id = ANY (%(keys)s) AND l.visibility <> 'private'",
    Scope.GLOBAL: "l.visibility = 'global'",
}
_CODE_SCOPE: Final[dict[Scope, LiteralString]] = {
    Scope.USER: "l.user_id = %(user)s",
    Scope.COURSE: _SCOPE[Scope.COURSE] + " AND l.validation_status = 'passed'",
    Scope.GLOBAL: _SCOPE[Scope.GLOBAL] + " AND l.validation_status = 'passed'",
}
_COURSE_SCOPE: Final[dict[Scope, LiteralString]] = {
    Scope.USER: "l.owner_id = %(user)s",
    Scope.COURSE: "l.id = ANY (%(keys)s) AND (l.status <> 'draft' OR l.owner_id = %(user)s)",
    Scope.GLOBAL: "l.status = 'published' AND l.visibility = 'global'",
}


async def live(tx: Transaction, request: SearchRequest, window: Window, candidates: list[Candidate]) -> dict[Key, Row]:
    """Return the chunks that exist and are the caller's to see in this scope at this moment."""
    rows: dict[Key, Row] = {}
    for entity_type in request.entity_types:
        of_type = [candidate for candidate in candidates if candidate.entity_type == entity_type.value]
        if not of_type:
            continue
        parameters = {
            "ids": [candidate.entity_id for candidate in of_type],
            "chunks": [candidate.chunk_no for candidate in of_type],
            "type": entity_type.value,
            "model": window.model,
            "user": tx.principal.user_id,
            "keys": window.keys,
            "validated": request.only_validated,
        }
        found = await tx.fetch_all(_statement(entity_type, request.scope), parameters, row=Row)
        rows |= {of_type[row.place - 1].key: row for row in found}
    return rows


def _statement(entity_type: EntityType, scope: Scope) -> LiteralString:
    match entity_type:
        case EntityType.CODE_SNAPSHOT:
            return _LIVE[entity_type] + _CODE_SCOPE[scope]
        case EntityType.COURSE:
            return _LIVE[entity_type] + _COURSE_SCOPE[scope]
        case _:
            return _LIVE[entity_type] + _SCOPE[scope]


def snippet(row: Row) -> str:
    """Return what may be shown of a chunk: more of one's own, less of others', and of theirs no addresses."""
    if row.own:
        return row.content[:OWN_SNIPPET]
    return _ADDRESS.sub("[address]", row.content[:FOREIGN_SNIPPET])
