"""Password hashes and the counters that slow guessing down; read and written by the service role only."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from store.database import Transaction
from store.types import Role, UserStatus


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a sign-in by password needs to know about an account."""

    user_id: str
    role: Role
    status: UserStatus
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class _Counter:
    failures: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Blocked:
    """Too many failures; `seconds` until the counter starts again."""

    seconds: int


async def find(tx: Transaction, email: str) -> SignIn | None:
    """Return the account with this email address, or None."""
    return await tx.fetch_one(
        """
        SELECT u.id AS user_id, u.role, u.status, c.password_hash
        FROM users AS u LEFT JOIN credentials AS c ON c.user_id = u.id
        WHERE lower(u.email) = lower(%(email)s)
        """,
        {"email": email},
        row=SignIn,
    )


async def find_by_id(tx: Transaction, user_id: str) -> SignIn | None:
    """Return the account of this user, or None."""
    return await tx.fetch_one(
        """
        SELECT u.id AS user_id, u.role, u.status, c.password_hash
        FROM users AS u LEFT JOIN credentials AS c ON c.user_id = u.id
        WHERE u.id = %(user_id)s
        """,
        {"user_id": user_id},
        row=SignIn,
    )


async def put(tx: Transaction, user_id: str, password_hash: str) -> None:
    """Set or replace the password hash of a user."""
    await tx.execute(
        """
        INSERT INTO credentials (user_id, password_hash) VALUES (%(user_id)s, %(hash)s)
        ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash, updated_at = clock_timestamp()
        """,
        {"user_id": user_id, "hash": password_hash},
    )


async def count_attempt(tx: Transaction, bucket: str, *, allowed: int, window: timedelta) -> Blocked | None:
    """Count one attempt before it is judged, so that parallel guesses cannot slip through together.

    Returns `Blocked` once more than `allowed` were counted in the window that the first of them opened.
    """
    counter = await tx.fetch_one(
        """
        INSERT INTO sign_in_attempts AS a (bucket, failures, expires_at)
        VALUES (%(bucket)s, 1, clock_timestamp() + %(window)s)
        ON CONFLICT (bucket) DO UPDATE SET
            failures = CASE WHEN a.expires_at <= clock_timestamp() THEN 1 ELSE a.failures + 1 END,
            expires_at = CASE WHEN a.expires_at <= clock_timestamp() THEN excluded.expires_at ELSE a.expires_at END
        RETURNING failures, ceil(extract(epoch FROM expires_at - clock_timestamp()))::int AS seconds
        """,
        {"bucket": _digest(bucket), "window": window},
        row=_Counter,
    )
    if counter is None or counter.failures <= allowed:
        return None
    return Blocked(max(counter.seconds, 1))


async def forgive(tx: Transaction, bucket: str) -> None:
    """Take back one counted attempt: it turned out to be right."""
    await tx.execute(
        "UPDATE sign_in_attempts SET failures = greatest(failures - 1, 0) WHERE bucket = %(bucket)s",
        {"bucket": _digest(bucket)},
    )


async def reset(tx: Transaction, bucket: str) -> None:
    """Forget every counted attempt of a bucket."""
    await tx.execute("DELETE FROM sign_in_attempts WHERE bucket = %(bucket)s", {"bucket": _digest(bucket)})


async def prune(tx: Transaction) -> int:
    """Delete counters whose window is over; returns how many."""
    return await tx.execute("DELETE FROM sign_in_attempts WHERE expires_at <= clock_timestamp()")


def _digest(bucket: str) -> bytes:
    return hashlib.sha256(bucket.encode()).digest()
