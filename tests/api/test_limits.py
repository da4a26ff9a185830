"""Rate limits: exact at the border, shared through Redis, and harmless when Redis is away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.limits import Limiter, MemoryLimiter, RedisLimiter
from api.services import Services
from api.settings import given
from api.shared_cache import connect
from store.principal import Principal
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


async def _asked(client: httpx.AsyncClient, token: str, times: int) -> list[int]:
    return [(await client.get("/goals", headers={"X-Api-Key": token})).status_code for _ in range(times)]


@pytest.fixture
async def limited(services: Services, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that allows two requests a minute."""
    settings = given(data_dir=tmp_path / "data", rate_limit_per_minute=2)
    app = create_app(settings, services=services)
    app.state.services = services
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_who_asks_too_often_is_told_when_to_come_back(limited: httpx.AsyncClient) -> None:
    answers = [await limited.get("/goals") for _ in range(3)]
    health = [await limited.get("/healthz") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert answers[0].headers["RateLimit"].startswith('"default";r=1;')
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 31
    assert answers[2].headers["Content-Type"] == "application/problem+json"
    assert "2 requests a minute" in answers[2].json()["detail"]
    assert {answer.status_code for answer in health} == {200}


async def test_a_new_token_for_each_request_is_no_way_around(limited: httpx.AsyncClient) -> None:
    assert [(await _asked(limited, f"made-up-{turn}", 1))[0] for turn in range(4)] == [401, 401, 429, 429]


async def test_all_tokens_of_a_user_count_together_and_apart_from_their_neighbours(
    limited: httpx.AsyncClient, services: Services, learner: Principal, other_learner: Principal
) -> None:
    first, second, neighbour = (services.tokens.issue(who).access_token for who in (learner, learner, other_learner))
    for token in (first, second, neighbour):
        await services.tokens.verify(token)
    assert await _asked(limited, first, 1) == [200]
    assert await _asked(limited, second, 2) == [200, 429]
    assert await _asked(limited, neighbour, 1) == [200]
