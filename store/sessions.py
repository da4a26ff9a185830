"""Refresh tokens and one-time sign-in links; only their hashes are stored, and only the service role reads them."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from store.database import Transaction
from store.types import new_id


class Spending(StrEnum):
    """What became of a refresh token that somebody presented."""

    ROTATED = "rotated"
    UNKNOWN = "unknown"
    """Never issued, expired, or its family was revoked."""
    REUSED = "reused"
    """Spent before: one of two holders is a thief, so the whole family has been revoked."""


@dataclass(frozen=True, slots=True)
class Spent:
    """The outcome of `spend`; user and family are known unless the token is not."""

    outcome: Spending
    user_id: str = ""
    family_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Refresh:
    family_id: UUID
    user_id: str
    expired: bool
    spent: bool
    revoked: bool


async def issue(tx: Transaction, user_id: str, *, lifetime: timedelta, family_id: UUID | None = None) -> str:
    """Store a new refresh token and return it; it starts a family unless it continues one."""
    token = f"grt_{secrets.token_urlsafe(32)}"
    await tx.execute(
        """
        INSERT INTO refresh_tokens (token_hash, family_id, user_id, expires_at)
        VALUES (%(hash)s, %(family)s, %(user)s, clock_timestamp() + %(lifetime)s)
        """,
        {"hash": digest(token), "family": family_id or new_id(), "user": user_id, "lifetime": lifetime},
    )
    return token


async def spend(tx: Transaction, token: str) -> Spent:
    """Use a refresh token up. Never raises for a bad one: the revocation of its family has to be committed."""
    row = await tx.fetch_one(
        """
        SELECT family_id, user_id, expires_at <= clock_timestamp() AS expired,
               spent_at IS NOT NULL AS spent, revoked_at IS NOT NULL AS revoked
        FROM refresh_tokens WHERE token_hash = %(hash)s FOR UPDATE
        """,
        {"hash": digest(token)},
        row=_Refresh,
    )
    if row is None or row.expired or row.revoked:
        return Spent(Spending.UNKNOWN)
    if row.spent:
        await revoke_family(tx, row.family_id)
        return Spent(Spending.REUSED, row.user_id, row.family_id)
    await tx.execute(
        "UPDATE refresh_tokens SET spent_at = clock_timestamp() WHERE token_hash = %(hash)s", {"hash": digest(token)}
    )
    return Spent(Spending.ROTATED, row.user_id, row.family_id)


async def revoke(tx: Transaction, token: str) -> None:
    """Revoke the family of a refresh token; an unknown one is no error (RFC 7009)."""
    await tx.execute(
        """
        UPDATE refresh_tokens SET revoked_at = clock_timestamp()
        WHERE revoked_at IS NULL
          AND family_id = (SELECT family_id FROM refresh_tokens WHERE token_hash = %(hash)s)
        """,
        {"hash": digest(token)},
    )


async def revoke_family(tx: Transaction, family_id: UUID) -> None:
    """Revoke every refresh token that descends from one sign-in."""
    await tx.execute(
        "UPDATE refresh_tokens SET revoked_at = clock_timestamp() WHERE family_id = %(family)s AND revoked_at IS NULL",
        {"family": family_id},
    )


async def revoke_user(tx: Transaction, user_id: str) -> None:
    """Revoke every refresh token and link of a user."""
    await tx.execute(
        "UPDATE refresh_tokens SET revoked_at = clock_timestamp() WHERE user_id = %(user)s AND revoked_at IS NULL",
        {"user": user_id},
    )
    await tx.execute("DELETE FROM sign_in_links WHERE user_id = %(user)s", {"user": user_id})


async def create_link(tx: Transaction, user_id: str, *, lifetime: timedelta) -> str:
    """Store a sign-in link and return its token, which works once."""
    token = f"gsl_{secrets.token_urlsafe(32)}"
    await tx.execute(
        """
        INSERT INTO sign_in_links (token_hash, user_id, expires_at)
        VALUES (%(hash)s, %(user)s, clock_timestamp() + %(lifetime)s)
        """,
        {"hash": digest(token), "user": user_id, "lifetime": lifetime},
    )
    return token


async def redeem_link(tx: Transaction, token: str) -> str | None:
    """Use a sign-in link up and return its user, or None if it is spent, expired or unknown."""
    user_id: str | None = await tx.fetch_value(
        "DELETE FROM sign_in_links WHERE token_hash = %(hash)s AND expires_at > clock_timestamp() RETURNING user_id",
        {"hash": digest(token)},
    )
    return user_id


async def prune(tx: Transaction) -> int:
    """Delete what expired; returns how many rows went. Spent tokens stay until then, so that reuse is noticed."""
    tokens = await tx.execute("DELETE FROM refresh_tokens WHERE expires_at <= clock_timestamp()")
    links = await tx.execute("DELETE FROM sign_in_links WHERE expires_at <= clock_timestamp()")
    return tokens + links


def digest(token: str) -> bytes:
    """Hash a token for storage; it is random, so a plain hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
