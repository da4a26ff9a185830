"""A fake OpenAI-compatible server: known answers, token by token, nearly for free."""

import asyncio
import sys
from typing import Any

import orjson
import uvicorn

TOKENS = 200
FIRST = [f"first{n} " for n in range(TOKENS)]
SECOND = [f"second{n} " for n in range(TOKENS)]
EXPECTED = "".join(FIRST) + "".join(SECOND)


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One event of the stream."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + orjson.dumps(body) + b"\n\n"


CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "lookup", "arguments": '{"topic":"rust"}'},
}
_START = chunk({"role": "assistant", "content": ""})
_DONE = b"data: [DONE]\n\n"
_ANSWERS = (
    [
        _START,
        *(chunk({"content": word}) for word in FIRST),
        chunk({"tool_calls": [CALL]}),
        chunk({}, "tool_calls"),
        _DONE,
    ],
    [_START, *(chunk({"content": word}) for word in SECOND), chunk({}, "stop"), _DONE],
)


_pace = {"seconds": 0.0}
"""Between tokens; 0 measures the server, not the model. `POST /pace` with a number changes it."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer one chat completion; the second call of a turn is the one that ends with a tool's result."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    asked = orjson.loads(body or b"{}")
    if scope["path"] == "/pace":
        _pace["seconds"] = asked
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    answer = _ANSWERS[1 if asked.get("messages", [{}])[-1].get("role") == "tool" else 0]
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in answer:  # one write per token: whoever joins them does so on their own account
        await asyncio.sleep(_pace["seconds"])
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _pace["seconds"] = float(sys.argv[2])
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", loop="uvloop", http="httptools")
