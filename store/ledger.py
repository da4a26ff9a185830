"""Exactly-once tool effects: the claim, the effect, its event and its result commit together, or not at all."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson
import psycopg
from psycopg.types.json import Jsonb

from store.database import Transaction
from store.errors import Conflict, StoreError, Unavailable
from store.event_types import JsonObject
from store.postgres_errors import translated


class CallKey(NamedTuple):
    """Names one tool call for ever: providers repeat tool call ids, forks change task ids, this stays the same."""

    thread_id: str
    ai_message_id: str
    call_index: int


@dataclass(frozen=True, slots=True)
class LedgerResult:
    """What the call came to. `replayed` is true when it had happened before and nothing happened now."""

    status: Literal["done", "error"]
    result: JsonObject
    replayed: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    args_hash: str
    status: Literal["claimed", "done", "error"]
    result: dict[str, Any] | None


async def once(
    tx: Transaction, key: CallKey, *, tool: str, args: JsonObject, effect: Callable[[], Awaitable[JsonObject]]
) -> LedgerResult:
    """Run `effect` unless this call is in the ledger, and store what it returned or why it was refused.

    A refusal of the store or of PostgreSQL rolls the effect's savepoint back and becomes a stored result of status
    "error"; any other exception, and a database that is away, leaves no trace, so the call may be tried again.
    Two runners of one call wait for each other at the primary key. Raises `Conflict` when the same call comes back
    with other arguments.
    """
    args_hash = hashlib.sha256(orjson.dumps([tool, args], option=orjson.OPT_SORT_KEYS)).hexdigest()
    claimed = await tx.execute(
        "INSERT INTO tool_ledger (thread_id, ai_message_id, call_index, user_id, tool_call_id, tool, args_hash, status,"
        " run_id, checkpoint_id) VALUES (%s, %s, %s, %s, %s, %s, %s, 'claimed', %s, %s)"
        " ON CONFLICT (thread_id, ai_message_id, call_index) DO NOTHING",
        [*key, tx.principal.user_id, tx.origin.tool_call_id, tool, args_hash, tx.origin.run_id,
         tx.origin.checkpoint_id],
    )  # fmt: skip
    if not claimed:
        return await _stored(tx, key, args_hash)
    status: Literal["done", "error"] = "done"
    result: JsonObject
    try:
        async with tx.savepoint():
            result = await effect()
    except (StoreError, psycopg.Error) as error:
        refusal = translated(error) if isinstance(error, psycopg.Error) else error
        if isinstance(refusal, Unavailable) or not isinstance(refusal, StoreError):
            raise
        status, result = "error", {"error": str(refusal)}
    await tx.execute(
        "UPDATE tool_ledger SET status = %s, result = %s"
        " WHERE thread_id = %s AND ai_message_id = %s AND call_index = %s AND user_id = %s",
        [status, Jsonb(result), *key, tx.principal.user_id],
    )
    return LedgerResult(status, result, replayed=False)


async def find(tx: Transaction, key: CallKey) -> LedgerResult | None:
    """Return what a call came to, or None when it never happened."""
    entry = await _entry(tx, key)
    if entry is None or entry.status == "claimed" or entry.result is None:
        return None
    return LedgerResult(entry.status, entry.result, replayed=True)


async def _stored(tx: Transaction, key: CallKey, args_hash: str) -> LedgerResult:
    entry = await _entry(tx, key)
    if entry is None or entry.result is None or entry.status == "claimed":
        raise Conflict("This tool call belongs to somebody else's thread.")
    if entry.args_hash != args_hash:
        raise Conflict("This tool call happened before with other arguments; make a new call instead.")
    return LedgerResult(entry.status, entry.result, replayed=True)


async def _entry(tx: Transaction, key: CallKey) -> _Entry | None:
    return await tx.fetch_one(
        "SELECT args_hash, status, result FROM tool_ledger"
        " WHERE thread_id = %s AND ai_message_id = %s AND call_index = %s AND user_id = %s",
        [*key, tx.principal.user_id],
        row=_Entry,
    )
