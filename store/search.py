"""Finds what is near a question among the rows its caller may see: scopes, both kinds of candidates, one order.

retrieve    embeds the question, then runs `search` in a transaction of the caller
search      window (open courses, size of the scope, words) -> nearest + words -> rank -> live rows -> hits
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from store import search_audit
from store.database import Transaction
from store.errors import Forbidden
from store.search_rank import Candidate, Key, best_chunks, capped, diverse, is_spanish, lexical_weight, ranked, rarity
from store.search_route import Nearest, nearest
from store.search_rows import Row, live, snippet
from store.search_text import Worded, by_text
from store.search_types import (
    Hit,
    Mode,
    OpenTransaction,
    Provenance,
    QueryVector,
    Route,
    Scope,
    SearchRequest,
    SearchResult,
)
from store.search_window import ModelMoved, Window, open_window
from store.types import EntityType
from store.vectors import Embedder, EmbeddingFailed, Vector, from_wire

__all__ = ["Hit", "Mode", "Provenance", "Route", "Scope", "SearchRequest", "SearchResult", "retrieve", "search"]

_FIRST_CANDIDATES: Final = 60
_MOST_CANDIDATES: Final = 4000
_PERSONAL: Final = frozenset({EntityType.GOAL.value, EntityType.TASK.value})


async def retrieve(
    transaction: OpenTransaction, embedder: Embedder, request: SearchRequest, *, explain: bool = False
) -> SearchResult:
    """Answer one question. The question is embedded before the transaction opens.

    Raises `Forbidden` for a course the caller is not in. Without an embedder it still answers, from the words
    alone, and says so.
    """
    chosen: Embedder | None = embedder
    started = time.perf_counter()
    while True:  # once, or twice when the index has moved to another model; without a vector it cannot move
        query, note = await _embedded(chosen, request)
        try:
            async with transaction() as tx:
                try:
                    result = await search(tx, request, query, explain=explain)
                except Forbidden:
                    search_audit.tell(tx.principal, request, None, time.perf_counter() - started)
                    raise
        except ModelMoved as moved:
            chosen = embedder.of(moved.model) if chosen is embedder else None
            continue
        search_audit.tell(tx.principal, request, result, time.perf_counter() - started)
        return replace(result, provenance=replace(result.provenance, notes=(*note, *result.provenance.notes)))


async def _embedded(embedder: Embedder | None, request: SearchRequest) -> tuple[QueryVector | None, tuple[str, ...]]:
    if request.mode is Mode.LEXICAL:
        return None, ()
    if embedder is None:
        return None, ("The index is in a model this process has no access to; found by full text alone.",)
    try:
        (vector,) = await embedder.embed([request.query])
    except EmbeddingFailed as error:
        return None, (f"Found by full text alone: {error}",)
    return QueryVector(embedder.model, embedder.degraded, vector), ()


async def search(
    tx: Transaction, request: SearchRequest, query: QueryVector | None, *, explain: bool = False
) -> SearchResult:
    """Answer one question with a vector made beforehand, or by full text if there is none."""
    window = await open_window(tx, request, query)
    weight = lexical_weight(window.model, request.query)
    most = _first(request)
    while True:
        found = await _candidates(tx, request, window, query, most)
        every = ranked(found.candidates, found.weights, weight, dense=query is not None)
        order = _in_company(request, every, tx.principal.user_id)
        hits = await _accepted(tx, request, window, order, most)
        most *= 4
        # Stale rows, chunks of one entity and the cap on authors may leave too few: look further while there is more.
        if hits.enough or not found.more or most > 4 * _MOST_CANDIDATES:
            break
    chosen = hits.chosen
    provenance = Provenance(
        model=query.model if query else None,
        degraded=query.degraded if query else True,
        mode=request.mode if query else Mode.LEXICAL,
        route=found.route,
        scope_rows=window.rows,
        candidates=len(found.candidates),
        reranked=found.reranked,
        lexical_weight=weight,
        terms={word: round(idf, 2) for word, idf in zip(window.words, found.weights, strict=False)} if explain else {},
        short=len(chosen) < request.k,
        notes=_notes(request, query, withheld=len(order) < len(every)),
    )
    return SearchResult([_hit(request, window, c, hits.rows[c.key], explain=explain) for c in chosen], provenance)


@dataclass(frozen=True, slots=True)
class _Candidates:
    candidates: list[Candidate]
    weights: list[float]
    route: Route
    reranked: int
    more: bool


@dataclass(frozen=True, slots=True)
class _Accepted:
    chosen: list[Candidate]
    rows: dict[Key, Row]
    enough: bool


async def _candidates(
    tx: Transaction, request: SearchRequest, window: Window, query: QueryVector | None, most: int
) -> _Candidates:
    near = Nearest([], Route.NONE, 0)
    if query is not None:
        near = await nearest(tx, request, window, query, most)
    worded: list[Worded] = []
    if request.mode is not Mode.DENSE and window.terms and window.rows:
        worded = await by_text(tx, request, window, query, most)
    weights = rarity(worded[0].documents, window.rows) if worded else [0.0] * len(window.terms)
    found = {candidate.key: candidate for candidate in near.candidates}
    for row in worded:
        candidate = Candidate(row.entity_type, row.entity_id, row.chunk_no, row.user_id, row.distance, row.matched)
        found.setdefault(candidate.key, candidate)
    more = len(near.candidates) >= most or len(worded) >= most
    return _Candidates(list(found.values()), weights, near.route, near.reranked, more)


async def _accepted(
    tx: Transaction, request: SearchRequest, window: Window, order: list[Candidate], most: int
) -> _Accepted:
    """Walk down the order until enough candidates have stood the test of the live rows."""
    pool = order if request.chunks else best_chunks(order)
    pool = pool[:most]
    if request.diversity:
        pool = pool[: max(_FIRST_CANDIDATES, 4 * request.k)]
        pool = diverse(pool, await _vectors(tx, window.model, pool), request.diversity)
    rows: dict[Key, Row] = {}
    standing: list[Candidate] = []
    together = request.k + max(4, request.k // 4)  # a few may have gone since they were indexed
    for start in range(0, len(pool), together):
        step = pool[start : start + together]
        rows |= await live(tx, request, window, step)
        standing += _first_of_group(step, rows, standing, chunks=request.chunks)
        chosen = capped(standing, request.k, request.most_of_one_author, _author)
        if len(chosen) == request.k and _within_cap(chosen, request.most_of_one_author):
            return _Accepted(chosen, rows, enough=True)
    chosen = capped(standing, request.k, request.most_of_one_author, _author)
    # One wider look is enough to meet more authors; a scope of two authors has no third to find.
    return _Accepted(chosen, rows, enough=len(chosen) == request.k and most > _first(request))


def _in_company(request: SearchRequest, order: list[Candidate], me: str) -> list[Candidate]:
    """Leave out goals and tasks of others where so few people have any that one could tell whose they are.

    Only in courses, where learners share with learners; what is global was made so by staff.
    """
    if request.scope is not Scope.COURSE:
        return order
    authors = {candidate.user_id for candidate in order if candidate.entity_type in _PERSONAL}
    if len(authors) >= request.smallest_group:
        return order
    return [c for c in order if c.entity_type not in _PERSONAL or c.user_id == me]


def _first_of_group(
    step: Sequence[Candidate], rows: dict[Key, Row], standing: Sequence[Candidate], *, chunks: bool
) -> list[Candidate]:
    """Drop what is not live, and older or worse versions of a file that is among the hits already."""
    seen: set[str] = set() if chunks else {rows[candidate.key].group for candidate in standing}
    kept: list[Candidate] = []
    for candidate in step:
        row = rows.get(candidate.key)
        if row is None or row.group in seen:
            continue
        kept.append(candidate)
        if not chunks:
            seen.add(row.group)
    return kept


def _first(request: SearchRequest) -> int:
    """Return how many candidates of each kind to begin with: nearness alone needs no long list to be reordered."""
    plain = request.mode is Mode.DENSE and not request.diversity
    return 2 * request.k + 5 if plain else max(_FIRST_CANDIDATES, 4 * request.k)


def _author(candidate: Candidate) -> str | None:
    # A course's documentation is one author's by nature.
    return None if candidate.entity_type == EntityType.COURSE else candidate.user_id


def _within_cap(chosen: Sequence[Candidate], most: int | None) -> bool:
    authors = [name for candidate in chosen if (name := _author(candidate)) is not None]
    return most is None or all(authors.count(name) <= most for name in set(authors))


@dataclass(frozen=True, slots=True)
class _SentVector:
    entity_type: str
    entity_id: str
    chunk_no: int
    vector: bytes


async def _vectors(tx: Transaction, model: str, pool: Sequence[Candidate]) -> dict[Key, Vector]:
    sent = await tx.fetch_all(
        """
        SELECT e.entity_type, e.entity_id, e.chunk_no, vector_send(e.embedding) AS vector
        FROM unnest(%(types)s::text[], %(ids)s::text[], %(chunks)s::integer[]) AS k (entity_type, entity_id, chunk_no)
        JOIN embeddings AS e USING (entity_type, entity_id, chunk_no) WHERE e.model = %(model)s
        """,
        {
            "types": [candidate.entity_type for candidate in pool],
            "ids": [candidate.entity_id for candidate in pool],
            "chunks": [candidate.chunk_no for candidate in pool],
            "model": model,
        },
        row=_SentVector,
    )
    return {(row.entity_type, row.entity_id, row.chunk_no): from_wire(row.vector) for row in sent}


def _hit(request: SearchRequest, window: Window, candidate: Candidate, row: Row, *, explain: bool) -> Hit:
    # Two decimals of what is other people's: exact similarities let one guess at the vector, and so at the text.
    digits = 4 if row.own else 2
    return Hit(
        entity_type=EntityType(candidate.entity_type),
        entity_id=candidate.entity_id,
        title=row.title,
        heading=row.heading,
        snippet=snippet(row),
        score=round(candidate.score, digits),
        scope=request.scope,
        own=row.own,
        chunk_no=candidate.chunk_no,
        line_start=row.line_start,
        line_end=row.line_end,
        language=row.language,
        validated=row.validated,
        cosine=round(candidate.cosine, digits) if explain and candidate.cosine is not None else None,
        coverage=round(candidate.coverage, digits) if explain else None,
        matched=tuple(window.words[place - 1] for place in candidate.matched) if explain else (),
    )


def _notes(request: SearchRequest, query: QueryVector | None, *, withheld: bool) -> tuple[str, ...]:
    notes: list[str] = []
    if query is not None and query.model == "all-minilm-l6-v2" and is_spanish(request.query):
        notes.append("The offline model knows English only: this question was answered mostly by its words.")
    if withheld:
        notes.append(
            f"Goals and tasks of others are shown once at least {request.smallest_group} people share some that match."
        )
    return tuple(notes)
