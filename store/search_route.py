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
from store.vectors import DIMENSIONS, BitsParameter, VectorParameter, register_parameters


@dataclass(frozen=True, slots=True)
class Limits:
    """When the signs take over from the vectors, and how many rows are compared exactly after them."""

    exact: int
    """Up to so many rows every vector is read."""
    first: int
    """So many rows, those with the most signs in common, are always compared exactly."""
    most: int
    """No more rows than that are, unless the scope is large:"""
    share: float
    """at most this share of the scope then."""
    numbers: int = DIMENSIONS
    """Numbers that are not padding."""
    doubt: int = DIMENSIONS
    """How many more signs may differ than the angle of the k-th best row says, for a row to be compared as well."""


# From bench/retrieval.py. Signs tell the angle up to a spread of sqrt(numbers)/2; twice that is doubt enough. In
# courses the first 100 rows and on average 300 more give a recall of 1.000, where a fixed 800 gave .995 and a fixed 400
# .982. Most questions need the first alone; those about what nobody wrote of, where all rows are equally far, do not.
# Signs of hashes say too little about their angles to stop early.
_LIMITS: Final = {
    "text-embedding-3-small": Limits(150, 100, 1600, 0.08, doubt=40),
    "all-minilm-l6-v2": Limits(1000, 400, 2000, 0.16, numbers=384, doubt=24),
    "hash-v1": Limits(4000, 4000, 4000, 0.2),
}
_LIMITS_UNKNOWN: Final = Limits(400, 400, 1600, 0.08)
_ANN_FROM: Final = 2000
_BITS_UP_TO: Final = 60_000
# SET rather than set_config(): it is neither planned nor prepared, and several travel together.
_GRAPH: Final[LiteralString] = """
    SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = 200;
    SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off
"""
_GRAPH_FILTERED: Final[LiteralString] = _GRAPH + "; SET LOCAL hnsw.ef_search = 400"


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest candidates, and how they were found."""

    candidates: list[Candidate]
    route: Route
    reranked: int


@dataclass(slots=True)
class _Compared(Candidate):
    compared: int = 0


_IN_SCOPE: Final[dict[Scope, LiteralString]] = {
    Scope.USER: "e.user_id = %(user)s",
    Scope.COURSE: "e.course_id = ANY (%(keys)s) AND e.visibility <> 'private'",
    Scope.GLOBAL: "e.visibility = 'global'",
}
_MATCHED: Final[LiteralString] = """
    SELECT n.entity_type, n.entity_id, n.chunk_no, n.user_id, n.distance, ARRAY(
        SELECT place::integer FROM unnest(%(terms)s::text[]) WITH ORDINALITY AS t (term, place)
        WHERE n.words @@ term::tsquery ORDER BY place
    ) AS matched
    FROM ("""
_COLUMNS: Final[LiteralString] = "SELECT e.entity_type, e.entity_id, e.chunk_no, e.user_id, e.words, "


def _asked(request: SearchRequest) -> LiteralString:
    """Return the condition for a row; only what was asked for is in it, so that one plan fits every question."""
    asked: LiteralString = "e.model = %(model)s AND e.entity_type = ANY (%(types)s) AND " + _IN_SCOPE[request.scope]
    if request.course_id is not None and request.scope is not Scope.COURSE:
        asked += " AND e.course_id = %(course)s"
    if request.language is not None:
        asked += " AND e.language = %(language)s"
    if request.only_validated:
        asked += " AND e.validated"
    if request.since is not None:
        asked += " AND e.changed_at >= %(since)s"
    return asked


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
        "since": request.since,
        "user": tx.principal.user_id,
        "course": request.course_id,
        "keys": window.keys,
        "terms": window.terms if request.mode is Mode.HYBRID else [],
        "vector": VectorParameter(query.vector),
        "bits": BitsParameter(query.vector),
        "most": most,
    }
    if route is Route.ANN:
        found = await _graph(tx, request, parameters)
        if len(found) >= most:
            return Nearest(found, route, 0)
        route = Route.BITS  # the graph gave up before finding enough: the scope itself has the truth
    if route is Route.BITS:
        limits = _LIMITS.get(query.model, _LIMITS_UNKNOWN)
        parameters |= {
            "best": min(most, request.k + request.k // 2),  # several may be chunks of one entity
            "first": max(limits.first, most),
            "later": max(limits.most, int(window.rows * limits.share), 2 * most),
            "numbers": limits.numbers,
            "doubt": limits.doubt,
        }
        found = await _by_signs(tx, request, parameters)
        return Nearest([*found], route, found[0].compared if found else 0)
    return Nearest(await _every_row(tx, request, parameters), route, window.rows)


async def _every_row(tx: Transaction, request: SearchRequest, parameters: dict[str, object]) -> list[Candidate]:
    # "+ 0" keeps the graph out of the plan.
    query: LiteralString = (
        _MATCHED + _COLUMNS + "(e.embedding <=> %(vector)s::vector) + 0 AS distance FROM embeddings AS e WHERE "
        + _asked(request) + " ORDER BY distance LIMIT %(most)s) AS n ORDER BY distance"
    )  # fmt: skip
    return await tx.fetch_all(query, parameters, row=Candidate)


# Stage one reads the scope from an index that has all it needs, the signs among it. Stage two compares exactly the rows
# with most signs in common, stage three those that may still be nearer than the best of them. "+ 0" and OFFSET 0 leave
# no other plan.
_EXACTLY: Final[LiteralString] = """ AS s CROSS JOIN LATERAL (
        SELECT e.entity_type, e.entity_id, e.chunk_no, e.user_id, e.words,
            (e.embedding <=> %(vector)s::vector) + 0 AS distance
        FROM embeddings AS e
        WHERE e.row_id = s.row_id AND e.entity_type = s.entity_type AND e.model = %(model)s OFFSET 0
    ) AS e)"""
_SIGNS: Final[LiteralString] = """
    WITH signs AS MATERIALIZED (
        SELECT e.entity_type, e.row_id, (e.bits <~> %(bits)s::bit(1536)) + 0 AS apart FROM embeddings AS e WHERE """
_STAGES: Final[LiteralString] = (
    """
    ), least AS MATERIALIZED (
        SELECT max(apart) AS apart FROM (SELECT apart FROM signs ORDER BY apart LIMIT %(first)s) AS s
    ), first AS MATERIALIZED (SELECT e.* FROM (
            SELECT * FROM signs WHERE apart <= (SELECT apart FROM least) LIMIT %(later)s)"""
    + _EXACTLY
    + """, border AS MATERIALIZED (
        SELECT %(numbers)s * acos(greatest(-1, least(1, 1 - max(distance)))) / pi() + %(doubt)s AS apart
        FROM (SELECT distance FROM first ORDER BY distance LIMIT %(best)s) AS best
    ), later AS MATERIALIZED (SELECT e.* FROM (
            SELECT * FROM signs WHERE apart > (SELECT apart FROM least) AND apart <= (SELECT apart FROM border)
            ORDER BY apart LIMIT %(later)s)"""
    + _EXACTLY
    + _MATCHED.replace("n.distance,", "n.distance, n.compared::integer,")
    + """SELECT *, (SELECT count(*) FROM first) + (SELECT count(*) FROM later) AS compared
        FROM (SELECT * FROM first UNION ALL SELECT * FROM later) AS f ORDER BY distance LIMIT %(most)s
    ) AS n ORDER BY distance"""
)


async def _by_signs(tx: Transaction, request: SearchRequest, parameters: dict[str, object]) -> list[_Compared]:
    query: LiteralString = _SIGNS + _asked(request) + _STAGES
    return await tx.fetch_all(query, parameters, row=_Compared)


async def _graph(tx: Transaction, request: SearchRequest, parameters: dict[str, object]) -> list[Candidate]:
    query: LiteralString = (
        _MATCHED + _COLUMNS + "e.embedding <=> %(vector)s::vector AS distance FROM embeddings AS e"
        " WHERE e.entity_type = %(type)s AND " + _asked(request)
        + " ORDER BY e.embedding <=> %(vector)s::vector LIMIT %(most)s) AS n ORDER BY distance"
    )  # fmt: skip
    await tx.execute(_GRAPH_FILTERED if request.filtered else _GRAPH)
    found: list[Candidate] = []
    for entity_type in request.entity_types:  # each type has a graph of its own
        found += await tx.fetch_all(query, parameters | {"type": entity_type.value}, row=Candidate)
    await tx.execute("SET LOCAL enable_sort = on; SET LOCAL enable_seqscan = on")
    return sorted(found, key=lambda candidate: candidate.distance or 0.0)[: int(str(parameters["most"]))]
