"""Embedders that tests can look into, and a way to index everything that is there."""

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np

from agents.embedders_hash import HashEmbedder
from store.database import Database
from store.index import index
from store.index_check import live_keys
from store.index_models import writable
from store.vectors import DIMENSIONS, Embedder, EmbedderUnavailable, TextRefused, Vector, unit


class WatchedEmbedder(HashEmbedder):
    """Counts what it is asked, and fails as told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refuses: Callable[[str], bool] = lambda _: False
        self.away_after: int | None = None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        if self.away_after is not None:
            answered = list(texts)[: self.away_after]
            self.asked.extend(answered)
            raise EmbedderUnavailable("gone", dict(enumerate(await super().embed(answered))))
        self.asked.extend(texts)
        vectors = dict(enumerate(await super().embed(texts)))
        refused = {place: "too strange" for place, text in enumerate(texts) if self.refuses(text)}
        if refused:
            raise TextRefused(refused, {place: v for place, v in vectors.items() if place not in refused})
        return list(vectors.values())


class TopicEmbedder:
    """Gives texts that share a first word neighbouring directions: a corpus with clusters, as real ones have."""

    model = "topics"
    degraded = False
    chunk_chars = 1500

    def of(self, model: str) -> Embedder | None:
        return self if model == self.model else None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> Vector:
        topic = np.random.default_rng(sum(text.split(maxsplit=1)[0].encode())).normal(size=DIMENSIONS)
        own = np.random.default_rng(crc32(text.encode())).normal(size=DIMENSIONS)
        return unit((topic + own)[None, :])[0]


async def index_everything(database: Database, embedder: Embedder) -> None:
    """Do what the relay does, at once."""
    (maker,) = await writable(database, embedder)
    await index(database, maker, await live_keys(database, None, 100_000))
