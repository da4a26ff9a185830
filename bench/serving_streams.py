"""Many readers follow many runs, drop their streams at random and rejoin: counts what is lost, doubled, disordered.

python -m bench.serving_streams [--runs 20] [--readers 10] [--drops 5] [--pause 0.02]
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson

from bench.serving import QUESTION, answering
from bench.serving_model import EXPECTED
from bench.serving_servers import Server, our_server, start
from store import embedded, migrate


async def read(server: Server, url: str, drops: int, dice: random.Random) -> tuple[str, list[int], int]:
    """Follow a run, leaving `drops` times; return its text, the ids seen, and how often it was joined."""
    seen: list[int] = []
    text: list[str] = []
    joins = 0
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**22)
        last = seen[-1] if seen else -1
        writer.write(
            f"GET {url} HTTP/1.1\r\nHost: localhost\r\n{server.headers}"
            f"Last-Event-ID: {last}\r\nConnection: close\r\n\r\n".encode()
        )
        joins += 1
        leave = dice.randint(5, 60) if joins <= drops else 10**9
        event, data, got, over = b"", b"", 0, False
        async for line in reader:
            if line.startswith(b"event: "):
                event = line[7:].strip()
            elif line.startswith(b"data: "):
                data = line[6:]
            elif line.startswith(b"id: "):
                seen.append(int(line[4:]))
                got += 1
                over = event == b"end"
                if event == b"messages":
                    chunk = orjson.loads(data)[0]
                    if chunk["type"] == "AIMessageChunk" and chunk["content"]:
                        text.append(chunk["content"])
                if over or got >= leave:
                    break
        writer.close()
        if over:
            return "".join(text), seen, joins


async def main() -> None:
    """Run and print one line."""
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=20)
    options.add_argument("--readers", type=int, default=10)
    options.add_argument("--drops", type=int, default=5)
    options.add_argument("--pause", default="0.02")
    chosen = options.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(embedded.start(folder / "data"))
        migrate.upgrade(database.owner_url)
        model = start(stack, [sys.executable, "-m", "bench.serving_model", "18911", chosen.pause], {})
        server = our_server(stack, database.login_url, 18912, model_port=18911)
        await answering(Server("model", 18911, model))
        await answering(server)
        begin = time.monotonic()
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}", headers=dict([server.headers.strip().split(": ")]), timeout=60
        ) as http:
            urls: list[str] = []
            for _ in range(chosen.runs):
                thread = (await http.post("/threads", json={})).json()["thread_id"]
                body: dict[str, Any] = {"assistant_id": "agent", "input": QUESTION, "stream_mode": ["messages-tuple"]}
                run = (await http.post(f"/threads/{thread}/runs", json=body)).json()["run_id"]
                urls.append(f"/threads/{thread}/runs/{run}/stream")
        dice = random.Random(7)  # noqa: S311 - drops that can be repeated
        found = await asyncio.gather(
            *(read(server, url, chosen.drops, dice) for url in urls for _ in range(chosen.readers))
        )
        wrong = sum(text != EXPECTED for text, _, _ in found)
        gaps = sum(ids != list(range(1, len(ids) + 1)) for _, ids, _ in found)
        result = {
            "readers": len(found),
            "joins": sum(joins for _, _, joins in found),
            "frames read": sum(len(ids) for _, ids, _ in found),
            "readers with a wrong text": wrong,
            "readers with a gap, a repeat or disorder": gaps,
            "seconds": round(time.monotonic() - begin, 1),
        }
        print(orjson.dumps(result).decode())


if __name__ == "__main__":
    asyncio.run(main())
