"""One event as a RabbitMQ message: routing key, CloudEvents headers and JSON body, and back again."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson
from aio_pika import DeliveryMode, Message

from store.errors import StoreError
from store.event_rows import SequencedEvent

EXCHANGE = "goals.events"
LOG_QUEUE = "goals.events.log"
DEAD_EXCHANGE = "goals.events.dead"
DEAD_QUEUE = "goals.events.dead"
MAX_WORD = 120


class Malformed(StoreError):
    """The message is not an event of this service."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event as a consumer sees it."""

    position: int
    epoch: int
    late: bool
    """True for an event that had been parked: it comes after others with higher positions."""
    id: UUID
    type: str
    entity_type: str
    entity_id: str
    entity_version: int
    schema_version: int
    recorded_at: datetime
    user_id: str
    actor: str
    payload: dict[str, Any]
    body: dict[str, Any]
    """The whole message."""


def user_word(user_id: str) -> str:
    """Return `user_id` as one word of a routing key: what has a meaning in patterns is percent-encoded."""
    word = quote(user_id, safe="").replace(".", "%2E") or "-"
    return word if len(word) <= MAX_WORD else hashlib.sha256(user_id.encode()).hexdigest()


def routing_key(event: SequencedEvent) -> str:
    """Return `<entity>.<event>.<user>`, e.g. `goal.progress_updated.ada`."""
    return f"{event.type}.{user_word(event.user_id)}"


def to_message(event: SequencedEvent, epoch: int, *, late: bool = False) -> Message:
    """Return the persistent message of an event; the same event gives the same message whenever it is sent again."""
    headers: dict[str, Any] = {
        "ce-specversion": "1.0",
        "ce-id": str(event.id),
        "ce-type": event.type,
        "ce-source": f"/goals/{event.entity_type}",
        "ce-subject": quote(event.entity_id, safe=""),
        "ce-time": event.recorded_at.isoformat().replace("+00:00", "Z"),
        "ce-sequence": f"{event.position:020}",
        "position": event.position,
        "epoch": epoch,
        "entity_version": event.entity_version,
        "schema_version": event.schema_version,
    }
    if late:
        headers["late"] = True
    return Message(
        _body(event, epoch),
        headers=headers,
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=str(event.id),
        correlation_id=str(event.correlation_id),
        timestamp=event.recorded_at,
        type=event.type,
        app_id="goals",
    )


def from_message(body: bytes, headers: Mapping[str, Any]) -> ReceivedEvent:
    """Return the event in a message; raises `Malformed` for anything else."""
    try:
        parsed: dict[str, Any] = orjson.loads(body)
        return ReceivedEvent(
            position=int(parsed["position"]),
            epoch=int(parsed["epoch"]),
            late=bool(headers.get("late")),
            id=UUID(parsed["id"]),
            type=str(parsed["type"]),
            entity_type=str(parsed["entity_type"]),
            entity_id=str(parsed["entity_id"]),
            entity_version=int(parsed["entity_version"]),
            schema_version=int(parsed["schema_version"]),
            recorded_at=datetime.fromisoformat(parsed["recorded_at"]),
            user_id=str(parsed["user_id"]),
            actor=str(parsed["actor"]),
            payload=dict(parsed["payload"]),
            body=parsed,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(f"Not an event: {error!r}") from error


def _body(event: SequencedEvent, epoch: int) -> bytes:
    return orjson.dumps(
        {
            "position": event.position,
            "epoch": epoch,
            "sequenced_at": event.sequenced_at,
            "id": event.id,
            "type": event.type,
            "entity_type": event.entity_type,
            "entity_id": event.entity_id,
            "entity_version": event.entity_version,
            "schema_version": event.schema_version,
            "occurred_at": event.occurred_at,
            "recorded_at": event.recorded_at,
            "actor": event.actor,
            "user_id": event.user_id,
            "thread_id": event.thread_id,
            "run_id": event.run_id,
            "checkpoint_id": event.checkpoint_id,
            "tool_call_id": event.tool_call_id,
            "correlation_id": event.correlation_id,
            "causation_id": event.causation_id,
            "payload": orjson.Fragment(event.payload_json),
            "metadata": orjson.Fragment(event.metadata_json),
        }
    )
