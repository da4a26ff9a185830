"""Where a row came from: its events, the tool call behind each, the checkpoint and the run that made the call."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from store.database import Transaction
from store.types import EntityType


@dataclass(frozen=True, slots=True)
class Provenance:
    """One change of an entity and what caused it. The call's columns are None for changes no agent made."""

    version: int
    event_type: str
    recorded_at: datetime
    actor: str
    channel: str
    thread_id: str | None
    run_id: str | None
    checkpoint_id: str | None
    ai_message_id: str | None
    call_index: int | None
    tool_call_id: str | None
    tool: str | None
    outcome: str | None


async def of_entity(tx: Transaction, entity_type: EntityType, entity_id: str) -> Sequence[Provenance]:
    """Return every change of an entity of the caller's, oldest first; empty for one that is not theirs.

    Events of a call carry its lasting name as their command key, numbered when there are several.
    """
    return await tx.fetch_all(
        """
        SELECT e.entity_version AS version, e.type AS event_type, e.recorded_at, e.actor,
               e.metadata ->> 'channel' AS channel, e.thread_id, e.run_id, e.checkpoint_id,
               l.ai_message_id, l.call_index, l.tool_call_id, l.tool, l.status AS outcome
        FROM events AS e
        LEFT JOIN tool_ledger AS l
               ON l.thread_id = e.thread_id AND l.user_id = e.actor
              AND regexp_replace(e.command_key, '#[0-9]+$', '')
                  = concat_ws(':', l.thread_id, l.ai_message_id, l.call_index)
        WHERE e.entity_type = %s AND e.entity_id = %s AND e.user_id = %s
        ORDER BY e.entity_version
        """,
        [entity_type.value, entity_id, tx.principal.user_id],
        row=Provenance,
    )
