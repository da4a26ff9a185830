"""Answers to POST requests, kept in the same transaction as what the request wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from psycopg.types.json import Jsonb

from store.database import Transaction
from store.errors import Conflict, Invalid


class StillRunning(Conflict):
    """A request with this Idempotency-Key is being carried out right now. Ask again in a moment."""


class KeyReused(Invalid):
    """This Idempotency-Key was used for another request. Use a new key for a new request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer, ready to be sent again."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Kept:
    request_hash: bytes
    status: int
    headers: dict[str, str]
    body: bytes


async def claim(tx: Transaction, owner: str, key: str, request_hash: bytes) -> Answer | None:
    """Take the key for this transaction; returns the answer if the request was carried out before.

    Raises `StillRunning` while another transaction holds the key, `KeyReused` if it answered a different request.
    The lock is advisory and ends with the transaction, so a request that failed or died leaves nothing to clean up.
    """
    free: bool = await tx.fetch_value(
        "SELECT pg_try_advisory_xact_lock(hashtextextended(%(owner)s || chr(31) || %(key)s, 14))",
        {"owner": owner, "key": key},
    )
    if not free:
        raise StillRunning
    kept = await tx.fetch_one(
        "SELECT request_hash, status, headers, body FROM idempotency_keys WHERE user_id = %(owner)s AND key = %(key)s",
        {"owner": owner, "key": key},
        row=_Kept,
    )
    if kept is None:
        return None
    if kept.request_hash != request_hash:
        raise KeyReused
    return Answer(kept.status, kept.headers, kept.body)


async def keep(tx: Transaction, owner: str, key: str, request_hash: bytes, answer: Answer) -> None:
    """Store the answer; it becomes visible if and only if the write does."""
    headers: Mapping[str, str] = answer.headers
    await tx.execute(
        """
        INSERT INTO idempotency_keys (user_id, key, request_hash, status, headers, body)
        VALUES (%(owner)s, %(key)s, %(hash)s, %(status)s, %(headers)s, %(body)s)
        """,
        {
            "owner": owner,
            "key": key,
            "hash": request_hash,
            "status": answer.status,
            "headers": Jsonb(headers),
            "body": answer.body,
        },
    )


async def prune(tx: Transaction, *, older_than: timedelta = timedelta(hours=24)) -> int:
    """Delete answers older than a day; returns how many."""
    return await tx.execute(
        "DELETE FROM idempotency_keys WHERE created_at < clock_timestamp() - %(age)s", {"age": older_than}
    )
