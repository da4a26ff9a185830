"""The embedding cache: one call per text and day, for all processes, and none of it matters when Redis is away."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis

from agents.embedding_cache import CachedEmbedder
from store.vectors import Vector, unit
from tests.redis import redis_server


class _Counting:
    """An embedder that remembers what it was asked."""

    model = "counting"
    degraded = False
    chunk_chars = 800

    def __init__(self) -> None:
        self.asked: list[str] = []

    def of(self, model: str) -> "_Counting | None":
        return self if model == self.model else None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        self.asked.extend(texts)
        return [*unit(np.array([[len(text), 1.0, 0.5] for text in texts], np.float32))]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Redis for this file."""
    folder: Path = tmp_path_factory.mktemp("redis")
    with redis_server(folder) as url:
        yield url


async def test_a_text_is_embedded_once_for_all_processes(redis_url: str) -> None:
    redis, embedder = Redis.from_url(redis_url), _Counting()
    try:
        first = await CachedEmbedder(embedder, redis).embed(["a", "bb", "a"])
        second = await CachedEmbedder(embedder, redis).embed(["bb", "ccc"])
    finally:
        await redis.aclose()
    assert embedder.asked == ["a", "bb", "ccc"]
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(first[1], second[0])
    assert second[0].shape == (1536,)


async def test_redis_never_holds_a_text(redis_url: str) -> None:
    redis = Redis.from_url(redis_url)
    try:
        await CachedEmbedder(_Counting(), redis).embed(["my secret goal"])
        keys = await redis.keys("*")
        values = await redis.mget(keys)
    finally:
        await redis.aclose()
    assert keys
    assert "secret" not in repr([*keys, *values])


async def test_without_redis_everything_is_embedded() -> None:
    redis, embedder = Redis.from_url("redis://127.0.0.1:1/0"), _Counting()
    try:
        assert len(await CachedEmbedder(embedder, redis).embed(["a"])) == 1
        assert CachedEmbedder(embedder, redis).of("other") is None
    finally:
        await redis.aclose()
    assert embedder.asked == ["a"]
