"""Issues access tokens and turns presented ones into principals."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple
from weakref import WeakValueDictionary

import jwt

from api.auth.claims import LEEWAY_SECONDS, MAX_TOKEN_CHARS, check_horizon, principal_from, refused
from api.auth.external import MAX_LIFETIME, ExternalIssuer
from api.auth.keys import KeyTable
from store.principal import Principal
from store.types import new_id

_CACHE_SIZE = 10_000
_CROWD = 1_000
"""So many dismissed users are looked through for those to forget; twice as many as were left, the next time."""
_REQUIRED = ["exp", "iat", "sub", "aud", "iss", "jti"]


class IssuedToken(NamedTuple):
    """An access token and the seconds it lives."""

    access_token: str
    expires_in: int


class _Verified(NamedTuple):
    principal: Principal
    expires: float


@dataclass
class Tokens:
    """Access tokens of this service and, where one is configured, of an external issuer.

    Verified tokens are remembered until they expire: checking an Ed25519 signature takes 150 us, a look-up 0.3 us.
    """

    keys: KeyTable
    issuer: str
    audience: str
    lifetime: timedelta = timedelta(minutes=15)
    external: ExternalIssuer | None = None
    clock: Callable[[], float] = time.time
    _verified: "OrderedDict[str, _Verified]" = field(default_factory=OrderedDict)
    _dismissed: dict[str, float] = field(default_factory=dict)
    _crowd: int = _CROWD
    _dismissals: "WeakValueDictionary[str, asyncio.Event]" = field(default_factory=WeakValueDictionary)

    @property
    def dismissals(self) -> int:
        """How many closed accounts are remembered."""
        return len(self._dismissed)

    @property
    def longest(self) -> timedelta:
        """How long a token that is taken today may still be taken, whoever issued it."""
        lifetime = self.lifetime if self.external is None else max(self.lifetime, MAX_LIFETIME)
        return lifetime + timedelta(seconds=LEEWAY_SECONDS)

    def issue(self, principal: Principal) -> IssuedToken:
        """Return a signed access token (RFC 9068) for this identity."""
        now = int(self.clock())
        seconds = int(self.lifetime.total_seconds())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": principal.user_id,
            "role": principal.role.value,
            "iat": now,
            "exp": now + seconds,
            "jti": str(new_id()),
        }
        headers = {"typ": "at+jwt", "kid": self.keys.kid}
        token = jwt.encode(claims, self.keys.private, algorithm=self.keys.algorithm, headers=headers)
        return IssuedToken(token, seconds)

    async def verify(self, token: str) -> Principal:
        """Return whom the token speaks for; raises Problem 401 for anything that is not a valid access token."""
        known = self._verified.get(token)
        now = self.clock()
        if known is None:
            known = await self._examine(token, now)
            self._remember(token, known)
        elif known.expires > now:
            self._verified.move_to_end(token)
        else:
            del self._verified[token]
            raise refused("The access token has expired.")
        if self._dismissed and self._dismissed.get(known.principal.user_id, 0) > now:
            raise refused()
        return known.principal

    def known(self, token: str) -> str | None:
        """Return whose token this is if that was verified here before, without looking at it again."""
        verified = self._verified.get(token)
        return None if verified is None else verified.principal.user_id

    def dismiss(self, user_id: str, *, age: float = 0.0, erased: bool = False) -> None:
        """Refuse in this process the tokens of an account that was closed `age` seconds ago.

        We issue none for it, so after the longest life it may be forgotten. Another issuer goes on issuing them: for
        it a closed account is remembered for good, and one that was erased is a stranger again.
        """
        now = self.clock()
        until = now - age + self.longest.total_seconds() if self.external is None or erased else math.inf
        if until <= now:
            return
        if len(self._dismissed) >= self._crowd:
            self._dismissed = {user: end for user, end in self._dismissed.items() if end > now}
            self._crowd = max(_CROWD, 2 * len(self._dismissed))
        self._dismissed[user_id] = max(until, self._dismissed.get(user_id, 0))
        dismissal = self._dismissals.get(user_id)
        if dismissal is not None:
            dismissal.set()

    async def dismissed(self, user_id: str) -> None:
        """Return once this user's tokens are refused because the account was closed: what is open for them ends."""
        dismissal = self._dismissals.setdefault(user_id, asyncio.Event())
        if self._dismissed.get(user_id, 0) > self.clock():
            return
        await dismissal.wait()

    async def _examine(self, token: str, now: float) -> _Verified:
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise refused()
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise refused() from None
        kid = header.get("kid")
        key = self.keys.verifying.get(kid) if isinstance(kid, str) else None
        if key is None:
            if self.external is None:
                raise refused()
            return _Verified(*await self.external.verify(token, header, now))
        if str(header.get("typ", "")).lower().removeprefix("application/") != "at+jwt" or "crit" in header:
            raise refused()
        try:
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[key.algorithm],
                audience=self.audience,
                issuer=self.issuer,
                # Times are judged below by our own clock, so that one clock decides and tests can turn it.
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.PyJWTError:
            raise refused() from None
        expires = check_horizon(claims, now, self.lifetime)
        if expires <= now:
            raise refused("The access token has expired.")
        return _Verified(principal_from(claims, role_claim="role", courses_claim=None), expires)

    def _remember(self, token: str, verified: _Verified) -> None:
        self._verified[token] = verified
        if len(self._verified) > _CACHE_SIZE:
            self._verified.popitem(last=False)
