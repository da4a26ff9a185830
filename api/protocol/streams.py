"""How the frames of a run become the events of a v1 stream."""

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import orjson

from api.protocol.operation import Stream
from api.runs.cursor import Cursor
from api.runs.wire import dumps
from api.streaming import event, joined
from store.frames import Frame

EVENTS = Stream(
    'event: metadata\r\ndata: {"run_id":"0197a5a2-7c05-7abc-8000-1234567890ab","attempt":1}\r\nid: 1\r\n\r\n'
    'event: values\r\ndata: {"objective":"Learn to bake bread"}\r\nid: 2\r\n\r\n'
    'event: end\r\ndata: {"status":"success"}\r\nid: 3\r\n\r\n'
)
"""What a stream of the first protocol looks like: an event for every chunk, named by its stream mode."""
_ALWAYS = frozenset({"metadata", "error", "end"})
_SAME_IN_V1 = frozenset({"values", "updates", "custom", "tasks"})
_EVENTS_OF = {
    "messages-tuple": ("messages",),
    "messages": ("messages/metadata", "messages/partial", "messages/complete"),
}


def wanted_events(modes: Collection[str]) -> frozenset[str] | None:
    """Return the event names a list of stream modes stands for; None means all."""
    if not modes:
        return None
    return _ALWAYS.union(*(_EVENTS_OF.get(mode, (mode,)) for mode in modes))


def as_v1(frame: Frame) -> Frame | None:
    """Return a row as v1 shows it; rows of runs started with v2 where there is an equal, None where there is none."""
    if not frame.event.startswith("@"):
        return frame
    data: Any = orjson.loads(frame.data)["data"]
    if frame.event[1:] in _SAME_IN_V1:
        return replace(frame, event=frame.event[1:], data=dumps(data))
    if frame.event == "@lifecycle" and data["event"] == "running":
        return replace(frame, event="metadata", data=dumps({key: data[key] for key in ("run_id", "attempt")}))
    return None


def sent(frame: Frame) -> bytes:
    """Return one frame as an event; its id is its place in the thread's log, the same on every connection."""
    name = f"{frame.event}|{frame.namespace}" if frame.namespace else frame.event
    return event(name, frame.data, frame.seq)


async def run_events(
    cursor: Cursor, run_id: str, *, subgraphs: bool, events: frozenset[str] | None = None
) -> AsyncGenerator[bytes]:
    """Yield the events of one run until its end, as many at a time as are ready."""
    async with aclosing(cursor.of_run(run_id)) as batches:
        async for batch in batches:
            body = joined(
                sent(frame)
                for frame in map(as_v1, batch)
                if frame is not None
                and (subgraphs or not frame.namespace)
                and (events is None or frame.event in events)
            )
            if body:
                yield body
