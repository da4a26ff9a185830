"""Events as they are read: one dataclass, its columns, and the digest that proves two copies equal."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import orjson

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class _Envelope:
    """What every event says about itself, besides its content."""

    id: UUID
    entity_type: str
    entity_id: str
    entity_version: int
    type: str
    schema_version: int
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    user_id: str
    thread_id: str | None
    run_id: str | None
    checkpoint_id: str | None
    tool_call_id: str | None
    correlation_id: UUID
    causation_id: UUID | None
    command_key: str | None


_ENVELOPE = tuple(field.name for field in fields(_Envelope))


@dataclass(frozen=True, kw_only=True)
class Event(_Envelope):
    """One committed change. `position` is None until the sequencer has seen it, a moment after the commit."""

    payload: dict[str, Any]
    metadata: dict[str, Any]
    position: int | None = None
    sequenced_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class SequencedEvent(_Envelope):
    """One event with its place in the total order, as every sink receives it.

    The JSON texts stay exactly as PostgreSQL gave them out, so that digests of all copies agree.
    """

    position: int
    sequenced_at: datetime
    payload_json: str
    metadata_json: str

    @property
    def payload(self) -> dict[str, Any]:
        """The payload as stored; `store.upcasters` lifts older schema versions."""
        return orjson.loads(self.payload_json)

    @property
    def metadata(self) -> dict[str, Any]:
        return orjson.loads(self.metadata_json)

    def as_event(self) -> Event:
        """Return the same event with its JSON parsed."""
        own = {name: getattr(self, name) for name in _ENVELOPE}
        place = {"position": self.position, "sequenced_at": self.sequenced_at}
        return Event(payload=self.payload, metadata=self.metadata, **place, **own)


SEQUENCED: LiteralString = """
    l.position, l.sequenced_at, e.id, e.entity_type, e.entity_id, e.entity_version, e.type, e.schema_version,
    e.occurred_at, e.recorded_at, e.actor, e.user_id, e.thread_id, e.run_id, e.checkpoint_id, e.tool_call_id,
    e.correlation_id, e.causation_id, e.command_key, e.payload::text AS payload_json, e.metadata::text AS metadata_json
"""
"""Columns of a `SequencedEvent` from `event_log AS l JOIN events AS e`."""

CONTENT_DIGEST: LiteralString = r"""
    sha256(convert_to(concat_ws(E'\x1f',
        e.id, e.entity_type, e.entity_id, e.entity_version, e.type, e.schema_version,
        (extract(epoch FROM e.occurred_at) * 1000000)::bigint, (extract(epoch FROM e.recorded_at) * 1000000)::bigint,
        e.actor, e.user_id, coalesce(e.thread_id, ''), coalesce(e.run_id, ''), coalesce(e.checkpoint_id, ''),
        coalesce(e.tool_call_id, ''), e.correlation_id, coalesce(e.causation_id::text, ''), coalesce(e.command_key, ''),
        e.payload::text, e.metadata::text), 'UTF8'))
"""
"""SQL twin of `content_digest`: the same 32 bytes for the row `e` of `events`."""


def content_digest(event: SequencedEvent) -> bytes:
    """Return the SHA-256 of everything the event says; its place in the order is not part of it."""
    parts = (
        event.id,
        event.entity_type,
        event.entity_id,
        event.entity_version,
        event.type,
        event.schema_version,
        (event.occurred_at - _EPOCH) // _MICROSECOND,
        (event.recorded_at - _EPOCH) // _MICROSECOND,
        event.actor,
        event.user_id,
        event.thread_id or "",
        event.run_id or "",
        event.checkpoint_id or "",
        event.tool_call_id or "",
        event.correlation_id,
        event.causation_id or "",
        event.command_key or "",
        event.payload_json,
        event.metadata_json,
    )
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()


def chain(previous: bytes, leaves: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the digest of a batch: what came before, then every (position, content digest) in order."""
    digest = hashlib.sha256(previous)
    for position, content in leaves:
        digest.update(position.to_bytes(8, "big") + content)
    return digest.digest()
