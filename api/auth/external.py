"""Tokens of another service: verified by its published keys (JWKS) or by a shared secret from the environment."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, cast

import httpx
import jwt
import orjson

from api.auth.claims import check_horizon, principal_from, refused
from api.errors import Problem
from store.principal import Principal

logger = logging.getLogger(__name__)

ALGORITHMS = frozenset({"EdDSA", "ES256", "ES384", "RS256", "PS256"})
MAX_LIFETIME = timedelta(hours=24)
MIN_SECRET_BYTES = 32
_JWKS_LIMIT = 256 * 1024
_FRESH_SECONDS = 600.0
_RETRY_SECONDS = 30.0


class ExternalIdentity(NamedTuple):
    """Whom an external token speaks for, and until when."""

    principal: Principal
    expires: float


@dataclass(frozen=True, slots=True)
class Trust:
    """What the operator said about the other service."""

    issuer: str
    audience: str
    jwks_url: str | None = None
    secret: str | None = None
    role_claim: str = "role"
    courses_claim: str = "courses"

    def __post_init__(self) -> None:
        if (self.jwks_url is None) == (self.secret is None):
            raise ValueError("An external issuer needs JWT_EXTERNAL_JWKS_URL or JWT_EXTERNAL_SECRET, and not both.")
        if self.secret is not None and len(self.secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"JWT_EXTERNAL_SECRET must have at least {MIN_SECRET_BYTES} bytes.")


class _Key(NamedTuple):
    algorithm: str
    key: Any


@dataclass
class ExternalIssuer:
    """Verifies the tokens of one other service. Its address comes from the settings only, never from a token."""

    trust: Trust
    client: httpx.AsyncClient | None = None
    _keys: dict[str, _Key] = field(default_factory=dict)
    _fetched: float = float("-inf")
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def verify(self, token: str, header: Mapping[str, Any], now: float) -> ExternalIdentity:
        """Return whom the token speaks for; raises Problem 401, or 503 while the issuer's keys cannot be had."""
        kind = str(header.get("typ", "JWT")).lower().removeprefix("application/")
        if kind not in ("jwt", "at+jwt") or "crit" in header:
            raise refused()
        key = await self._key(header)
        if header.get("alg") != key.algorithm:
            raise refused()
        try:
            claims: dict[str, object] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                audience=self.trust.audience,
                issuer=self.trust.issuer,
                options={
                    "require": ["exp", "iat", "sub", "aud", "iss"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError:
            raise refused() from None
        expires = check_horizon(claims, now, MAX_LIFETIME)
        not_before = claims.get("nbf", 0)
        if expires <= now or not isinstance(not_before, int | float) or not_before > now:
            raise refused()
        principal = principal_from(claims, role_claim=self.trust.role_claim, courses_claim=self.trust.courses_claim)
        return ExternalIdentity(principal, expires)

    async def _key(self, header: Mapping[str, Any]) -> _Key:
        if self.trust.secret is not None:
            return _Key("HS256", self.trust.secret.encode())
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise refused()
        age = time.monotonic() - self._fetched
        # An unknown key id may mean that keys were rotated, but strangers must not make us ask without end.
        if age > _FRESH_SECONDS or (kid not in self._keys and age > _RETRY_SECONDS):
            async with self._lock:
                if time.monotonic() - self._fetched >= age:
                    await self._fetch()
        if not self._keys:
            detail = "The issuer of your token cannot be asked for its keys right now."
            raise Problem(503, "issuer_unavailable", detail, headers={"Retry-After": "30"})
        key = self._keys.get(kid)
        if key is None:
            raise refused()
        return key

    async def _fetch(self) -> None:
        self._fetched = time.monotonic()
        try:
            self._keys = _parse(await self._download())
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            logger.warning("keys of the external issuer could not be read: %s", type(error).__name__)

    async def _download(self) -> bytes:
        assert self.trust.jwks_url is not None
        client = self.client or httpx.AsyncClient(follow_redirects=False, timeout=5.0)
        try:
            async with client.stream("GET", self.trust.jwks_url) as response:
                response.raise_for_status()
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _JWKS_LIMIT:
                        raise ValueError("the key set is too large")
                return body
        finally:
            if self.client is None:
                await client.aclose()


def _parse(document: bytes) -> dict[str, _Key]:
    """Return the usable keys of a set by their ids; raises ValueError for what is no key set."""
    keys: dict[str, _Key] = {}
    for entry in _entries(orjson.loads(document)):
        # Shared keys do not belong into a published set, and a key without a name cannot be chosen by one.
        if entry.get("kty") == "oct" or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
            continue
        try:
            key = jwt.PyJWK(entry)
        except (jwt.PyJWTError, ValueError, TypeError, LookupError):  # PyJWT trusts the members to be what they should
            continue
        if key.algorithm_name in ALGORITHMS:
            keys[entry["kid"]] = _Key(key.algorithm_name, key.key)
    return keys


def _entries(document: object) -> list[dict[str, Any]]:
    entries: object = cast("dict[str, object]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a key set")
    return [cast("dict[str, Any]", entry) for entry in cast("list[object]", entries) if isinstance(entry, dict)]
