"""Turns events into state: pure functions, the same for an entity of PostgreSQL and for one read back from Parquet."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from store.event_types import SPECS, EventType, JsonObject
from store.upcasters import NewerSchema, upcast

REDUCER: Final = "fold-1"
"""Raise it whenever folding changes its result: snapshots of another reducer are never used."""


_CURRENT: Final = {kind.value: (spec.schema_version, spec.postable) for kind, spec in SPECS.items()}
"""What folding needs to know per event, without looking up the enumeration 100,000 times."""


def current_kinds(entity_type: str) -> list[str]:
    """Return the event types of an entity with the schema versions written today, each as `type:version`."""
    return [f"{kind}:{spec.schema_version}" for kind, spec in SPECS.items() if kind.entity == entity_type]


def reported(entity_type: str) -> bool:
    """Tell whether the events of an entity are clients' reports, which set all they say, not only their `changes`."""
    return any(spec.postable for kind, spec in SPECS.items() if kind.entity == entity_type)


@dataclass(slots=True)
class Fold:
    """The state of one entity after some of its events."""

    state: JsonObject = field(default_factory=dict[str, Any])
    version: int = 0
    created_at: datetime | None = None
    recorded_at: datetime | None = None
    deleted: bool = False
    applied: int = 0

    def apply(
        self, version: int, event_type: str, schema_version: int, recorded_at: datetime, payload: dict[str, Any]
    ) -> None:
        """Take in the next event; raises `NewerSchema` for one this release cannot read."""
        known = _CURRENT.get(event_type)
        if known is None or known[0] != schema_version:
            changes = changes_of(event_type, schema_version, payload)
        else:
            changes = payload if known[1] else payload["changes"]
        self.state.update(changes)
        self.deleted = "deleted" in payload
        self.version = version
        self.recorded_at = recorded_at
        if self.created_at is None:
            self.created_at = recorded_at
        self.applied += 1

    def absorb(self, later: "Fold") -> None:
        """Take in what later events of the same entity add up to."""
        if later.created_at is None:
            return
        self.state.update(later.state)
        self.version, self.recorded_at, self.deleted = later.version, later.recorded_at, later.deleted
        self.created_at = self.created_at or later.created_at
        self.applied += later.applied

    def result(self) -> JsonObject | None:
        """Return the state with its envelope, times in UTC ending in Z; None before the first event."""
        if self.created_at is None or self.recorded_at is None:
            return None
        state = {name: _zulu(value) if name.endswith("_at") else value for name, value in self.state.items()}
        return {
            **state,
            "version": self.version,
            "created_at": _text(self.created_at),
            "updated_at": _text(self.recorded_at),
        }


def changes_of(event_type: str, schema_version: int, payload: dict[str, Any]) -> dict[str, Any]:
    """Return what an event sets: its `changes`, or for what clients report, the report itself."""
    try:
        spec = SPECS[EventType(event_type)]
    except ValueError:
        raise NewerSchema(f"{event_type!r} is an event of a newer release. Upgrade this process.") from None
    if schema_version != spec.schema_version:
        payload = upcast(event_type, schema_version, payload, to=spec.schema_version)
    return payload if spec.postable else payload["changes"]


def _zulu(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return _text(datetime.fromisoformat(value)) if isinstance(value, str) else value


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
