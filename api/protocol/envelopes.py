"""How rows of the log become v2 envelopes: one row, one envelope, the same `seq` on every connection."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from api.protocol.operation import Stream
from api.runs.intake import many
from api.runs.wire import dumps, is_list, is_object
from api.schemas.runs import Envelope
from api.streaming import event, joined
from store.errors import Invalid
from store.frames import Frame

ENVELOPES = Stream(
    'event: lifecycle\r\ndata: {"type":"event","event_id":"1","seq":1,"method":"lifecycle","params":{"namespace":[],'
    '"timestamp":1795377600000,"data":{"event":"running"}}}\r\nid: 1\r\n\r\n',
    Envelope,
)
"""What a stream of the second protocol looks like: an envelope for every chunk, named by its channel."""
CHANNELS = frozenset({"values", "updates", "checkpoints", "messages", "tools", "custom", "lifecycle", "input", "tasks"})
_FROM_V1 = frozenset({"values", "updates", "custom"})


@dataclass(frozen=True, slots=True)
class Filter:
    """What one connection wants to see."""

    channels: frozenset[str]
    namespaces: tuple[tuple[str, ...], ...] = ((),)
    depth: int | None = None

    def takes(self, method: str, frame: Frame) -> bool:
        """Whether an envelope passes."""
        channel = "input" if method == "input.requested" else method
        if channel not in self.channels and not (channel == "custom" and self._named(frame)):
            return False
        space = tuple(frame.namespace.split("|")) if frame.namespace else ()
        return any(
            _is_under(space, prefix) and (self.depth is None or len(space) - len(prefix) <= self.depth)
            for prefix in self.namespaces
        )

    def _named(self, frame: Frame) -> bool:
        names = {channel[7:] for channel in self.channels if channel.startswith("custom:")}
        if not names:
            return False
        body = orjson.loads(frame.data)
        data = body.get("data") if frame.event == "@custom" else body
        return is_object(data) and data.get("name") in names


def _is_under(space: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    """Whether a namespace lies under a path; a step of the path may leave out the part that each run makes up."""
    return len(prefix) <= len(space) and all(
        given == actual or given == actual.partition(":")[0] for given, actual in zip(prefix, space, strict=False)
    )


def filter_of(body: dict[str, Any]) -> Filter:
    """Return the filter a request describes; raises Invalid."""
    channels = many(body.get("channels"))
    if not channels:
        raise Invalid("'channels' must name at least one channel.")
    for channel in channels:
        if channel not in CHANNELS and not (channel.startswith("custom:") and len(channel) > 7):
            raise Invalid(f"Unknown channel {channel!r}. Choose from: {', '.join(sorted(CHANNELS))}, custom:<name>.")
    depth: object = body.get("depth")
    if depth is not None and (not isinstance(depth, int) or depth < 0):
        raise Invalid("'depth' must be a whole number.")
    return Filter(frozenset(channels), _namespaces(body.get("namespaces")), depth)


def _namespaces(value: object) -> tuple[tuple[str, ...], ...]:
    if value is None:
        return ((),)
    if not is_list(value) or not all(is_list(path) for path in value):
        raise Invalid("'namespaces' must be a list of lists of names.")
    return tuple(tuple(str(part) for part in path) for path in value if is_list(path)) or ((),)


def envelope(frame: Frame) -> tuple[str, str] | None:
    """Return (method, params as JSON text) of a row, or None for rows that only v1 shows."""
    if frame.event.startswith("@"):
        return frame.event[1:], frame.data
    if frame.event == "end":
        return "lifecycle", _ended(orjson.loads(frame.data))
    if frame.event == "metadata":
        return "lifecycle", '{"namespace":[],"timestamp":0,"data":{"event":"running"}}'
    if frame.event in _FROM_V1:
        space = dumps(frame.namespace.split("|") if frame.namespace else [])
        return frame.event, f'{{"namespace":{space},"timestamp":0,"data":{frame.data}}}'
    return None


def _ended(ending: dict[str, Any]) -> str:
    data: dict[str, Any] = {"event": "completed"}
    if ending["status"] in ("error", "timeout"):
        data = {"event": "failed", "error": ending.get("error", "The run failed.")}
    elif ending["status"] == "interrupted":
        # Stopped by its client. To clients "interrupted" means a question is open, and some wait for ever behind it.
        data["reason"] = "cancelled"
    elif ending.get("waits"):
        data = {"event": "interrupted"}
    if "graph_name" in ending:
        data["graph_name"] = ending["graph_name"]
    return dumps({"namespace": [], "timestamp": ending.get("at", 0), "data": data})


def _shown(batch: Sequence[Frame], wanted: Filter) -> bytes:
    return joined(
        event(found[0], text_of(frame, *found), frame.seq)
        for frame in batch
        if (found := envelope(frame)) and wanted.takes(found[0], frame)
    )


def text_of(frame: Frame, method: str, params: str) -> str:
    """Return the whole envelope of a row as JSON text."""
    head = f'{{"type":"event","event_id":"{frame.seq}","seq":{frame.seq},"method":"{method}","params":'
    return f"{head}{params}}}"


async def thread_events(frames: AsyncGenerator[list[Frame]], wanted: Filter) -> AsyncGenerator[bytes]:
    """Yield the envelopes of a thread's frames."""
    async with aclosing(frames) as batches:
        async for batch in batches:
            if body := _shown(batch, wanted):
                yield body
