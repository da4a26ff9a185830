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


# OFFSET 0 keeps each part a look-up of one row by its key: left free, the planner reads all that everybody may see.
_FOUND: Final[LiteralString] = """
    SELECT k.place::integer, c.heading, c.content, c.line_start, c.line_end, c.language,
           l.title, l.validated, l.own, l.group
    FROM unnest(%(types)s::text[], %(ids)s::text[], %(chunks)s::integer[])
        WITH ORDINALITY AS k (type, id, chunk_no, place)
    CROSS JOIN LATERAL ("""
_CHUNK: Final[LiteralString] = """ OFFSET 0) AS l CROSS JOIN LATERAL (
        SELECT e.heading, e.content, e.line_start, e.line_end, e.language FROM embeddings AS e
        WHERE e.model = %(model)s AND e.entity_id = k.id AND e.chunk_no = k.chunk_no AND e.entity_type = """
_LIVE: Final[dict[EntityType, LiteralString]] = {
    EntityType.GOAL: "SELECT l.title, false AS validated, l.user_id = %(user)s AS own, k.id AS group"
    " FROM goals AS l WHERE l.id = k.id::uuid AND ",
    EntityType.TASK: "SELECT l.title, false AS validated, l.user_id = %(user)s AS own, k.id AS group"
    " FROM tasks AS l WHERE l.id = k.id::uuid AND ",
    EntityType.CODE_SNAPSHOT: "SELECT l.file_path AS title, l.validation_status = 'passed' AS validated,"
    " l.user_id = %(user)s AS own, l.task_id || '/' || l.file_path AS group FROM code_snapshots AS l"
    " WHERE l.id = k.id::uuid AND (l.validation_status = 'passed' OR NOT %(validated)s) AND ",
    EntityType.COURSE: "SELECT l.title, false AS validated, l.owner_id = %(user)s AS own, k.id AS group"
    " FROM courses AS l WHERE l.id = k.id AND ",
}
_OF_TYPE: Final[dict[EntityType, LiteralString]] = {
    EntityType.GOAL: "'goal' OFFSET 0) AS c WHERE k.type = 'goal'",
    EntityType.TASK: "'task' OFFSET 0) AS c WHERE k.type = 'task'",
    EntityType.CODE_SNAPSHOT: "'code_snapshot' OFFSET 0) AS c WHERE k.type = 'code_snapshot'",
    EntityType.COURSE: "'course' OFFSET 0) AS c WHERE k.type = 'course'",
}
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
    types = [kind for kind in request.entity_types if any(c.entity_type == kind.value for c in candidates)]
    if not types:
        return {}
    parameters = {
        "types": [candidate.entity_type for candidate in candidates],
        "ids": [candidate.entity_id for candidate in candidates],
        "chunks": [candidate.chunk_no for candidate in candidates],
        "model": window.model,
        "user": tx.principal.user_id,
        "keys": window.keys,
        "validated": request.only_validated,
    }
    query: LiteralString = " UNION ALL ".join([_statement(kind, request.scope) for kind in types])
    return {candidates[row.place - 1].key: row for row in await tx.fetch_all(query, parameters, row=Row)}


def _statement(entity_type: EntityType, scope: Scope) -> LiteralString:
    match entity_type:
        case EntityType.CODE_SNAPSHOT:
            seen = _CODE_SCOPE[scope]
        case EntityType.COURSE:
            seen = _COURSE_SCOPE[scope]
        case _:
            seen = _SCOPE[scope]
    return _FOUND + _LIVE[entity_type] + seen + _CHUNK + _OF_TYPE[entity_type]


def snippet(row: Row) -> str:
    """Return what may be shown of a chunk: more of one's own, less of others', and of theirs no addresses."""
    if row.own:
        return row.content[:OWN_SNIPPET]
    return _ADDRESS.sub("[address]", row.content[:FOREIGN_SNIPPET])
