"""Finds the nearest chunks of a scope, by the route its size calls for.

The planner is never left to choose between the graph and the scope's own rows: with the same data and the same question
its choice gave a recall between .23 and 1.00 (facts of the layout: docs/retrieval.md).
"""

from dataclasses import dataclass
from typing import Final, LiteralString

from store.database import Transaction
from store.search_rank import Candidate
from store.search_types import Mode, QueryVector, Route, Scope, SearchRequest
from store.search_window import Window
from store.vectors import BitsParameter, VectorParameter, register_parameters


@dataclass(frozen=True, slots=True)
class Limits:
    """When the signs take over from the vectors, and how many rows are compared exactly after them."""

    exact: int
    """Up to so many rows every vector is read."""
    own: int
    shared: int
    """So many rows are compared exactly after their signs; more where a question may be about what nobody wrote of."""
    share: float
    """And at least this share of the scope."""


# From bench/retrieval.py: own scopes reach a recall of .998 with 200, courses .961 with 200, .985 with 400, .993 with
# 500. Signs of a padded or sparse vector say less about it, so there more rows are compared exactly.
_LIMITS: Final = {
    "text-embedding-3-small": Limits(300, 300, 800, 0.04),
    "all-minilm-l6-v2": Limits(1000, 600, 1000, 0.08),
    "hash-v1": Limits(4000, 2000, 4000, 0.2),
}
_LIMITS_UNKNOWN: Final = Limits(300, 400, 800, 0.05)
_ANN_FROM: Final = 2000
_BITS_UP_TO: Final = 60_000
_EF_SEARCH: Final = 200
_EF_SEARCH_FILTERED: Final = 400


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest candidates, and how they were found."""

    candidates: list[Candidate]
    route: Route
    reranked: int


_FILTERS: Final[LiteralString] = """
    e.model = %(model)s AND e.entity_type = ANY (%(types)s)
    AND (%(language)s::text IS NULL OR e.language = %(language)s)
    AND (NOT %(validated)s OR e.validated)
    AND (%(since)s::timestamptz IS NULL OR e.changed_at >= %(since)s)
    AND """
_IN_SCOPE: Final[dict[Scope, LiteralString]] = {
    Scope.USER: "e.user_id = %(user)s AND (%(course)s::text IS NULL OR e.course_id = %(course)s)",
    Scope.COURSE: "e.course_id = ANY (%(keys)s) AND e.visibility <> 'private'",
    Scope.GLOBAL: "e.visibility = 'global' AND (%(course)s::text IS NULL OR e.course_id = %(course)s)",
}
_MATCHED: Final[LiteralString] = """
    SELECT n.entity_type, n.entity_id, n.chunk_no, n.user_id, n.distance, ARRAY(
        SELECT place::integer FROM unnest(%(terms)s::text[]) WITH ORDINALITY AS t (term, place)
        WHERE n.words @@ term::tsquery ORDER BY place
    ) AS matched
    FROM ("""
_COLUMNS: Final[LiteralString] = "SELECT e.entity_type, e.entity_id, e.chunk_no, e.user_id, e.words, "


def choose(request: SearchRequest, model: str, rows: int) -> Route:
    """Return the route for a scope of so many rows."""
    limits = _LIMITS.get(model, _LIMITS_UNKNOWN)
    if request.scope is Scope.GLOBAL and rows > max(_ANN_FROM, limits.exact):
        return Route.BITS if request.filtered and rows <= _BITS_UP_TO else Route.ANN
    return Route.EXACT if rows <= limits.exact else Route.BITS


async def nearest(tx: Transaction, request: SearchRequest, window: Window, query: QueryVector, most: int) -> Nearest:
    """Return up to `most` chunks of the scope, nearest first."""
    register_parameters(tx.connection)
    route = choose(request, query.model, window.rows)
    parameters: dict[str, object] = {
        "model": query.model,
        "types": [entity_type.value for entity_type in request.entity_types],
        "language": request.language,
        "validated": request.only_validated,
        "since": request.since,
        "user": tx.principal.user_id,
        "course": request.course_id,
        "keys": window.keys,
        "terms": window.terms if request.mode is Mode.HYBRID else [],
        "vector": VectorParameter(query.vector),
        "most": most,
    }
    if route is Route.ANN:
        found = await _graph(tx, request, parameters)
        if len(found) >= most:
            return Nearest(found, route, 0)
        route = Route.BITS  # the graph gave up before finding enough: the scope itself has the truth
    if route is Route.BITS:
        limits = _LIMITS.get(query.model, _LIMITS_UNKNOWN)
        least = limits.shared if request.shared else limits.own
        reranked = max(least, int(window.rows * limits.share), 2 * most)
        parameters |= {"bits": BitsParameter(query.vector), "reranked": reranked}
        return Nearest(await _by_signs(tx, request.scope, parameters), route, reranked)
    return Nearest(await _every_row(tx, request.scope, parameters), route, window.rows)


async def _every_row(tx: Transaction, scope: Scope, parameters: dict[str, object]) -> list[Candidate]:
    # "+ 0" keeps the graph out of the plan.
    query: LiteralString = (
        _MATCHED + _COLUMNS + "(e.embedding <=> %(vector)s::vector) + 0 AS distance FROM embeddings AS e WHERE "
        + _FILTERS + _IN_SCOPE[scope] + " ORDER BY distance LIMIT %(most)s) AS n ORDER BY distance"
    )  # fmt: skip
    return await tx.fetch_all(query, parameters, row=Candidate)


async def _by_signs(tx: Transaction, scope: Scope, parameters: dict[str, object]) -> list[Candidate]:
    query: LiteralString = (
        _MATCHED
        + "SELECT b.*, (b.embedding <=> %(vector)s::vector) + 0 AS distance FROM ("
        + _COLUMNS + "e.embedding FROM embeddings AS e WHERE " + _FILTERS + _IN_SCOPE[scope]
        + " ORDER BY (e.bits <~> %(bits)s::bit(1536)) + 0 LIMIT %(reranked)s) AS b"
        + " ORDER BY distance LIMIT %(most)s) AS n ORDER BY distance"
    )  # fmt: skip
    return await tx.fetch_all(query, parameters, row=Candidate)


async def _graph(tx: Transaction, request: SearchRequest, parameters: dict[str, object]) -> list[Candidate]:
    query: LiteralString = (
        _MATCHED + _COLUMNS + "e.embedding <=> %(vector)s::vector AS distance FROM embeddings AS e"
        " WHERE e.entity_type = %(type)s AND " + _FILTERS + _IN_SCOPE[Scope.GLOBAL]
        + " ORDER BY e.embedding <=> %(vector)s::vector LIMIT %(most)s) AS n ORDER BY distance"
    )  # fmt: skip
    await tx.execute(
        """
        SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', %s, true),
               set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true)
        """,
        [str(_EF_SEARCH_FILTERED if request.filtered else _EF_SEARCH)],
    )
    found: list[Candidate] = []
    for entity_type in request.entity_types:  # each type has a graph of its own
        found += await tx.fetch_all(query, parameters | {"type": entity_type.value}, row=Candidate)
    await tx.execute("SELECT set_config('enable_sort', 'on', true), set_config('enable_seqscan', 'on', true)")
    return sorted(found, key=lambda candidate: candidate.distance or 0.0)[: int(str(parameters["most"]))]
