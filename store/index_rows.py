"""Writes chunks and vectors: the changed ones, in as few statements as there are kinds of change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from store.database import Transaction
from store.index_documents import EntityKey, Indexable, Piece
from store.types import Visibility
from store.vectors import Vector, VectorsParameter, from_wire, register_parameters, vector_oid


@dataclass(frozen=True, slots=True)
class Stored:
    """What the index holds of one chunk, without its vector."""

    entity_type: str
    entity_id: str
    chunk_no: int
    content_hash: bytes
    user_id: str
    course_id: str | None
    visibility: Visibility
    validated: bool
    language: str | None
    line_start: int | None
    line_end: int | None


@dataclass(frozen=True, slots=True)
class _SentVector:
    content_hash: bytes
    vector: bytes


StoredChunks = dict[tuple[str, str], dict[int, Stored]]


async def stored(tx: Transaction, model: str, keys: Sequence[EntityKey]) -> StoredChunks:
    """Return what the index holds of these entities."""
    rows = await tx.fetch_all(
        """
        SELECT e.entity_type, e.entity_id, e.chunk_no, e.content_hash, e.user_id, e.course_id, e.visibility,
               e.validated, e.language, e.line_start, e.line_end
        FROM unnest(%(types)s::text[], %(ids)s::text[]) AS k (entity_type, entity_id)
        JOIN embeddings AS e USING (entity_type, entity_id) WHERE e.model = %(model)s
        """,
        {"types": [key[0].value for key in keys], "ids": [key[1] for key in keys], "model": model},
        row=Stored,
    )
    found: StoredChunks = {}
    for row in rows:
        found.setdefault((row.entity_type, row.entity_id), {})[row.chunk_no] = row
    return found


async def known_vectors(tx: Transaction, model: str, hashes: Iterable[bytes]) -> dict[bytes, Vector]:
    """Return vectors of equal texts, whoever wrote them: they need not be asked for again."""
    rows = await tx.fetch_all(
        """
        SELECT DISTINCT ON (content_hash) content_hash, vector_send(embedding) AS vector
        FROM embeddings WHERE model = %s AND content_hash = ANY (%s)
        """,
        [model, list(hashes)],
        row=_SentVector,
    )
    return {row.content_hash: from_wire(row.vector) for row in rows}


async def write(
    tx: Transaction, model: str, changed: Sequence[Indexable], before: StoredChunks, vectors: Mapping[bytes, Vector]
) -> None:
    """Bring the chunks of these entities up to date as far as their vectors are at hand."""
    fresh: list[tuple[Indexable, int, Piece]] = []
    moved: list[tuple[Indexable, int, Piece]] = []
    for item in changed:
        old = before.get(item.document.key, {})
        for number, piece in enumerate(item.pieces):
            kept = old.get(number)
            if kept is None or kept.content_hash != piece.content_hash:
                if piece.content_hash in vectors:
                    fresh.append((item, number, piece))
            elif not _same_place(item, piece, kept):
                moved.append((item, number, piece))
    await _upsert(tx, model, fresh, vectors)
    await _move(tx, model, moved)
    await _drop_surplus(
        tx, model, [item for item in changed if len(before.get(item.document.key, {})) > len(item.pieces)]
    )


async def forget(tx: Transaction, model: str, keys: Sequence[EntityKey]) -> None:
    """Remove entities that are no more."""
    parameters = {"types": [key[0].value for key in keys], "ids": [key[1] for key in keys], "model": model}
    await tx.execute(
        """
        DELETE FROM embeddings AS e USING unnest(%(types)s::text[], %(ids)s::text[]) AS k (entity_type, entity_id)
        WHERE (e.entity_type, e.entity_id, e.model) = (k.entity_type, k.entity_id, %(model)s)
        """,
        parameters,
    )
    await tx.execute(
        """
        DELETE FROM indexed_entities AS i USING unnest(%(types)s::text[], %(ids)s::text[]) AS k (entity_type, entity_id)
        WHERE (i.entity_type, i.entity_id, i.model) = (k.entity_type, k.entity_id, %(model)s)
        """,
        parameters,
    )


async def drop_refused(tx: Transaction, model: str, items: Sequence[Indexable], refused: set[bytes]) -> None:
    """Remove what stood where a text now is that the model will not take: it would cite what is no longer written."""
    stale = [
        (item.document.key, number)
        for item in items
        for number, piece in enumerate(item.pieces)
        if piece.content_hash in refused
    ]
    if not stale:
        return
    await tx.execute(
        """
        DELETE FROM embeddings AS e
        USING unnest(%(types)s::text[], %(ids)s::text[], %(chunks)s::integer[]) AS n (entity_type, entity_id, chunk_no)
        WHERE (e.entity_type, e.model, e.entity_id, e.chunk_no) = (n.entity_type, %(model)s, n.entity_id, n.chunk_no)
        """,
        {
            "model": model,
            "types": [key[0].value for key, _ in stale],
            "ids": [key[1] for key, _ in stale],
            "chunks": [number for _, number in stale],
        },
    )


async def claim(
    tx: Transaction, model: str, documents: Sequence[Indexable], errors: dict[EntityKey, str]
) -> set[EntityKey]:
    """Note the version that is about to be written, and return those entities that nobody wrote a later version of."""
    rows = await tx.fetch_all(
        """
        INSERT INTO indexed_entities AS i (model, entity_type, entity_id, user_id, version, error, attempts)
        SELECT %(model)s, entity_type, entity_id, user_id, version, error, (error IS NOT NULL)::integer
        FROM unnest(%(types)s::text[], %(ids)s::text[], %(users)s::text[], %(versions)s::bigint[], %(errors)s::text[])
            AS n (entity_type, entity_id, user_id, version, error)
        ON CONFLICT (model, entity_type, entity_id) DO UPDATE SET user_id = excluded.user_id,
            version = excluded.version, error = excluded.error, indexed_at = clock_timestamp(),
            attempts = CASE WHEN excluded.error IS NULL THEN 0 ELSE i.attempts + 1 END
        WHERE i.version <= excluded.version
        RETURNING i.entity_type, i.entity_id
        """,
        {
            "model": model,
            "types": [item.document.entity_type.value for item in documents],
            "ids": [item.document.entity_id for item in documents],
            "users": [item.document.user_id for item in documents],
            "versions": [item.document.version for item in documents],
            "errors": [errors.get(item.document.key) for item in documents],
        },
        row=_Claimed,
    )
    claimed = {(row.entity_type, row.entity_id) for row in rows}
    return {item.document.key for item in documents if item.document.key in claimed}


@dataclass(frozen=True, slots=True)
class _Claimed:
    entity_type: str
    entity_id: str


def _same_place(item: Indexable, piece: Piece, kept: Stored) -> bool:
    document = item.document
    return (document.user_id, document.course_id, document.visibility, document.validated, document.language) == (
        kept.user_id,
        kept.course_id,
        kept.visibility,
        kept.validated,
        kept.language,
    ) and _lines(piece) == (kept.line_start, kept.line_end)


def _lines(piece: Piece) -> tuple[int | None, int | None]:
    return (piece.chunk.line_start, piece.chunk.line_end) if piece.has_lines else (None, None)


# Binary arrays: written and read without quoting, which is a tenth of the work of an insertion.
_GIVEN: LiteralString = """
    unnest(%(types)b::text[], %(ids)b::text[], %(chunks)b::integer[], %(users)b::text[], %(courses)b::text[],
           %(visibilities)b::text[]::visibility[], %(validated)b::boolean[], %(languages)b::text[],
           %(starts)b::integer[], %(ends)b::integer[]"""
_NAMES: LiteralString = """
    entity_type, entity_id, chunk_no, user_id, course_id, visibility, validated, language, line_start, line_end"""


def _given(model: str, chunks: Sequence[tuple[Indexable, int, Piece]]) -> dict[str, object]:
    documents = [item.document for item, _, _ in chunks]
    return {
        "model": model,
        "types": [document.entity_type.value for document in documents],
        "ids": [document.entity_id for document in documents],
        "chunks": [number for _, number, _ in chunks],
        "users": [document.user_id for document in documents],
        "courses": [document.course_id for document in documents],
        "visibilities": [document.visibility.value for document in documents],
        "validated": [document.validated for document in documents],
        "languages": [document.language for document in documents],
        "starts": [_lines(piece)[0] for _, _, piece in chunks],
        "ends": [_lines(piece)[1] for _, _, piece in chunks],
    }


async def _upsert(
    tx: Transaction, model: str, chunks: Sequence[tuple[Indexable, int, Piece]], vectors: Mapping[bytes, Vector]
) -> None:
    if not chunks:
        return
    register_parameters(tx.connection)
    oid = await vector_oid(tx.connection)
    query: LiteralString = (
        "INSERT INTO embeddings AS e (model," + _NAMES + ", changed_at, content_hash, heading, content, embedding)"
        " SELECT %(model)s, n.* FROM " + _GIVEN + ", %(changed)b::timestamptz[], %(hashes)b::bytea[],"
        " %(headings)b::text[], %(contents)b::text[], %(vectors)s::vector[]) AS n"
        """
        ON CONFLICT (entity_type, model, entity_id, chunk_no) DO UPDATE SET user_id = excluded.user_id,
            course_id = excluded.course_id, visibility = excluded.visibility, validated = excluded.validated,
            language = excluded.language, line_start = excluded.line_start, line_end = excluded.line_end,
            changed_at = excluded.changed_at, content_hash = excluded.content_hash, heading = excluded.heading,
            content = excluded.content, embedding = excluded.embedding
        """
    )
    await tx.execute(
        query,
        _given(model, chunks)
        | {
            "changed": [item.document.updated_at for item, _, _ in chunks],
            "hashes": [piece.content_hash for _, _, piece in chunks],
            "headings": [piece.chunk.heading for _, _, piece in chunks],
            "contents": [piece.chunk.content for _, _, piece in chunks],
            "vectors": VectorsParameter([vectors[piece.content_hash] for _, _, piece in chunks], oid),
        },
    )


async def _move(tx: Transaction, model: str, chunks: Sequence[tuple[Indexable, int, Piece]]) -> None:
    """Change who may see chunks, or on which lines they stand; their vectors stay."""
    if not chunks:
        return
    query: LiteralString = (
        "UPDATE embeddings AS e SET user_id = n.user_id, course_id = n.course_id, visibility = n.visibility,"
        " validated = n.validated, language = n.language, line_start = n.line_start, line_end = n.line_end FROM "
        + _GIVEN
        + ") AS n ("
        + _NAMES
        + ") WHERE (e.entity_type, e.model, e.entity_id, e.chunk_no) ="
        " (n.entity_type, %(model)s, n.entity_id, n.chunk_no)"
    )
    await tx.execute(query, _given(model, chunks))


async def _drop_surplus(tx: Transaction, model: str, shrunk: Sequence[Indexable]) -> None:
    if not shrunk:
        return
    await tx.execute(
        """
        DELETE FROM embeddings AS e
        USING unnest(%(types)s::text[], %(ids)s::text[], %(counts)s::integer[]) AS n (entity_type, entity_id, chunks)
        WHERE (e.entity_type, e.model, e.entity_id) = (n.entity_type, %(model)s, n.entity_id) AND e.chunk_no >= n.chunks
        """,
        {
            "model": model,
            "types": [item.document.entity_type.value for item in shrunk],
            "ids": [item.document.entity_id for item in shrunk],
            "counts": [len(item.pieces) for item in shrunk],
        },
    )
