"""Rate limits per caller: shared through Redis where several processes serve, kept in memory where there is one.

The rule is GCRA (the "virtual scheduling" form of ITU-T I.371): one number per caller, no windows to straddle.
"""

import hashlib
import logging
import time
from collections import OrderedDict
from math import ceil
from typing import NamedTuple, Protocol, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.dependencies import presented_token, services_of
from api.errors import Problem, problem_response
from api.shared_cache import connect

log = logging.getLogger(__name__)

_FREE = frozenset({"/healthz", "/readyz", "/metrics"})
_CALLERS_KEPT = 100_000

# The same arithmetic as MemoryLimiter, by the clock of Redis, in microseconds.
_SCRIPT = """
local moment = redis.call('TIME')
local now = moment[1] * 1000000 + moment[2]
local step, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
if due - now > step * (burst - 1) then
  return {0, due - now - step * (burst - 1)}
end
redis.call('SET', KEYS[1], string.format('%.0f', due + step), 'PX', math.ceil((due + step - now) / 1000) + 1000)
return {1, due + step - now}
"""


class Verdict(NamedTuple):
    """Whether a request may pass; how many more may follow at once; seconds until one more may, or all may again."""

    allowed: bool
    remaining: int
    seconds: float


class Limiter(Protocol):
    """Decides about one request of one caller."""

    async def admit(self, caller: str) -> Verdict: ...


class MemoryLimiter:
    """Counts in this process alone."""

    def __init__(self, per_minute: int) -> None:
        self._step = 60.0 / per_minute
        self._burst = per_minute
        self._due: OrderedDict[str, float] = OrderedDict()

    async def admit(self, caller: str) -> Verdict:
        """Count one request of `caller`."""
        now = time.monotonic()
        due = max(self._due.pop(caller, now), now)
        allowed = due - now <= self._step * (self._burst - 1)
        self._due[caller] = due + self._step if allowed else due
        if len(self._due) > _CALLERS_KEPT:
            self._due.popitem(last=False)
        ahead = self._due[caller] - now
        if not allowed:
            return Verdict(False, 0, ahead - self._step * (self._burst - 1))
        return Verdict(True, int(self._burst - ahead / self._step), ahead)


class RedisLimiter:
    """Counts for all processes together; while Redis is away, each counts for itself."""

    def __init__(self, redis: Redis, per_minute: int) -> None:
        self._script = redis.register_script(_SCRIPT)
        self._step = 60_000_000 // per_minute
        self._burst = per_minute
        self._alone = MemoryLimiter(per_minute)
        self._away = False

    async def admit(self, caller: str) -> Verdict:
        """Count one request of `caller`."""
        try:
            allowed, ahead = cast(
                "tuple[int, int]", await self._script(keys=[f"goals:rate:{caller}"], args=[self._step, self._burst])
            )
        except (RedisError, OSError) as error:
            if not self._away:
                log.warning("Redis is away; rate limits are kept per process until it is back: %s", error)
            self._away = True
            return await self._alone.admit(caller)
        self._away = False
        if not allowed:
            return Verdict(False, 0, ahead / 1e6)
        return Verdict(True, int(self._burst - ahead / self._step), ahead / 1e6)


class RateLimited:
    """Middleware that turns away whoever asks more often than the deployment allows."""

    def __init__(self, app: ASGIApp, per_minute: int, redis_url: str | None = None) -> None:
        self.app = app
        self._per_minute = per_minute
        self._limiter: Limiter = (
            RedisLimiter(connect(redis_url), per_minute) if redis_url is not None else MemoryLimiter(per_minute)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; health checks are never limited."""
        if scope["type"] != "http" or scope["path"] in _FREE:
            await self.app(scope, receive, send)
            return
        verdict = await self._limiter.admit(_caller(HTTPConnection(scope)))
        headers = {
            "RateLimit-Policy": f'"default";q={self._per_minute};w=60',
            "RateLimit": f'"default";r={verdict.remaining};t={ceil(verdict.seconds)}',
        }
        if not verdict.allowed:
            wait = max(1, ceil(verdict.seconds))
            detail = f"You may send {self._per_minute} requests a minute. Try again in {wait} s."
            problem = Problem(429, "too_many_requests", detail, headers={**headers, "Retry-After": str(wait)})
            await problem_response(problem, None)(scope, receive, send)
            return
        extra = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, receive, with_headers)


def _caller(connection: HTTPConnection) -> str:
    """Name whose requests count together: a user once a token was found to be theirs, else an address.

    A token nobody has verified proves nothing: whoever made up a new one for each request would never be limited.
    """
    token = presented_token(connection)
    user_id = services_of(connection).tokens.known(token) if token is not None else None
    if user_id is not None:
        return "user:" + hashlib.sha256(user_id.encode("utf-8", "replace")).hexdigest()[:32]
    return connection.client.host if connection.client else "unknown"
