"""The lean stream says exactly what the SDK would say, and fails the way the SDK would fail."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import openai
import orjson
import pytest
import respx
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from agents.lean_completions import gathered, install

URL = "http://model.test/v1/chat/completions"


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return b"data: " + orjson.dumps(body) + b"\n\n"


def call(**function: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "id": "t1", "type": "function", "function": function}]}


USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
ANSWER = [
    event({"role": "assistant", "content": ""}),
    event({"content": "Grüße, "}),
    event({"content": "world"}),
    event({"content": "!"}),
    event(call(name="look", arguments="")),
    event(call(arguments='{"a":')),
    event(call(arguments=" 1}")),
    event({}, "tool_calls"),
    b"data: " + orjson.dumps({"id": "c1", "model": "m", "choices": [], "usage": USAGE}) + b"\n\n",
    b"data: [DONE]\n\n",
]


def model(*, lean: bool, retries: int = 0) -> ChatOpenAI:
    client = httpx.AsyncClient()
    plain = ChatOpenAI(
        model="m",
        base_url="http://model.test/v1",
        api_key=SecretStr("k"),
        max_retries=retries,
        http_client=httpx.Client(),
        http_async_client=client,
    )
    return install(plain, client) if lean else plain


async def spoken(chat: ChatOpenAI) -> AIMessageChunk:
    whole: AIMessageChunk | None = None
    async for chunk in chat.astream("hello"):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    return whole


class Pieces(httpx.AsyncByteStream):
    """A body that arrives in pieces of one size, wherever they cut."""

    def __init__(self, size: int) -> None:
        self.size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = b"".join(ANSWER)
        for start in range(0, len(body), self.size):
            yield body[start : start + self.size]


@pytest.mark.parametrize("size", [1, 7, 190, 100_000])
async def test_says_what_the_sdk_says(size: int) -> None:
    with respx.mock:
        answers = [httpx.Response(200, stream=Pieces(size)) for _ in range(2)]
        respx.post(URL).mock(side_effect=answers)
        lean, stock = await spoken(model(lean=True)), await spoken(model(lean=False))
    assert lean.model_dump(exclude={"id"}) == stock.model_dump(exclude={"id"})
    assert lean.content == "Grüße, world!"
    assert lean.tool_calls[0]["args"] == {"a": 1}


async def test_text_that_arrived_together_is_one_chunk() -> None:
    with respx.mock:
        respx.post(URL).mock(return_value=httpx.Response(200, content=b"".join(ANSWER)))
        texts = [chunk.text async for chunk in model(lean=True).astream("hello")]
    assert [text for text in texts if text] == ["Grüße, world!"]


async def test_a_refusal_is_the_sdks_to_judge() -> None:
    with respx.mock:
        refused = respx.post(URL).mock(return_value=httpx.Response(429, json={"error": {"message": "slow down"}}))
        with pytest.raises(openai.RateLimitError):
            await spoken(model(lean=True))
    assert refused.call_count == 2


async def test_a_passing_failure_is_retried() -> None:
    answers = [httpx.Response(500), httpx.Response(200, content=b"".join(ANSWER))]
    with respx.mock:
        respx.post(URL).mock(side_effect=answers)
        assert (await spoken(model(lean=True))).content == "Grüße, world!"


async def test_a_stream_that_breaks_is_the_sdks_error() -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield ANSWER[0] + ANSWER[1]
            raise httpx.ReadError("gone")

    with respx.mock:
        respx.post(URL).mock(return_value=httpx.Response(200, stream=Broken()))
        with pytest.raises(openai.APIConnectionError):
            await spoken(model(lean=True))


async def test_an_error_inside_the_stream_is_raised() -> None:
    body = ANSWER[1] + b'data: {"error": {"message": "overloaded"}}\n\n'
    with respx.mock:
        respx.post(URL).mock(return_value=httpx.Response(200, content=body))
        with pytest.raises(openai.APIError):
            await spoken(model(lean=True))


ODD = ['"', "\\", '","x":"', '"content":"no"', "\u2028", "ü", "\U0001f600", "", " ", "{}]}"]


@pytest.mark.parametrize("ascii_only", [True, False])
async def test_words_of_any_kind_survive_the_comparison_of_chunks(ascii_only: bool) -> None:
    def line(word: str) -> bytes:
        body = {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
        return b"data: " + json.dumps(body, ensure_ascii=ascii_only).encode() + b"\r\n\r\n"

    words = [*ODD, "plain", *reversed(ODD), "plain", "plain", *ODD]
    body = b"".join(map(line, words)) + event({}, "stop") + b"data: [DONE]\n\n"
    with respx.mock:
        respx.post(URL).mock(return_value=httpx.Response(200, content=body))
        assert (await spoken(model(lean=True))).content == "".join(words)


async def test_a_fast_model_is_heard_at_once_and_then_in_bursts() -> None:
    pieces = [bytes([48 + n % 10]) for n in range(200)]

    async def source() -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece

    bursts = [burst async for burst in gathered(source())]
    assert b"".join(bursts) == b"".join(pieces)
    assert bursts[0] == pieces[0]
    assert len(bursts) < len(pieces)


async def test_what_was_said_before_the_stream_broke_is_heard() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0)
        yield b"b"
        raise httpx.ReadError("gone")

    heard: list[bytes] = []
    with pytest.raises(httpx.ReadError):
        async for burst in gathered(source()):
            heard.append(burst)  # noqa: PERF401 - what came before the error is what counts
    assert b"".join(heard) == b"ab"


async def test_nobody_goes_on_reading_for_a_listener_who_left() -> None:
    left = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"a"
                await asyncio.sleep(0)
        finally:
            left.set()

    async with aclosing(gathered(source())) as bursts:
        await anext(bursts)
    assert left.is_set()
