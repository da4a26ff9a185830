"""The registry of event types: their names, schema versions, payload models, and the check every payload passes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import TypeAlias, cast
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError

from store import event_payloads as payloads
from store.errors import PayloadRejected
from store.upcasters import upcast

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]

MAX_DEPTH = 64
MAX_BYTES = 2 * 1024 * 1024
"""A snapshot of 256 KiB of code and its diff, escaped as JSON, fits; a runaway tool result does not."""
MAX_POSTED_BYTES = 64 * 1024
_INT64 = 2**63


class EventType(StrEnum):
    """Every name an event can have: `<entity>.<what happened to it>`."""

    USER_REGISTERED = "user.registered"
    USER_UPDATED = "user.updated"
    USER_DEACTIVATED = "user.deactivated"
    USER_ERASED = "user.erased"
    COURSE_CREATED = "course.created"
    COURSE_UPDATED = "course.updated"
    COURSE_PUBLISHED = "course.published"
    COURSE_ARCHIVED = "course.archived"
    COURSE_VISIBILITY_CHANGED = "course.visibility_changed"
    ENROLLMENT_CREATED = "enrollment.created"
    ENROLLMENT_DELETED = "enrollment.deleted"
    GOAL_CREATED = "goal.created"
    GOAL_UPDATED = "goal.updated"
    GOAL_PROGRESS_UPDATED = "goal.progress_updated"
    GOAL_STARTED = "goal.started"
    GOAL_PAUSED = "goal.paused"
    GOAL_COMPLETED = "goal.completed"
    GOAL_CANCELLED = "goal.cancelled"
    GOAL_REOPENED = "goal.reopened"
    GOAL_VISIBILITY_CHANGED = "goal.visibility_changed"
    GOAL_DELETED = "goal.deleted"
    TASK_CREATED = "task.created"
    TASK_UPDATED = "task.updated"
    TASK_STARTED = "task.started"
    TASK_BLOCKED = "task.blocked"
    TASK_COMPLETED = "task.completed"
    TASK_CANCELLED = "task.cancelled"
    TASK_REOPENED = "task.reopened"
    TASK_VISIBILITY_CHANGED = "task.visibility_changed"
    TASK_DELETED = "task.deleted"
    CODE_SNAPSHOT_CREATED = "code_snapshot.created"
    CODE_SNAPSHOT_UPDATED = "code_snapshot.updated"
    CODE_SNAPSHOT_VALIDATED = "code_snapshot.validated"
    CODE_SNAPSHOT_VISIBILITY_CHANGED = "code_snapshot.visibility_changed"
    CODE_SNAPSHOT_DELETED = "code_snapshot.deleted"
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    HINT_VIEWED = "hint.viewed"
    TEST_RUN_REPORTED = "test_run.reported"
    NOTE_ADDED = "note.added"

    @property
    def entity(self) -> str:
        """The entity part of the name, e.g. `goal`."""
        return self.value.partition(".")[0]


@dataclass(frozen=True, slots=True)
class EventSpec:
    """What the service knows about one event type."""

    payload: type[BaseModel]
    schema_version: int = 1
    """The version written today; older ones are lifted by `store.upcasters` when read."""
    postable: bool = False
    """True when a client may report it through `POST /events`; all others are recorded by the store itself."""


def _posted(model: type[BaseModel], schema_version: int = 1) -> EventSpec:
    return EventSpec(model, schema_version, postable=True)


SPECS: Mapping[EventType, EventSpec] = {
    **{kind: EventSpec(payloads.BY_ENTITY[kind.entity]) for kind in EventType if kind.entity in payloads.BY_ENTITY},
    EventType.GOAL_DELETED: EventSpec(payloads.Deleted),
    EventType.TASK_DELETED: EventSpec(payloads.Deleted),
    EventType.CODE_SNAPSHOT_DELETED: EventSpec(payloads.Deleted),
    EventType.ENROLLMENT_DELETED: EventSpec(payloads.Deleted),
    EventType.USER_ERASED: EventSpec(payloads.Deleted),
    EventType.SESSION_STARTED: _posted(payloads.SessionStarted),
    EventType.SESSION_ENDED: _posted(payloads.SessionEnded),
    EventType.HINT_VIEWED: _posted(payloads.HintViewed),
    EventType.TEST_RUN_REPORTED: _posted(payloads.TestRunReported, schema_version=2),
    EventType.NOTE_ADDED: _posted(payloads.NoteAdded),
}

POSTABLE: frozenset[EventType] = frozenset(kind for kind, spec in SPECS.items() if spec.postable)


def spec_of(event_type: str) -> EventSpec:
    """Return what is known about `event_type`; raises `PayloadRejected` for a name that is not registered."""
    try:
        return SPECS[EventType(event_type)]
    except ValueError:
        raise PayloadRejected(f"There is no event type {event_type!r}; see EventType for the known ones.") from None


def check_payload(event_type: str, payload: Mapping[str, object], schema_version: int | None = None) -> JsonObject:
    """Return `payload` as plain JSON, fit for jsonb and for every reader of the log.

    `schema_version` is for clients older than this service: their payload is judged after upcasting, stored as sent.
    Dates, uuids and enums become text. Raises `PayloadRejected`, naming the path, for what PostgreSQL would refuse
    in the middle of the user's transaction (NUL, lone surrogates, NaN) and for what it would store but no reader
    could load again (deep nesting, numbers out of range, values that fit no model of this event type).
    """
    spec = spec_of(event_type)
    clean = cast("JsonObject", _plain(payload, "payload", 0))
    limit = MAX_POSTED_BYTES if spec.postable else MAX_BYTES
    size = len(orjson.dumps(clean))
    if size > limit:
        raise PayloadRejected(f"The payload of {event_type} is {size} bytes; the limit is {limit}. Shorten its texts.")
    written = spec.schema_version if schema_version is None else schema_version
    if not 1 <= written <= spec.schema_version:
        raise PayloadRejected(f"{event_type} has schema versions 1 to {spec.schema_version}, not {written}.")
    try:
        spec.payload.model_validate(upcast(event_type, written, clean, to=spec.schema_version))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(["payload", *map(str, first["loc"])])
        raise PayloadRejected(f"The payload of {event_type} does not fit at {where}: {first['msg']}.") from error
    return clean


def check_text(text: str, where: str) -> str:
    """Return `text`, or raise `PayloadRejected` when PostgreSQL could not store it."""
    if "\x00" in text:
        raise PayloadRejected(f"{where} holds a NUL character; remove it.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PayloadRejected(f"{where} holds a lone surrogate; send valid Unicode.") from None
    return text


def _plain(value: object, where: str, depth: int) -> JsonValue:
    if depth > MAX_DEPTH:
        raise PayloadRejected(f"{where[:80]} is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, Mapping):
        return _plain_mapping(cast("Mapping[object, object]", value), where, depth)
    if isinstance(value, list | tuple):
        items = cast("list[object] | tuple[object, ...]", value)
        return [_plain(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(items)]
    return _scalar(value.value if isinstance(value, Enum) else value, where)


def _scalar(value: object, where: str) -> JsonValue:
    match value:
        case None | bool():
            return value
        case str():
            return check_text(value, where)
        case int():
            if not -_INT64 <= value < _INT64:
                raise PayloadRejected(f"{where} is outside the range of a 64-bit integer.")
            return value
        case float() | Decimal():
            return _finite(float(value), where)
        case datetime():
            if value.tzinfo is None:
                raise PayloadRejected(f"{where} is a time without a time zone.")
            return value.astimezone(UTC).isoformat()
        case date() | UUID():
            return str(value)
        case _:
            raise PayloadRejected(f"{where} is a {type(value).__name__}, which is not JSON.")


def _plain_mapping(value: Mapping[object, object], where: str, depth: int) -> JsonObject:
    result: JsonObject = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise PayloadRejected(f"{where} has a key that is not text.")
        result[check_text(key, f"a key of {where}")] = _plain(item, f"{where}.{key}", depth + 1)
    return result


def _finite(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise PayloadRejected(f"{where} is not a finite number.")
    return value
