"""Server-sent events with a fake server at the other end: head, heartbeat, slow readers, leaving, and the end."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from api import streaming
from api.streaming import EventStream, WaitingJson, event


class Wire:
    """What an ASGI server would see, and a client that may stall or leave."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.gone = asyncio.Event()
        self.stalled = asyncio.Event()
        self.stalled.set()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.stalled.wait()
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    async def serve(self, response: Any) -> None:
        async with asyncio.timeout(10):
            await response({"type": "http"}, self.receive, self.send)


async def said(*parts: bytes, then: float = 0.0) -> AsyncGenerator[bytes]:
    for part in parts:
        yield part
    await asyncio.sleep(then)


async def test_the_head_leaves_before_anything_is_said() -> None:
    wire = Wire()
    serving = asyncio.create_task(wire.serve(EventStream(said(then=60), headers={"location": "/here"})))
    await asyncio.sleep(0.05)
    head = wire.sent[0]
    assert head["status"] == 200
    assert (b"content-type", b"text/event-stream; charset=utf-8") in head["headers"]
    assert {(b"location", b"/here"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")} <= {
        *head["headers"]
    }
    wire.gone.set()
    await serving


async def test_events_and_the_end_of_the_body() -> None:
    wire = Wire()
    await wire.serve(EventStream(said(event("values", '{"a":1}', 7), event("end", "null"))))
    assert wire.body == b'event: values\r\ndata: {"a":1}\r\nid: 7\r\n\r\nevent: end\r\ndata: null\r\n\r\n'
    assert wire.sent[-1]["more_body"] is False


async def test_the_heart_beats_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.05)
    wire = Wire()
    await wire.serve(EventStream(said(then=0.28)))
    assert 3 <= wire.body.count(b": heartbeat\r\n\r\n") <= 6


async def test_a_reader_who_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SEND_SECONDS", 0.1)
    wire = Wire()
    left: list[str] = []

    async def gone() -> None:
        left.append("gone")

    async def endless() -> AsyncGenerator[bytes]:
        yield b"one"
        wire.stalled.clear()
        yield b"two"

    await wire.serve(EventStream(endless(), gone=gone))
    assert left == ["gone"]
    assert wire.body == b"one"


class Reluctant(Wire):
    """A client that takes one piece whenever it is asked to, and no more."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message.get("body"):
            self.stalled.clear()


async def test_a_long_body_goes_out_in_pieces_a_stalled_reader_holds_one_of() -> None:
    wire = Reluctant()
    body = bytes(range(256)) * 2000
    serving = asyncio.create_task(wire.serve(EventStream(said(body, b"the end"))))
    await asyncio.sleep(0.05)
    assert len(wire.body) == streaming.PIECE_BYTES
    while not serving.done():
        wire.stalled.set()
        await asyncio.sleep(0)
    await serving
    assert wire.body == body + b"the end"
    assert [message["more_body"] for message in wire.sent[1:]].count(False) == 1


async def test_leaving_is_noticed_and_closes_the_source() -> None:
    wire = Wire()
    left: list[str] = []

    async def gone() -> None:
        left.append("gone")

    async def source() -> AsyncGenerator[bytes]:
        try:
            yield b"one"
            await asyncio.sleep(60)
        finally:
            left.append("closed")

    serving = asyncio.create_task(wire.serve(EventStream(source(), gone=gone)))
    await asyncio.sleep(0.05)
    wire.gone.set()
    await serving
    assert left == ["closed", "gone"]


async def test_a_long_life_ends_with_a_goodbye() -> None:
    wire = Wire()
    left: list[str] = []

    async def gone() -> None:
        left.append("gone")

    await wire.serve(EventStream(said(b"one", then=60), life=0.1, gone=gone))
    assert left == []
    assert wire.body.startswith(b"one: ")
    assert b"rejoin" in wire.body
    assert wire.sent[-1]["more_body"] is False


async def test_a_failing_source_is_not_taken_for_an_end() -> None:
    wire = Wire()

    async def broken() -> AsyncGenerator[bytes]:
        yield b"one"
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await wire.serve(EventStream(broken()))
    assert wire.sent[-1]["more_body"] is True


async def test_a_slow_answer_keeps_its_line_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.05)
    wire = Wire()

    async def result() -> str:
        await asyncio.sleep(0.18)
        return '{"done":true}'

    await wire.serve(WaitingJson(result()))
    assert wire.sent[0]["headers"][0] == (b"content-type", b"application/json")
    assert wire.body.strip(b"\n") == b'{"done":true}'
    assert wire.body.startswith(b"\n\n")
