"""A fake OpenAI-compatible server for respx: answers, streams, and the ways in which such a server fails."""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import httpx

BASE = "https://models.example/v1"
URL = f"{BASE}/chat/completions"
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


def message(content: str | None = None, calls: Sequence[tuple[str, Any]] = (), finish: str = "stop") -> dict[str, Any]:
    """One whole answer; arguments given as text are sent as they are, sound JSON or not."""
    tool_calls = [
        {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": _text(args)}}
        for i, (name, args) in enumerate(calls)
    ]
    said: dict[str, Any] = {"role": "assistant", "content": content}
    if tool_calls:
        said["tool_calls"] = tool_calls
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": USAGE,
    }


def answer(content: str | None = None, calls: Sequence[tuple[str, Any]] = (), finish: str = "stop") -> httpx.Response:
    """`message` as an HTTP answer."""
    return httpx.Response(200, json=message(content, calls, finish))


def problem(status: int, text: str = "no", headers: dict[str, str] | None = None) -> httpx.Response:
    """An error of the server; its text must never reach a learner."""
    return httpx.Response(
        status, json={"error": {"message": f"SECRET {text}", "type": "x", "code": None}}, headers=headers
    )


def chunks(words: Sequence[str]) -> Iterator[bytes]:
    """Server-sent events of a streamed text."""
    for word in words:
        yield _event({"role": "assistant", "content": word}, None)
    yield _event({}, "stop")
    yield b"data: [DONE]\n\n"


class CutStream(httpx.AsyncByteStream):
    """A stream whose connection breaks after some events."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        for word in self.words:
            yield _event({"role": "assistant", "content": word}, None)
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def stream(words: Sequence[str]) -> httpx.Response:
    """A streamed answer."""
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=b"".join(chunks(words)))


def stream_call(name: str, args: Any) -> httpx.Response:
    """A streamed tool call, its arguments in pieces."""
    text = _text(args)
    pieces = [text[i : i + 7] for i in range(0, len(text), 7)]
    first = {"index": 0, "id": "call_s", "type": "function", "function": {"name": name, "arguments": ""}}
    body = _event({"role": "assistant", "content": None, "tool_calls": [first]}, None)
    for piece in pieces:
        body += _event({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, None)
    body += _event({}, "tool_calls") + b"data: [DONE]\n\n"
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)


def cut(words: Sequence[str]) -> httpx.Response:
    """A streamed answer that breaks off."""
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=CutStream(words))


def _event(delta: dict[str, Any], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n".encode()


def _text(args: Any) -> str:
    return args if isinstance(args, str) else json.dumps(args)
