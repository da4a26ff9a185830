"""The models' own connections, against a real server on the loopback that answers, breaks off, resets and is silent."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from agents.failures import FailureKind, ModelFailure, translated
from agents.models import ModelRole, ModelSettings, open_models
from tests.agents.openai import chunks
from tests.rabbitmq import free_port

ASK = [HumanMessage("hello")]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def piece(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


async def answer(writer: asyncio.StreamWriter, words: list[str]) -> None:
    writer.write(HEAD)
    for chunk in chunks(words):
        writer.write(piece(chunk))
        await writer.drain()


async def well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Two questions over one connection."""
    for _ in range(2):
        length = int((await reader.readuntil(b"\r\n\r\n")).lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        await answer(writer, ["Learn", " in", " steps."])
        await asyncio.sleep(0.02)  # the end comes by itself, as from a server under load
        writer.write(piece(b""))


async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + b"".join(map(piece, list(chunks(["Half", " an"]))[:2])))
    await writer.drain()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await breaks_off(reader, writer)
    await asyncio.sleep(0.1)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await breaks_off(reader, writer)
    await asyncio.sleep(3)


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3)


@asynccontextmanager
async def server(serve: Serve) -> AsyncGenerator[str]:
    """A server's address; `connections` counts who came."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(one, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"


async def said(url: str) -> list[str]:
    """What the model says to two questions in a row."""
    settings = ModelSettings(api_key=SecretStr("sk-x"), base_url=url, timeout=1, attempts=1)
    async with open_models(settings, {}) as models:
        with translated():
            model = models.chat(ModelRole.EXPLAIN)
            return ["".join([chunk.text async for chunk in model.astream(ASK)]) for _ in range(2)]


async def test_words_come_over_one_connection() -> None:
    came = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        await well(reader, writer)

    async with server(counted) as url:
        assert await said(url) == ["Learn in steps."] * 2
    assert came == 1


@pytest.mark.parametrize(
    ("serve", "kind"),
    [
        (breaks_off, FailureKind.CUT_OFF),
        (resets, FailureKind.CUT_OFF),
        (stalls, FailureKind.TIMEOUT),
        (is_silent, FailureKind.TIMEOUT),
    ],
)
async def test_a_server_that_fails_is_named_for_what_it_did(serve: Serve, kind: FailureKind) -> None:
    async with server(serve) as url:
        with pytest.raises(ModelFailure) as caught:
            await said(url)
    assert caught.value.kind is kind


async def test_nobody_there_is_not_a_timeout() -> None:
    with pytest.raises(ModelFailure) as caught:
        await said(f"http://127.0.0.1:{free_port()}/v1")
    assert caught.value.kind is FailureKind.UNAVAILABLE
