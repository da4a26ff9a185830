"""Brings entities into the index: read, cut, ask for what is new, write; no text is embedded in a transaction."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from store import index_documents, index_rows
from store.database import Database
from store.index_documents import EntityKey, Indexable
from store.index_rows import StoredChunks
from store.principal import SERVICE
from store.relay import SinkUnavailable
from store.vectors import Embedder, EmbedderUnavailable, TextRefused, Vector

_log = logging.getLogger(__name__)
_TOGETHER: Final = 400
_SHARES, _WORTH_SHARING = 2, 64


async def index(database: Database, embedder: Embedder, keys: Iterable[EntityKey]) -> None:
    """Index these entities for one model, and forget those that are no more.

    Asking again is cheap: unchanged texts are known by their hash. Raises `SinkUnavailable` when the embedder is away;
    whatever it had answered by then is stored.
    """
    waiting = list(keys)
    for start in range(0, len(waiting), _TOGETHER):
        await _index(database, embedder, waiting[start : start + _TOGETHER])


async def _index(database: Database, embedder: Embedder, keys: Sequence[EntityKey]) -> None:
    model = embedder.model
    async with database.transaction(SERVICE) as tx:
        documents = await index_documents.read(tx, keys)
        before = await index_rows.stored(tx, model, keys)
    # In a thread: a long file takes seconds to cut, and this process streams answers meanwhile.
    cut = await asyncio.to_thread(
        lambda: [index_documents.cut(document, model, embedder.chunk_chars) for document in documents]
    )
    missing = _missing(cut, before)
    vectors: dict[bytes, Vector] = {}
    if missing:
        async with database.transaction(SERVICE) as tx:
            vectors = await index_rows.known_vectors(tx, model, missing)
    asked = {content_hash: text for content_hash, text in missing.items() if content_hash not in vectors}
    refused: dict[bytes, str] = {}
    away: EmbedderUnavailable | None = None
    try:
        vectors |= dict(zip(asked, await embedder.embed(list(asked.values())), strict=True)) if asked else {}
    except TextRefused as error:
        hashes = list(asked)
        vectors |= {hashes[place]: vector for place, vector in error.embedded.items()}
        refused = {hashes[place]: reason for place, reason in error.refused.items()}
    except EmbedderUnavailable as error:
        hashes = list(asked)
        vectors |= {hashes[place]: vector for place, vector in error.embedded.items()}
        away = error
    gone = sorted(set(keys) - {document.key for document in documents})
    await write(database, model, cut, before, vectors, refused, gone)
    if away is not None:
        raise SinkUnavailable(str(away)) from away


def _missing(cut: Sequence[Indexable], before: StoredChunks) -> dict[bytes, str]:
    """Return the texts that the entities did not have at their places, by hash."""
    missing: dict[bytes, str] = {}
    for item in cut:
        old = before.get(item.document.key, {})
        for number, piece in enumerate(item.pieces):
            kept = old.get(number)
            if kept is None or kept.content_hash != piece.content_hash:
                missing[piece.content_hash] = piece.chunk.text
    return missing


async def write(
    database: Database,
    model: str,
    cut: Sequence[Indexable],
    before: StoredChunks,
    vectors: Mapping[bytes, Vector],
    refused: Mapping[bytes, str] = MappingProxyType({}),
    gone: Sequence[EntityKey] = (),
) -> None:
    """Write what is at hand of these entities, each of them in one commit, and forget those that are gone.

    Many new ones go over two connections at once: a graph's insertion is PostgreSQL's work, and one session is one
    core. Only new ones, because two transactions that insert lock the counts of scopes in one order; with updates and
    deletions among them they could wait for each other.
    """
    new = [item for item in cut if item.document.key not in before]
    if len(new) < _WORTH_SHARING:
        await _write(database, model, cut, before, vectors, refused, gone)
        return
    shares = [new[number::_SHARES] for number in range(_SHARES)]
    ended = await asyncio.gather(
        *(_write(database, model, share, before, vectors, refused) for share in shares), return_exceptions=True
    )
    for outcome in ended:
        if isinstance(outcome, BaseException):
            raise outcome
    known = [item for item in cut if item.document.key in before]
    if known or gone:
        await _write(database, model, known, before, vectors, refused, gone)


async def _write(
    database: Database,
    model: str,
    cut: Sequence[Indexable],
    before: StoredChunks,
    vectors: Mapping[bytes, Vector],
    refused: Mapping[bytes, str],
    gone: Sequence[EntityKey] = (),
) -> None:
    wanted = _missing(cut, before)
    errors: dict[EntityKey, str] = {}
    finished: list[Indexable] = []
    for item in cut:
        hashes = [piece.content_hash for piece in item.pieces if piece.content_hash in wanted]
        if reason := next((refused[h] for h in hashes if h in refused), None):
            errors[item.document.key] = reason
        if all(h in vectors or h in refused for h in hashes):
            finished.append(item)
    async with database.transaction(SERVICE) as tx:
        claimed = await index_rows.claim(tx, model, finished, errors) if finished else set[EntityKey]()
        unfinished = {item.document.key for item in cut} - {item.document.key for item in finished}
        writable = [item for item in cut if item.document.key in claimed or item.document.key in unfinished]
        await index_rows.write(tx, model, writable, before, vectors)
        await index_rows.drop_refused(tx, model, finished, set(refused))
        if gone:
            await index_rows.forget(tx, model, gone)
    for key, reason in errors.items():
        _log.error("The %s %s cannot be embedded: %s", *key, reason)
