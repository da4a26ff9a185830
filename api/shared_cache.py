"""Query vectors remembered in Redis, so that several processes do not pay for the same question again."""

import logging
from types import TracebackType
from typing import Self, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

SECONDS = 24 * 3600
"""A day: long enough for a session's repeated questions, short enough for a text that was erased."""


def connect(redis_url: str, *, patience: float = 0.25) -> Redis:
    """Return a client that gives up after `patience` seconds: neither a cache nor a limit may make anybody wait."""
    return Redis.from_url(redis_url, socket_timeout=patience, socket_connect_timeout=patience)


class RedisCache:
    """Remembers bytes under hashed keys, never a text; while Redis is away nothing is remembered and nobody waits."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)
        self._away = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._redis.aclose()

    async def get(self, key: str) -> bytes | None:
        """Return the remembered bytes, or None."""
        try:
            found = cast("bytes | None", await self._redis.get(f"goals:embedding:{key}"))
        except (RedisError, OSError) as error:
            self._report(error)
            return None
        self._away = False
        return found

    async def put(self, key: str, value: bytes) -> None:
        """Remember the bytes for a day."""
        try:
            await self._redis.set(f"goals:embedding:{key}", value, ex=SECONDS)
        except (RedisError, OSError) as error:
            self._report(error)

    def _report(self, error: Exception) -> None:
        if not self._away:
            log.warning("Redis is away; embeddings are not shared until it is back: %s", error)
        self._away = True
