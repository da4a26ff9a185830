"""One timeline over two places: recent events in PostgreSQL, pruned ones in Parquet, under the caller's own rights."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import LiteralString

from store.database import Transaction
from store.errors import Unavailable
from store.event_rows import SEQUENCED, SequencedEvent
from store.lake import Lake
from store.principal import Principal
from store.rows import made
from store.types import Role

PAGE = 2000


@dataclass(frozen=True, slots=True)
class Kept:
    """Which versions of an entity the caller can see in PostgreSQL; `last` counts pruned ones too."""

    first: int
    last: int


def visible_owner(principal: Principal) -> str | None:
    """Return whose events the principal may see; None for the background role, which sees all.

    Row-level security says the same in PostgreSQL. Parquet has only this.
    """
    return None if principal.role is Role.SERVICE else principal.user_id


async def first_kept_version(tx: Transaction, entity_type: str, entity_id: str) -> Kept:
    """Return the versions still in PostgreSQL; `first` is one past `last` when all were pruned."""
    found = await tx.fetch_one(
        """
        SELECT coalesce(
                   (SELECT e.entity_version FROM events AS e
                    WHERE e.entity_type = %(type)s AND e.entity_id = %(id)s
                      AND (%(owner)s::text IS NULL OR e.user_id = %(owner)s)
                    ORDER BY e.entity_version LIMIT 1), s.last + 1, 1) AS first,
               greatest(
                   (SELECT e.entity_version FROM events AS e
                    WHERE e.entity_type = %(type)s AND e.entity_id = %(id)s
                      AND (%(owner)s::text IS NULL OR e.user_id = %(owner)s)
                    ORDER BY e.entity_version DESC LIMIT 1), s.last, 0) AS last
        FROM (SELECT max(version) AS last FROM entity_snapshots
              WHERE entity_type = %(type)s AND entity_id = %(id)s
                AND (%(owner)s::text IS NULL OR user_id = %(owner)s)) AS s
        """,
        {"type": entity_type, "id": entity_id, "owner": visible_owner(tx.principal)},
        row=Kept,
    )
    return found or Kept(1, 0)


async def pruned_to(tx: Transaction) -> int:
    """Return the position up to which events are in Parquet only."""
    found: int | None = await tx.fetch_value("SELECT pruned_to FROM event_head")
    return found or 0


async def of_entity(tx: Transaction, archive: Lake | None, entity_type: str, entity_id: str) -> list[SequencedEvent]:
    """Return the pruned events of an entity the caller may see, by version.

    Raises `Unavailable` without an archive: half a history would be a lie.
    """
    border = await pruned_to(tx)
    if border == 0:
        return []
    lake = _needed(archive)
    owner = visible_owner(tx.principal)

    def read() -> list[SequencedEvent]:
        found = lake.read(upto=border, entity=(entity_type, entity_id), user_id=owner)
        return sorted((event for events in found for event in events), key=lambda event: event.entity_version)

    return await asyncio.to_thread(read)


async def events_between(
    tx: Transaction, archive: Lake | None, *, after: int = 0, upto: int
) -> AsyncGenerator[SequencedEvent]:
    """Yield every event the caller may see in `(after, upto]`, in order of position, wherever it lies."""
    border = await pruned_to(tx)
    owner = visible_owner(tx.principal)
    if after < border:
        batches = _needed(archive).read(after=after, upto=min(upto, border), user_id=owner)
        while (events := await asyncio.to_thread(next, batches, None)) is not None:
            for event in events:
                yield event
    query: LiteralString = (
        "SELECT "
        + SEQUENCED
        + """
        FROM event_log AS l JOIN events AS e USING (seq)
        WHERE l.position > %(after)s AND l.position <= %(upto)s
          AND (%(owner)s::text IS NULL OR e.user_id = %(owner)s)
        ORDER BY l.position
        """
    )
    params = {"after": max(after, border), "upto": upto, "owner": owner}
    async with tx.connection.cursor(name="timeline", row_factory=made(SequencedEvent)) as cursor:
        await cursor.execute(query, params)
        while events := await cursor.fetchmany(PAGE):
            for event in events:
                yield event


def _needed(archive: Lake | None) -> Lake:
    if archive is None:
        raise Unavailable("Events of that time were moved to the Parquet lake, which is not open here.")
    return archive
