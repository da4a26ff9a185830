"""Vectors remembered in Redis, for deployments in which several processes would pay for the same text again."""

import hashlib
import logging
from collections.abc import Sequence
from typing import cast

import numpy as np
from redis.asyncio import Redis
from redis.exceptions import RedisError

from store.vectors import DIMENSIONS, Embedder, Vector

log = logging.getLogger(__name__)

SECONDS = 24 * 3600
"""A day: long enough for a session's repeated questions, short enough for a text that was erased."""


class CachedEmbedder:
    """An embedder that asks Redis first. Keys are hashes, so Redis holds no text; without Redis nothing changes."""

    def __init__(self, embedder: Embedder, redis: Redis) -> None:
        self._embedder = embedder
        self._redis = redis
        self._away = False

    @property
    def model(self) -> str:
        """The name the vectors are stored under."""
        return self._embedder.model

    @property
    def degraded(self) -> bool:
        """True when a better model would be in use if it were configured."""
        return self._embedder.degraded

    @property
    def chunk_chars(self) -> int:
        """About how many characters of a text the model still takes in."""
        return self._embedder.chunk_chars

    def of(self, model: str) -> Embedder | None:
        """Return the embedder for `model`, with the same cache."""
        other = self._embedder.of(model)
        return None if other is None else CachedEmbedder(other, self._redis)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector a text; only texts nobody asked for within a day reach the model."""
        keys = [self._key(text) for text in texts]
        found = await self._read(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            made = dict(zip(missing, await self._embedder.embed(list(missing.values())), strict=True))
            await self._write(made)
            found |= made
        return [found[key] for key in keys]

    async def _read(self, keys: Sequence[str]) -> dict[str, Vector]:
        try:
            values = cast("list[bytes | None]", await self._redis.mget(list(dict.fromkeys(keys))))
        except (RedisError, OSError) as error:
            self._report(error)
            return {}
        self._away = False
        return {
            key: _unpacked(value) for key, value in zip(dict.fromkeys(keys), values, strict=True) if value is not None
        }

    async def _write(self, made: dict[str, Vector]) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key, vector in made.items():
                    pipe.set(key, _packed(vector), ex=SECONDS)
                await pipe.execute()
        except (RedisError, OSError) as error:
            self._report(error)

    def _report(self, error: Exception) -> None:
        if not self._away:
            log.warning("Redis is away; texts are embedded without its cache until it is back: %s", error)
        self._away = True

    def _key(self, text: str) -> str:
        return f"goals:embedding:{self.model}:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}"


def _packed(vector: Vector) -> bytes:
    """Without the zeros a small model is padded with: 1.5 KB instead of 6."""
    return np.trim_zeros(vector, "b").astype("<f4").tobytes()


def _unpacked(value: bytes) -> Vector:
    vector = np.zeros(DIMENSIONS, np.float32)
    short = np.frombuffer(value, "<f4")
    vector[: short.size] = short
    return vector
