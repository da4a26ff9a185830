"""Ways in: by password, by refresh token, by one-time link; each ends in a pair of tokens or a refusal."""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from api.auth.passwords import Passwords
from api.auth.tokens import Tokens
from api.errors import Problem
from store import credentials, sessions
from store.credentials import Blocked, SignIn
from store.database import Database, Transaction
from store.principal import SERVICE, Principal
from store.sessions import Spending
from store.types import UserStatus

ACCOUNT_ATTEMPTS = 10
ADDRESS_ATTEMPTS = 100
WINDOW = timedelta(minutes=15)


class TokenPair(NamedTuple):
    """What a successful sign-in hands out."""

    access_token: str
    refresh_token: str
    expires_in: int
    user_id: str


@dataclass(frozen=True)
class SignIns:
    """The sign-in desk of the service."""

    database: Database
    tokens: Tokens
    passwords: Passwords
    refresh_lifetime: timedelta = timedelta(days=30)

    async def by_password(self, email: str, password: str, address: str) -> TokenPair:
        """Sign in with an email address; raises Problem 401, or 429 after too many attempts."""
        account = await self._admit(email, address)
        checked = await self.passwords.check(password, account.password_hash if account else None)
        if account is None or not checked.right or account.status is not UserStatus.ACTIVE:
            raise Problem(
                401,
                "invalid_credentials",
                "Email address or password is wrong.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        async with self.database.transaction(SERVICE) as tx:
            await credentials.reset(tx, account_bucket(email))
            await credentials.forgive(tx, _address_bucket(address))
            if checked.better_hash is not None:
                await credentials.put(tx, account.user_id, checked.better_hash)
            return await self._pair(tx, account)

    async def by_refresh(self, refresh_token: str) -> TokenPair:
        """Trade a refresh token for a new pair; a spent one ends its whole family (RFC 9700, 4.14)."""
        async with self.database.transaction(SERVICE) as tx:
            spent = await sessions.spend(tx, refresh_token)
            if spent.outcome is Spending.ROTATED:
                account = await credentials.find_by_id(tx, spent.user_id)
                if account is not None and account.status is UserStatus.ACTIVE:
                    return await self._pair(tx, account, spent.family_id)
        # Raised after the commit: a refusal must not undo the revocation it stands for.
        raise Problem(401, "invalid_grant", "The refresh token is not valid any more; sign in again.")

    async def by_link(self, token: str) -> TokenPair:
        """Sign in with a one-time link."""
        async with self.database.transaction(SERVICE) as tx:
            user_id = await sessions.redeem_link(tx, token)
            account = await credentials.find_by_id(tx, user_id) if user_id is not None else None
            if account is not None and account.status is UserStatus.ACTIVE:
                return await self._pair(tx, account)
        raise Problem(401, "invalid_grant", "This sign-in link was used before or has expired; ask for a new one.")

    async def change_password(self, user_id: str, current: str | None, new: str) -> None:
        """Replace a password and end every session of the user; raises Problem 401 if `current` is wrong."""
        async with self.database.transaction(SERVICE) as tx:
            account = await credentials.find_by_id(tx, user_id)
            blocked = await self._count(tx, f"password:{user_id}", ACCOUNT_ATTEMPTS)
        _raise_if(blocked)
        if account is None:
            raise Problem(404, "not_found", "This identity has no account here, so it has no password to change.")
        if account.password_hash is not None:
            checked = await self.passwords.check(current or "", account.password_hash)
            if not checked.right:
                raise Problem(403, "invalid_credentials", "The current password is wrong.")
        hashed = await self.passwords.hash(new)
        async with self.database.transaction(SERVICE) as tx:
            await credentials.reset(tx, f"password:{user_id}")
            await credentials.put(tx, user_id, hashed)
            await sessions.revoke_user(tx, user_id)

    async def revoke(self, refresh_token: str) -> None:
        """Sign out: end the family of a refresh token, known or not."""
        async with self.database.transaction(SERVICE) as tx:
            await sessions.revoke(tx, refresh_token)

    async def end(self, user_id: str) -> None:
        """End every session of a user whose account was closed."""
        self.tokens.dismiss(user_id)
        async with self.database.transaction(SERVICE) as tx:
            await sessions.revoke_user(tx, user_id)

    async def _admit(self, email: str, address: str) -> SignIn | None:
        async with self.database.transaction(SERVICE) as tx:
            # Always in this order, so that two sign-ins never wait for each other.
            blocked = await self._count(tx, account_bucket(email), ACCOUNT_ATTEMPTS)
            blocked = await self._count(tx, _address_bucket(address), ADDRESS_ATTEMPTS) or blocked
            account = await credentials.find(tx, email)
        _raise_if(blocked)
        return account

    async def _count(self, tx: Transaction, bucket: str, allowed: int) -> Blocked | None:
        return await credentials.count_attempt(tx, bucket, allowed=allowed, window=WINDOW)

    async def _pair(self, tx: Transaction, account: SignIn, family_id: UUID | None = None) -> TokenPair:
        refresh = await sessions.issue(tx, account.user_id, lifetime=self.refresh_lifetime, family_id=family_id)
        access = self.tokens.issue(Principal(account.user_id, account.role))
        return TokenPair(access.access_token, refresh, access.expires_in, account.user_id)


def _raise_if(blocked: Blocked | None) -> None:
    if blocked is not None:
        detail = f"Too many attempts. Wait {blocked.seconds} seconds before you try again."
        raise Problem(429, "too_many_attempts", detail, headers={"Retry-After": str(blocked.seconds)})


def account_bucket(email: str) -> str:
    return f"account:{email.casefold()}"


def _address_bucket(address: str) -> str:
    return f"address:{address}"
