"""Reads entities as the index wants them: who may see them at most, and their text in chunks."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, LiteralString

from store.chunking import VERSION, Chunk, prose
from store.chunking_code import code
from store.database import Transaction
from store.index_secrets import has_secret
from store.search_types import SEARCHABLE
from store.types import EntityType, Visibility

EntityKey = tuple[EntityType, str]


@dataclass(frozen=True, slots=True)
class Document:
    """One entity as it is now. `visibility` is the widest circle that may ever find it here."""

    entity_type: EntityType
    entity_id: str
    version: int
    updated_at: datetime
    user_id: str
    course_id: str | None
    visibility: Visibility
    validated: bool
    language: str | None
    title: str
    body: str
    documentation: str

    @property
    def key(self) -> EntityKey:
        """What it is called everywhere else."""
        return self.entity_type, self.entity_id


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk of a document, and the hash under which its vector may exist already."""

    chunk: Chunk
    has_lines: bool
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Indexable:
    """A document cut for one model."""

    document: Document
    pieces: list[Piece]


_READ: Final[dict[EntityType, LiteralString]] = {
    EntityType.GOAL: """
        SELECT 'goal' AS entity_type, id::text AS entity_id, version, updated_at, user_id, course_id, visibility,
               false AS validated, NULL AS language, title, description AS body, '' AS documentation
        FROM goals WHERE id = ANY (%s::uuid[])
    """,
    EntityType.TASK: """
        SELECT 'task' AS entity_type, id::text AS entity_id, version, updated_at, user_id, course_id, visibility,
               false AS validated, NULL AS language, title,
               concat_ws(E'\\n', description, array_to_string(acceptance_criteria, E'\\n'),
                         nullif(array_to_string(skills, ', '), '')) AS body, '' AS documentation
        FROM tasks WHERE id = ANY (%s::uuid[])
    """,
    # Code is everybody's business only after it has passed.
    EntityType.CODE_SNAPSHOT: """
        SELECT 'code_snapshot' AS entity_type, id::text AS entity_id, version, updated_at, user_id, course_id,
               CASE WHEN validation_status = 'passed' THEN visibility ELSE 'private' END AS visibility,
               validation_status = 'passed' AS validated, language, file_path AS title, content AS body,
               '' AS documentation
        FROM code_snapshots WHERE id = ANY (%s::uuid[])
    """,
    EntityType.COURSE: """
        SELECT 'course' AS entity_type, id AS entity_id, version, updated_at, owner_id AS user_id, id AS course_id,
               (CASE WHEN status = 'draft' THEN 'private' WHEN status = 'published' AND visibility = 'global'
                     THEN 'global' ELSE 'course' END)::visibility AS visibility,
               false AS validated, NULL AS language, title, description AS body, documentation
        FROM courses WHERE id = ANY (%s::text[])
    """,
}


async def read(tx: Transaction, keys: Iterable[EntityKey]) -> list[Document]:
    """Return those of the entities that exist."""
    wanted: dict[EntityType, list[str]] = {}
    for entity_type, entity_id in keys:
        wanted.setdefault(entity_type, []).append(entity_id)
    found: list[Document] = []
    for entity_type in SEARCHABLE:
        if ids := wanted.get(entity_type):
            rows = await tx.fetch_all(_READ[entity_type], [ids], row=Document)
            found += [replace(row, entity_type=entity_type) for row in rows]
    return found


def cut(document: Document, model: str, chunk_chars: int) -> Indexable:
    """Cut a document for a model that takes in so many characters. What holds a secret stays its owner's."""
    if has_secret(document.body) or has_secret(document.documentation) or has_secret(document.title):
        document = replace(document, visibility=Visibility.PRIVATE)
    if document.entity_type is EntityType.CODE_SNAPSHOT:
        pieces = _pieces(model, code(document.title, document.language or "", document.body, chunk_chars), lines=True)
    else:
        pieces = _pieces(model, prose(document.title, document.body, chunk_chars), lines=False)
        if document.documentation.strip():
            pieces += _pieces(model, prose(document.title, document.documentation, chunk_chars), lines=True)
    return Indexable(document, pieces)


def _pieces(model: str, chunks: Sequence[Chunk], *, lines: bool) -> list[Piece]:
    return [
        Piece(chunk, lines, hashlib.sha256(f"{model}\0{VERSION}\0{chunk.text}".encode()).digest())
        for chunk in chunks
        if chunk.text.strip()
    ]
