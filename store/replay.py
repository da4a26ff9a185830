"""Time travel: the state of one entity, or of everything the caller may see, at any past instant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from store.database import Transaction
from store.errors import Invalid, NotFound
from store.event_rows import SequencedEvent
from store.event_types import JsonObject
from store.folding import REDUCER, Fold
from store.kept_fold import fold_kept
from store.lake import Lake
from store.timeline import events_between, first_kept_version, of_entity, visible_owner


@dataclass(frozen=True, slots=True)
class Replayed:
    """An entity as it was."""

    entity_type: str
    entity_id: str
    state: JsonObject | None
    """None when it did not exist yet; the last state when it was deleted by then."""
    version: int
    recorded_at: datetime | None
    deleted: bool
    events_applied: int
    snapshot_version: int | None
    """Where the replay started, None when it folded from the first event."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How far to replay; None means no limit of that kind."""

    version: int | None = None
    at: datetime | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class _Snapshot:
    version: int
    recorded_at: datetime
    created_at: datetime
    deleted: bool
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SystemState:
    """Everything the caller could see at one position of the log."""

    position: int
    sequenced_at: datetime | None
    entities: list[Replayed]
    total: int


_SNAPSHOT: LiteralString = """
SELECT version, recorded_at, created_at, deleted, state FROM entity_snapshots
WHERE entity_type = %(type)s AND entity_id = %(id)s AND reducer = %(reducer)s
  AND (%(owner)s::text IS NULL OR user_id = %(owner)s)
  AND (%(version)s::bigint IS NULL OR version <= %(version)s)
  AND (%(at)s::timestamptz IS NULL OR recorded_at <= %(at)s)
  AND (%(position)s::bigint IS NULL OR position <= %(position)s)
ORDER BY version DESC LIMIT 1
"""


_CEILING: LiteralString = """
SELECT version FROM entity_snapshots
WHERE entity_type = %(type)s AND entity_id = %(id)s AND reducer = %(reducer)s
  AND (%(owner)s::text IS NULL OR user_id = %(owner)s)
  AND (recorded_at > %(at)s::timestamptz OR position > %(position)s::bigint)
ORDER BY version LIMIT 1
"""


async def replay(
    tx: Transaction,
    entity_type: str,
    entity_id: str,
    *,
    version: int | None = None,
    at: datetime | None = None,
    position: int | None = None,
    archive: Lake | None = None,
) -> Replayed:
    """Return an entity as it was at a version, at a recorded time, or at a position of the log; without any, as it is.

    Raises `NotFound` when the caller may see no event of it at all, `Invalid` when more than one bound is given.
    """
    if sum(bound is not None for bound in (version, at, position)) > 1:
        raise Invalid("Give one of version, at and position.")
    fold, snapshot_version = await fold_of(
        tx, entity_type, entity_id, version=version, at=at, position=position, archive=archive
    )
    return _replayed(entity_type, entity_id, fold, snapshot_version)


async def fold_of(
    tx: Transaction,
    entity_type: str,
    entity_id: str,
    *,
    version: int | None = None,
    at: datetime | None = None,
    position: int | None = None,
    archive: Lake | None = None,
) -> tuple[Fold, int | None]:
    """Return the folded events of an entity and the version of the snapshot the fold began with."""
    bound = Bound(version, at, position)
    kept = await first_kept_version(tx, entity_type, entity_id)
    if kept.last == 0:
        raise NotFound("There is no such entity for you.")
    params = _params(tx, entity_type, entity_id, bound)
    if at is not None or position is not None:
        # The next snapshot behind the moment ends the search; without it every later event would be looked at.
        params["version"] = await tx.fetch_value(_CEILING, params)
    snapshot = await tx.fetch_one(_SNAPSHOT, params, row=_Snapshot)
    fold = Fold() if snapshot is None else _from_snapshot(snapshot)
    if fold.version + 1 < kept.first:
        for event in await of_entity(tx, archive, entity_type, entity_id):
            if event.entity_version > fold.version and _within(event, bound):
                _apply(fold, event)
    await fold_kept(tx, fold, params)
    return fold, None if snapshot is None else snapshot.version


async def system_at(
    tx: Transaction,
    *,
    at: datetime | None = None,
    position: int | None = None,
    entity_types: frozenset[str] | None = None,
    skip: int = 0,
    limit: int = 50,
    archive: Lake | None = None,
) -> SystemState:
    """Return everything the caller could see as it was: at a time (the last cut before it) or at a position.

    One position is one consistent instant for all entities: what one transaction wrote together was cut together.
    """
    if (at is None) == (position is None):
        raise Invalid("Give either at or position.")
    batch = await _batch(tx, at, position)
    upto = (batch[0] if batch else 0) if position is None else position
    folds: dict[tuple[str, str], Fold] = {}
    async for event in events_between(tx, archive, upto=upto):
        if entity_types is None or event.entity_type in entity_types:
            _apply(folds.setdefault((event.entity_type, event.entity_id), Fold()), event)
    living = sorted(key for key, fold in folds.items() if not fold.deleted)
    shown = [_replayed(*key, folds[key], None) for key in living[skip : skip + limit]]
    return SystemState(upto, batch[1] if batch else None, shown, len(living))


async def _batch(tx: Transaction, at: datetime | None, position: int | None) -> tuple[int, datetime] | None:
    cursor = await tx.connection.execute(
        """
        SELECT last_position, sequenced_at FROM event_batches
        WHERE (%(at)s::timestamptz IS NULL OR sequenced_at <= %(at)s)
          AND (%(position)s::bigint IS NULL OR first_position <= %(position)s)
        ORDER BY batch_no DESC LIMIT 1
        """,
        {"at": at, "position": position},
    )
    return await cursor.fetchone()


def _params(tx: Transaction, entity_type: str, entity_id: str, bound: Bound) -> dict[str, Any]:
    return {
        "type": entity_type,
        "id": entity_id,
        "owner": visible_owner(tx.principal),
        "reducer": REDUCER,
        "version": bound.version,
        "at": bound.at,
        "position": bound.position,
    }


def _from_snapshot(snapshot: _Snapshot) -> Fold:
    return Fold(snapshot.state, snapshot.version, snapshot.created_at, snapshot.recorded_at, snapshot.deleted)


def _within(event: SequencedEvent, bound: Bound) -> bool:
    return (
        (bound.version is None or event.entity_version <= bound.version)
        and (bound.at is None or event.recorded_at <= bound.at)
        and (bound.position is None or event.position <= bound.position)
    )


def _apply(fold: Fold, event: SequencedEvent) -> None:
    fold.apply(event.entity_version, event.type, event.schema_version, event.recorded_at, event.payload)


def _replayed(entity_type: str, entity_id: str, fold: Fold, snapshot_version: int | None) -> Replayed:
    return Replayed(
        entity_type,
        entity_id,
        fold.result(),
        fold.version,
        fold.recorded_at,
        fold.deleted,
        fold.applied,
        snapshot_version,
    )
