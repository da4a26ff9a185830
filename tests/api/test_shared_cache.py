"""The shared cache: what one process embedded, another need not; and none of it matters when Redis is away."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis

from api.shared_cache import RedisCache
from graphs.opening import EmbedderConfig, Offline, open_embedder
from tests.redis import redis_server


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Redis for this file."""
    folder: Path = tmp_path_factory.mktemp("redis")
    with redis_server(folder) as url:
        yield url


async def test_two_processes_share_what_either_embedded(redis_url: str) -> None:
    config = EmbedderConfig(offline=Offline.HASH)
    async with RedisCache(redis_url) as first, RedisCache(redis_url) as second:
        made = await open_embedder(config, first).embed(["learn go"])
        redis = Redis.from_url(redis_url)
        keys = await redis.keys("goals:embedding:*")
        await redis.set(keys[0], np.full(1536, 0.5, np.float32).tobytes())
        await redis.aclose()
        shared = await open_embedder(config, second).embed(["learn go"])
    assert np.linalg.norm(made[0]) == pytest.approx(1)
    assert shared[0][0] == 0.5, "the second process asked Redis, not its model"


async def test_redis_never_holds_a_text(redis_url: str) -> None:
    async with RedisCache(redis_url) as cache:
        await open_embedder(EmbedderConfig(offline=Offline.HASH), cache).embed(["my secret goal"])
    redis = Redis.from_url(redis_url)
    try:
        keys = await redis.keys("*")
        assert keys
        assert "secret" not in repr([keys, await redis.mget(keys)])
    finally:
        await redis.aclose()


async def test_without_redis_texts_are_embedded_all_the_same() -> None:
    async with RedisCache("redis://127.0.0.1:1/0") as cache:
        assert len(await open_embedder(EmbedderConfig(offline=Offline.HASH), cache).embed(["a"])) == 1
        assert await cache.get("a") is None
