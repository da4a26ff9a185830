"""How the frames of a run become the events of a v1 stream."""

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing

from api.runs.cursor import Cursor
from api.streaming import event, joined
from store.frames import Frame

_ALWAYS = frozenset({"metadata", "error", "end"})
_EVENTS_OF = {
    "messages-tuple": ("messages",),
    "messages": ("messages/metadata", "messages/partial", "messages/complete"),
}


def wanted_events(modes: Collection[str]) -> frozenset[str] | None:
    """Return the event names a list of stream modes stands for; None means all."""
    if not modes:
        return None
    return _ALWAYS.union(*(_EVENTS_OF.get(mode, (mode,)) for mode in modes))


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
                for frame in batch
                if (subgraphs or not frame.namespace) and (events is None or frame.event in events)
            )
            if body:
                yield body
