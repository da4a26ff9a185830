"""Records one event beside every change, in the same statement as the change itself."""

from collections.abc import Mapping
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from store.database import Transaction
from store.event_types import SPECS, EventType, check_payload
from store.types import new_id

_RECORD: LiteralString = """,
recorded AS (
    INSERT INTO events (
        id, entity_type, entity_id, entity_version, type, schema_version, occurred_at, recorded_at, actor, user_id,
        thread_id, run_id, checkpoint_id, tool_call_id, correlation_id, causation_id, command_key, payload, metadata)
    SELECT
        %(event_id)s, %(entity_type)s, changed.id::text, changed.version, %(event_type)s, %(schema_version)s,
        changed.updated_at, changed.updated_at, %(actor)s, changed."""

_RECORD_REST: LiteralString = """,
        %(thread_id)s, %(run_id)s, %(checkpoint_id)s, %(tool_call_id)s, %(correlation_id)s, %(causation_id)s,
        %(command_key)s, """

_RECORD_END: LiteralString = """, %(metadata)s
    FROM changed
)
"""


def recording(owner: LiteralString, payload: LiteralString = "%(payload)s") -> LiteralString:
    """Return the CTE that records the event of a CTE named `changed`, whose column `owner` names whom it belongs to.

    `changed` must have `id`, `version` (already raised) and `updated_at`; the parameters come from `envelope`.
    `payload` is another expression for statements that decide part of the payload themselves.
    """
    return _RECORD + owner + _RECORD_REST + payload + _RECORD_END


def envelope(tx: Transaction, event_type: EventType, changes: Mapping[str, object], **more: object) -> dict[str, Any]:
    """Return the parameters of a recording statement: the checked payload and where the change came from.

    Raises `PayloadRejected` for what could not be stored or never be read again.
    """
    origin = tx.origin
    key = origin.command_key
    if key is not None and tx.events_recorded:
        key = f"{key}#{tx.events_recorded}"
    tx.events_recorded += 1
    return {
        "event_id": new_id(),
        "entity_type": event_type.entity,
        "event_type": event_type.value,
        "schema_version": SPECS[event_type].schema_version,
        "actor": tx.principal.user_id,
        "thread_id": origin.thread_id,
        "run_id": origin.run_id,
        "checkpoint_id": origin.checkpoint_id,
        "tool_call_id": origin.tool_call_id,
        "correlation_id": origin.correlation_id,
        "causation_id": origin.causation_id,
        "command_key": key,
        "payload": Jsonb(check_payload(event_type, {"changes": changes, **more})),
        "metadata": Jsonb({"channel": origin.channel, "role": tx.principal.role.value}),
    }
