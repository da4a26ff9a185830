"""The append-only log of what runs said: every stream, first, joined or resumed, is a cursor over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from store.database import Transaction

PAGE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a run. `seq` counts per thread, without gaps, and is the id on every wire."""

    seq: int
    run_id: str
    event: str
    namespace: str
    data: str
    """JSON text, stored as it is sent."""


class Lease(NamedTuple):
    """The right to write for a run: void once somebody else has claimed it."""

    run_id: str
    epoch: str


async def append(tx: Transaction, frames: Sequence[Frame], leases: Sequence[Lease], sender: str) -> set[str]:
    """Write frames of many runs at once; return the runs whose lease still holds, whose frames alone were written.

    The rows of the runs are locked until the commit: no second owner can appear in between. Writing the same frames
    again does nothing, so a commit whose answer got lost can be repeated. `sender` goes into the notification, by
    which a process knows its own.
    """
    rows = await tx.connection.execute(
        """
        WITH held AS (
            SELECT r.run_id, r.thread_id, r.user_id
            FROM runs AS r JOIN unnest(%(runs)s::text[], %(epochs)s::text[]) AS l (run_id, epoch)
              ON r.run_id = l.run_id AND r.epoch = l.epoch
            WHERE r.status = 'running'
            ORDER BY r.run_id FOR SHARE OF r
        ), written AS (
            INSERT INTO run_frames (thread_id, seq, run_id, user_id, event, namespace, data)
            SELECT h.thread_id, f.seq, f.run_id, h.user_id, f.event, f.namespace, f.data::text
            FROM json_to_recordset(%(frames)s::json)
                AS f (seq bigint, run_id text, event text, namespace text, data json)
            JOIN held AS h ON h.run_id = f.run_id
            ON CONFLICT (thread_id, seq) DO NOTHING
        )
        SELECT run_id, pg_notify('run_frames', thread_id || ' ' || %(sender)s) FROM held
        """,
        {
            "runs": [lease.run_id for lease in leases],
            "epochs": [lease.epoch for lease in leases],
            "frames": as_json(frames),
            "sender": sender,
        },
    )
    return {str(row[0]) for row in await rows.fetchall()}


def as_json(frames: Sequence[Frame]) -> str:
    """Return frames as one JSON text, for `json_to_recordset`."""
    # One JSON text, into which the frames go as they are: as arrays they took a quarter of the process's CPU, because
    # psycopg escapes an array element by element. PostgreSQL's json type gives the text back unchanged.
    heads: dict[tuple[str, str, str], str] = {}
    parts: list[str] = []
    for frame in frames:
        key = (frame.run_id, frame.event, frame.namespace)
        head = heads.get(key)
        if head is None:
            named = orjson.dumps({"run_id": frame.run_id, "event": frame.event, "namespace": frame.namespace})
            head = heads[key] = named.decode()[:-1]
        parts.append(f'{head},"seq":{frame.seq},"data":{frame.data}}}')
    return f"[{','.join(parts)}]"


async def last_seq(tx: Transaction, thread_id: str) -> int:
    """Return the highest frame number the thread has ever used."""
    seq: int | None = await tx.fetch_value(
        """
        SELECT greatest(
            (SELECT max(seq) FROM run_frames WHERE thread_id = %(thread)s),
            (SELECT frame_seq FROM threads WHERE thread_id = %(thread)s), 0)
        """,
        {"thread": thread_id},
    )
    return seq or 0


async def of_thread(tx: Transaction, thread_id: str, *, after: int, limit: int = 500) -> list[Frame]:
    """Return the frames of a thread that follow `after`, oldest first: a page of them, at least one if there is one.

    A page ends where it grows big: a reader that stalls holds it.
    """
    return await tx.fetch_all(
        """
        SELECT seq, run_id, event, namespace, data
        FROM (
            SELECT next.*, sum(octet_length(data)) OVER (ORDER BY seq) - octet_length(data) AS before
            FROM (
                SELECT seq, run_id, event, namespace, data FROM run_frames
                WHERE thread_id = %s AND seq > %s ORDER BY seq LIMIT %s
            ) AS next
        ) AS page
        WHERE before < %s ORDER BY seq
        """,
        (thread_id, after, limit, PAGE_BYTES),
        row=Frame,
    )


async def first_of_run(tx: Transaction, thread_id: str, run_id: str) -> int | None:
    """Return the number of a run's first frame, or None while it has none."""
    seq: int | None = await tx.fetch_value(
        "SELECT seq FROM run_frames WHERE thread_id = %s AND run_id = %s ORDER BY seq LIMIT 1", (thread_id, run_id)
    )
    return seq


async def last_of_run(tx: Transaction, thread_id: str, run_id: str, event: str) -> Frame | None:
    """Return the newest root frame of one kind, say a run's end."""
    return await tx.fetch_one(
        """
        SELECT seq, run_id, event, namespace, data FROM run_frames
        WHERE thread_id = %s AND run_id = %s AND event = %s AND namespace = '' ORDER BY seq DESC LIMIT 1
        """,
        (thread_id, run_id, event),
        row=Frame,
    )


async def of_kinds(tx: Transaction, thread_id: str, run_id: str, events: Sequence[str]) -> list[Frame]:
    """Return a run's frames of some kinds, oldest first."""
    return await tx.fetch_all(
        """
        SELECT seq, run_id, event, namespace, data FROM run_frames
        WHERE thread_id = %s AND run_id = %s AND event = ANY (%s) ORDER BY seq
        """,
        (thread_id, run_id, list(events)),
        row=Frame,
    )


async def note(tx: Transaction, thread_id: str, event: str, data: str, sender: str) -> None:
    """Append a frame that belongs to no run. The thread must be locked and idle, and `tx` the service's."""
    await tx.execute(
        """
        WITH placed AS (
            UPDATE threads AS t SET frame_seq = 1 + greatest(t.frame_seq,
                (SELECT max(seq) FROM run_frames AS f WHERE f.thread_id = t.thread_id))
            WHERE thread_id = %(thread)s RETURNING thread_id, frame_seq, user_id
        ), written AS (
            INSERT INTO run_frames (thread_id, seq, run_id, user_id, event, data)
            SELECT thread_id, frame_seq, '', user_id, %(event)s, %(data)s FROM placed
        )
        SELECT pg_notify('run_frames', thread_id || ' ' || %(sender)s) FROM placed
        """,
        {"thread": thread_id, "event": event, "data": data, "sender": sender},
    )
