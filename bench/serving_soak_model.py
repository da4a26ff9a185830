"""A fake OpenAI-compatible server for the soaks: as many words as wanted, known ones or the time they were said at.

python -m bench.serving_soak_model PORT WORDS PAUSE [stamped]
"""

import asyncio
import sys
import time
from typing import Any

import orjson
import uvicorn

from bench.serving_model import CALL, chunk


def expected(words: int) -> str:
    """What both answers of a run say together."""
    return "".join(f"{turn}{number} " for turn in ("first", "second") for number in range(words))


class Model:
    """Answers with words, and the first time of a turn with a tool call as well."""

    def __init__(self, words: int, pause: float, *, stamped: bool) -> None:
        self._words = words
        self._pause = pause
        self._stamped = stamped

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one chat completion."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        again = orjson.loads(body)["messages"][-1]["role"] == "tool"

        async def say(part: bytes) -> None:
            await send({"type": "http.response.body", "body": part, "more_body": True})

        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await say(chunk({"role": "assistant", "content": ""}))
        for number in range(self._words):
            await asyncio.sleep(self._pause)
            word = f"{time.time()} " if self._stamped else f"{'second' if again else 'first'}{number} "
            await say(chunk({"content": word}))
        await say(chunk({}, "stop") if again else chunk({"tool_calls": [CALL]}) + chunk({}, "tool_calls"))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


if __name__ == "__main__":
    port, words, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    model = Model(words, pause, stamped=len(sys.argv) > 4)
    uvicorn.run(model, port=port, log_level="warning", loop="uvloop", http="httptools")
