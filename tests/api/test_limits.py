"""Rate limits: exact at the border, shared through Redis, and harmless when Redis is away."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from api.limits import Limiter, MemoryLimiter, RateLimited, RedisLimiter
from api.shared_cache import connect
from tests.redis import redis_server


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Redis for this file."""
    folder: Path = tmp_path_factory.mktemp("redis")
    with redis_server(folder) as url:
        yield url


async def _admitted(limiters: list[Limiter], times: int, caller: str = "ada") -> int:
    verdicts = await asyncio.gather(*(limiters[turn % len(limiters)].admit(caller) for turn in range(times)))
    return sum(verdict.allowed for verdict in verdicts)


async def test_of_fifty_at_once_exactly_the_limit_passes() -> None:
    assert await _admitted([MemoryLimiter(5)], 50) == 5


async def test_two_processes_share_one_limit_through_redis(redis_url: str) -> None:
    first, second = connect(redis_url, patience=20), connect(redis_url, patience=20)
    try:
        assert await _admitted([RedisLimiter(first, 5), RedisLimiter(second, 5)], 50) == 5
        assert await _admitted([RedisLimiter(first, 5)], 3, "bob") == 3
    finally:
        await first.aclose()
        await second.aclose()


async def test_both_kinds_say_the_same(redis_url: str) -> None:
    redis = connect(redis_url, patience=20)
    memory, shared = MemoryLimiter(3), RedisLimiter(redis, 3)
    try:
        for _ in range(5):
            mine, theirs = await memory.admit("eve"), await shared.admit("eve")
            assert (mine.allowed, mine.remaining) == (theirs.allowed, theirs.remaining)
            assert mine.seconds == pytest.approx(theirs.seconds, abs=0.5)
    finally:
        await redis.aclose()


async def test_without_redis_each_process_counts_for_itself() -> None:
    redis = connect("redis://127.0.0.1:1/0")
    try:
        assert await _admitted([RedisLimiter(redis, 5)], 20) == 5
    finally:
        await redis.aclose()


async def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    async def hello(scope: object, receive: object, send: object) -> None:
        await PlainTextResponse("hello")(Request(scope).scope, receive, send)  # pyright: ignore[reportArgumentType]

    app = RateLimited(hello, per_minute=2)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:  # pyright: ignore[reportArgumentType]
        answers = [await client.get("/goals", headers={"X-Api-Key": "one"}) for _ in range(3)]
        other = await client.get("/goals", headers={"X-Api-Key": "two"})
        health = [await client.get("/healthz", headers={"X-Api-Key": "one"}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit"].startswith('"default";r=1;')
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 31
    assert answers[2].headers["Content-Type"] == "application/problem+json"
    assert "2 requests a minute" in answers[2].json()["detail"]
    assert other.status_code == 200
    assert {answer.status_code for answer in health} == {200}
