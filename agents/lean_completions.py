"""Reads streamed chat completions as plain dictionaries; the SDK's typed chunks cost more CPU than all else in a run.

Measured with a run of 400 chunks: the SDK builds and dumps a pydantic tree per chunk, about 70 % of the process's CPU.
The SDK stays in charge of everything but the happy path: a refusal or a failed connection is asked again through it,
so its retries and its typed errors are what callers see. Deltas that arrived together become one chunk, and a model
that speaks faster than readers can see is listened to in bursts: its first words pass at once.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Self, cast

import httpx
import openai
import orjson
from langchain_openai import ChatOpenAI

from store.ending import end

GATHER_SECONDS = 0.0025
GATHER_AT_MOST = 0.1
"""How long words gather, per answer that is being heard in this process, and at most: each chunk costs the same CPU,
whether it carries one word or five, and many streams at ten updates a second read better than stuttering ones."""
AT_ONCE = 4
"""An answer's first bursts pass as they come: the role, then the words somebody is waiting for."""
REST_SECONDS = 0.2
"""How long the end of an answer may follow its last chunk before the connection is given up."""
_heard: set[object] = set()
_PLAIN_DELTA = frozenset({"role", "content"})
_PLAIN_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})


def install(model: ChatOpenAI, client: httpx.AsyncClient) -> ChatOpenAI:
    """Let `model` stream through `client` in the lean way; return it."""
    model.async_client = LeanCompletions(model.root_async_client, client)
    return model


class LeanCompletions:
    """Stands in for the SDK's `chat.completions`: same `create`, lean only for streams."""

    def __init__(self, sdk: openai.AsyncOpenAI, client: httpx.AsyncClient) -> None:
        self._sdk = sdk
        self._client = client

    def __getattr__(self, name: str) -> object:
        return getattr(self._sdk.chat.completions, name)

    async def create(self, **payload: Any) -> object:  # noqa: ANN401 - the SDK's own signature
        """Return what the SDK would: for a stream, an async context manager that iterates chunks."""
        whole = cast("Any", self._sdk.chat.completions)
        if not payload.get("stream") or {"extra_headers", "extra_query", "extra_body", "timeout"} & payload.keys():
            return cast("object", await whole.create(**payload))
        request = self._client.build_request(
            "POST",
            f"{str(self._sdk.base_url).rstrip('/')}/chat/completions",
            content=orjson.dumps(payload),
            headers={"Content-Type": "application/json", **self._sdk.auth_headers},
            timeout=cast("Any", self._sdk.timeout),
        )
        try:
            response = await self._client.send(request, stream=True)
        except httpx.TransportError:
            return cast("object", await whole.create(**payload))
        if not response.is_success:
            await response.aclose()
            return cast("object", await whole.create(**payload))
        return LeanStream(request, response)


class LeanStream:
    """The chunks of one answer, as dictionaries."""

    def __init__(self, request: httpx.Request, response: httpx.Response) -> None:
        self._request = request
        self._response = response

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._response.aclose()

    async def __aiter__(self) -> AsyncGenerator[dict[str, Any]]:
        rest = b""
        async with _typed(self._request), aclosing(gathered(self._response.aiter_bytes())) as bursts:
            async for data in bursts:
                lines = (rest + data).split(b"\n")
                rest = lines.pop()
                for chunk in self._parsed([line for line in lines if line.startswith(b"data:")]):
                    if chunk is None:
                        await _rest(bursts)
                        return
                    yield chunk

    def _parsed(self, lines: list[bytes]) -> list[dict[str, Any] | None]:
        """Return the chunks of a burst, deltas of plain text joined; None at the end of the answer."""
        chunks: list[dict[str, Any] | None] = []
        place = 0
        while place < len(lines):
            body = lines[place][5:].strip()
            place += 1
            if body == b"[DONE]":
                return [*chunks, None]
            chunk: dict[str, Any] = orjson.loads(body)
            if chunk.get("error"):
                raise openai.APIError("The model's server broke off.", cast("Any", self._request), body=chunk["error"])
            chunks.append(chunk)
            if (delta := _plain(chunk)) is not None:
                words = _alike(lines, place, body, delta["content"])
                delta["content"] += "".join(words)
                place += len(words)
        return _joined(chunks)


def _alike(lines: list[bytes], place: int, body: bytes, content: str) -> list[str]:
    """Return the texts of the chunks from `place` on that differ from `body` in their text alone.

    Servers repeat the same 200 bytes around every word; comparing them costs a fifth of parsing them.
    """
    key = b'"content":'
    head, found, tail = body.partition(key + orjson.dumps(content))
    if not found or not tail or key in head or key in tail:
        return []
    head = b"data: " + head + key
    start, stop = len(head), -len(tail)
    texts: list[bytes] = []
    for line in lines[place:]:
        same = line.rstrip(b"\r")
        if not (same.startswith(head) and same.endswith(tail)):
            break
        texts.append(same[start:stop])
    try:
        words: list[Any] = orjson.loads(b"[%s]" % b",".join(texts))
    except orjson.JSONDecodeError:
        return []
    return words if len(words) == len(texts) and all(type(word) is str for word in words) else []


async def _rest(bursts: AsyncIterator[bytes]) -> None:
    """Read what follows the last chunk, which should be nothing: only then may the connection be used again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(REST_SECONDS):
            async for _ in bursts:
                pass


async def gathered(source: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield the bytes of `source`: the beginning as it comes, then what gathers, the longer the more answers are heard.

    While it gathers nobody reads, so that the pieces meet in the socket's buffer and cost one wake-up, not one each.
    """
    loop = asyncio.get_running_loop()
    arrived: list[bytes] = []
    news, reading = asyncio.Event(), asyncio.Event()
    reading.set()

    async def read() -> None:
        try:
            async for piece in source:
                arrived.append(piece)
                news.set()
                await reading.wait()
        finally:
            news.set()

    reader = asyncio.create_task(read(), name="model:read")
    _heard.add(reader)
    taken, bursts, burst = loop.time(), 0, b""
    try:
        while not reader.done() or arrived:
            await news.wait()
            news.clear()
            gather = min(GATHER_SECONDS * (3 + len(_heard)), GATHER_AT_MOST)
            early = bursts < AT_ONCE or b"[DONE]" in burst[-16:]
            if not early and not reader.done() and (rest := taken + gather - loop.time()) > 0:
                reading.clear()
                await asyncio.sleep(rest)
                reading.set()
            if arrived:
                burst = b"".join(arrived)
                arrived.clear()
                taken, bursts = loop.time(), bursts + 1
                yield burst
        await reader
    finally:
        _heard.discard(reader)
        await end([reader])


def _joined(chunks: list[dict[str, Any] | None]) -> list[dict[str, Any] | None]:
    """Put deltas of plain text that follow one another into one chunk."""
    result: list[dict[str, Any] | None] = []
    last: dict[str, Any] | None = None
    for chunk in chunks:
        delta = _plain(chunk)
        if delta is not None and last is not None:
            last["content"] += delta["content"]
            continue
        last = delta
        result.append(chunk)
    return result


def _plain(chunk: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the delta of a chunk that carries text and nothing else."""
    if chunk is None or chunk.get("usage") or len(chunk.get("choices") or ()) != 1:
        return None
    choice: dict[str, Any] = chunk["choices"][0]
    delta: dict[str, Any] | None = choice.get("delta")
    if not delta or not delta.get("content") or choice.get("finish_reason") or choice.get("logprobs"):
        return None
    if not choice.keys() <= _PLAIN_CHOICE or not delta.keys() <= _PLAIN_DELTA or not isinstance(delta["content"], str):
        return None
    return delta


@asynccontextmanager
async def _typed(request: httpx.Request) -> AsyncGenerator[None]:
    """Raise the SDK's errors for a stream that broke off."""
    try:
        yield
    except (httpx.ReadTimeout, httpx.PoolTimeout) as error:
        raise openai.APITimeoutError(cast("Any", request)) from error
    except orjson.JSONDecodeError as error:
        raise openai.APIConnectionError(request=cast("Any", request)) from error
    except httpx.TransportError as error:
        # Whatever a transport calls it: the connection stood, and was lost.
        raise openai.APIConnectionError(request=cast("Any", request)) from httpx.ReadError(str(error))
