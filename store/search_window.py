"""The part of the index a question is about: open courses, the size of the scope, the model, the question's words."""

from dataclasses import dataclass
from typing import Final

from store.database import Transaction
from store.errors import Forbidden
from store.search_types import Mode, QueryVector, Scope, SearchRequest

MOST_WORDS: Final = 16


class ModelMoved(Exception):
    """The index is in another model than the question was embedded with."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the index a question is about."""

    model: str
    keys: list[str]
    """The open courses asked about; meaningful in scope `course` only."""
    rows: int
    words: list[str]
    terms: list[str]


@dataclass(frozen=True, slots=True)
class _Row:
    model: str | None
    keys: list[str]
    rows: int
    words: list[str]
    terms: list[str]
    settings: str


async def open_window(tx: Transaction, request: SearchRequest, query: QueryVector | None) -> Window:
    """Look up everything a search needs to know beforehand, in one statement.

    Raises `Forbidden` for a course that is not open to the caller, `ModelMoved` when the question needs another vector.
    The rest of the transaction knows the caller's courses, which policies look up six to ten times. It uses generic
    plans: the statements of a search leave one good plan each, and making it anew takes 0.4 to 2.5 ms, which is as long
    as most of them run.
    """
    row = await tx.fetch_one(
        """
        WITH asked AS MATERIALIZED (
            SELECT CASE %(scope)s
                WHEN 'course' THEN ARRAY(
                    SELECT key FROM unnest(open_courses()) AS key WHERE key = coalesce(%(course)s::text, key))
                WHEN 'user' THEN ARRAY[%(user)s::text] ELSE ARRAY[''] END AS keys,
                (SELECT model FROM index_models WHERE state = 'current') AS model
        ), words AS MATERIALIZED (
            SELECT word, term FROM search_terms(%(question)s::text, %(most)s)
        )
        SELECT model, keys, (
                SELECT coalesce(sum(c.rows), 0)::bigint FROM embedding_counts AS c
                WHERE c.model = coalesce(asked.model, %(model)s) AND c.entity_type = ANY (%(types)s)
                    AND c.scope = %(scope)s AND c.key = ANY (asked.keys)
            ) AS rows, ARRAY(SELECT word FROM words) AS words, ARRAY(SELECT term FROM words) AS terms,
            set_config('plan_cache_mode', 'force_generic_plan', true)
                || set_config('app.my_courses', my_courses()::text, true) AS settings
        FROM asked
        """,
        {
            "scope": request.scope.value,
            "course": request.course_id,
            "user": tx.principal.user_id,
            "question": None if request.mode is Mode.DENSE else request.query,
            "most": MOST_WORDS,
            "model": query.model if query else "",
            "types": [entity_type.value for entity_type in request.entity_types],
        },
        row=_Row,
    )
    assert row is not None  # a select without conditions always has its row
    if row.model and query and row.model != query.model:
        raise ModelMoved(row.model)
    if request.scope is Scope.COURSE and not row.keys:
        raise Forbidden(_not_in_course(request.course_id))
    return Window(row.model or (query.model if query else ""), row.keys, row.rows, row.words, row.terms)


def _not_in_course(course_id: str | None) -> str:
    which = "any course" if course_id is None else f"the course {course_id!r}, or it is not published"
    return f"You are not in {which}. Search your own rows (scope user) or what everybody shares (scope global)."
