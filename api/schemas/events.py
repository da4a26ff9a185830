"""Events as clients send and receive them."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from api.schemas.common import Body, Id, Identifier, Moment, Paging, Shown
from store.event_types import EventType

Postable = Literal["session.started", "session.ended", "hint.viewed", "test_run.reported", "note.added"]
"""What clients may report; a test holds it equal to `store.event_types.POSTABLE`."""
EntityType = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z_]+$")]

EXAMPLE: dict[str, Any] = {
    "id": "0197a5a2-7c04-7abc-8000-1234567890ab",
    "entity_type": "goal",
    "entity_id": "0197a5a2-7c00-7abc-8000-1234567890ab",
    "entity_version": 2,
    "type": "goal.progress_updated",
    "schema_version": 1,
    "occurred_at": "2026-01-31T12:00:00.000000Z",
    "recorded_at": "2026-01-31T12:00:00.000000Z",
    "actor": "user-0197a5a27c007abc8000",
    "user_id": "user-0197a5a27c007abc8000",
    "thread_id": None,
    "run_id": None,
    "checkpoint_id": None,
    "tool_call_id": None,
    "correlation_id": "0197a5a2-7c05-7abc-8000-1234567890ab",
    "causation_id": None,
    "command_key": None,
    "payload": {"changes": {"progress_percentage": 45.5}},
    "metadata": {"channel": "api", "role": "learner"},
    "position": 17,
    "sequenced_at": "2026-01-31T12:00:00.010000Z",
}


class EventCreate(Body):
    """Something that happened at the client; what happens to entities is recorded by the service itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "note.added",
                    "entity_id": "note-1",
                    "payload": {
                        "text": "Ask about status codes.",
                        "goal_id": "0197a5a2-7c00-7abc-8000-1234567890ab",
                    },
                }
            ]
        }
    )

    type: Postable
    entity_id: Annotated[str, Field(min_length=1, max_length=200)]
    """A stream of your own, such as one editing session; its events are numbered from 1."""
    payload: Annotated[dict[str, JsonValue], Field(max_length=50)]
    """What the type asks for; see the documentation of event types."""
    occurred_at: Moment | None = None
    """When it happened by your clock; left out, now."""
    schema_version: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Of the payload, for clients older than the service."""


class EventQuery(Paging):
    """Which events to list, newest first."""

    entity_type: EntityType | None = None
    entity_id: Identifier | None = None
    type: Annotated[EventType | None, Field(description="Only events of this type.")] = None
    run_id: Identifier | None = None
    correlation_id: Annotated[Id | None, Field(description="Only what one request caused.")] = None
    since: Annotated[Moment | None, Field(description="Recorded at or after this time.")] = None
    until: Annotated[Moment | None, Field(description="Recorded before this time.")] = None


class ReplayRequest(Body):
    """Which past to see: at a version, at a time, or at a position of the log; without any, the present."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "entity_type": "goal",
                    "entity_id": "0197a5a2-7c00-7abc-8000-1234567890ab",
                    "at": "2026-01-31T12:00:00Z",
                }
            ]
        }
    )

    entity_type: EntityType
    entity_id: Identifier
    version: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None
    at: Moment | None = None
    position: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if sum(bound is not None for bound in (self.version, self.at, self.position)) > 1:
            raise ValueError("give one of version, at and position")
        return self


class Event(Shown):
    """One recorded change."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: Id
    entity_type: str
    entity_id: str
    entity_version: int
    type: str
    schema_version: int
    occurred_at: Moment
    recorded_at: Moment
    actor: str
    user_id: str
    thread_id: str | None
    run_id: str | None
    checkpoint_id: str | None
    tool_call_id: str | None
    correlation_id: Id
    causation_id: Id | None
    command_key: str | None
    payload: dict[str, Any]
    metadata: dict[str, Any]
    position: int | None
    """Its place in the total order of all events; null for the moment until it has one."""
    sequenced_at: Moment | None


class Replayed(BaseModel):
    """An entity as it was."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "entity_type": "goal",
                    "entity_id": "0197a5a2-7c00-7abc-8000-1234567890ab",
                    "state": {"title": "Build REST API", "status": "in_progress", "progress_percentage": 45.5},
                    "version": 2,
                    "recorded_at": "2026-01-31T12:00:00.000000Z",
                    "deleted": False,
                    "events_applied": 2,
                    "snapshot_version": None,
                }
            ]
        },
    )

    entity_type: str
    entity_id: str
    state: dict[str, Any] | None
    """Null when it did not exist yet; the last state when it was deleted by then."""
    version: int
    recorded_at: Moment | None
    deleted: bool
    events_applied: int
    snapshot_version: int | None
    """Where the replay started; null when it folded from the first event."""
