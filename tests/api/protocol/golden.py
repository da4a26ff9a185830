"""What a stream says, with everything that differs from run to run taken out.

Frames of LangGraph's own server (langgraph-api 0.16.7, `langgraph dev`) were recorded once with the graphs of
`graphs.py`; `python -m tests.api.protocol.golden URL` records them again.
"""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any, cast

import orjson
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from api.runs.wire import is_list, is_object

FOLDER = Path(__file__).parent / "golden"
MODES = ("values", "updates", "messages-tuple", "messages", "custom", "tasks", "checkpoints", "debug")
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "one two three", "id": "question"}]}
CASES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "chat": ("echo", [{"input": CHAT}]),
    "nested": ("nested", [{"input": CHAT, "stream_subgraphs": True}]),
    "nested_roots_only": ("nested", [{"input": CHAT}]),
    "question": ("approval", [{"input": {"topic": "rust"}}, {"command": {"resume": "yes"}}]),
    "breakpoint": ("approval", [{"input": {"topic": "rust"}, "interrupt_before": ["propose"]}, {"input": None}]),
    "failure": ("steps", [{"input": {"wanted": -1, "taken": []}}]),
}

_VARIES = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:\+00:00|Z)")
_OF_THE_SERVER = re.compile(
    r"__(?!interrupt).*|langgraph_(api|auth|host|plan|version|request|checkpoint).*|ls_.*|user_id|created_by|run_id|thread_id|assistant_id|graph_id"
    r"|run_attempt|checkpoint_ns|revision_id|response_schema|versions|checkpoint_map"
)


def normal(value: Any) -> Any:
    """Return a value without ids, times, and what only one server adds."""
    if is_object(value):
        if value.keys() == {"error", "message"}:  # the reference shows the text of any exception; we do not
            return {"error": value["error"]}
        return {normal(key): normal(item) for key, item in value.items() if not _OF_THE_SERVER.fullmatch(key)}
    if is_list(value):
        return [normal(item) for item in value]
    if isinstance(value, str):
        return _TIME.sub("<time>", _VARIES.sub("<id>", value))
    return value


async def recorded(client: LangGraphClient, graph: str, runs: list[dict[str, Any]], mode: str) -> list[Any]:
    """Stream the runs of a case in one mode, one after another on one thread."""
    thread_id = (await client.threads.create())["thread_id"]
    found: list[Any] = []
    for run in runs:
        body: dict[str, Any] = {"assistant_id": graph, "stream_mode": [mode], "input": None, **run}
        async for part in client.http.stream(f"/threads/{thread_id}/runs/stream", "POST", json=body):
            if part.event == "error":
                found.append(["error", cast("Any", part.data)["error"]])
            elif part.event not in ("metadata", "end"):
                found.append([normal(part.event), normal(part.data)])
    return found


async def record(url: str) -> None:
    """Write the frames of the server at `url` into the folder."""
    async with get_client(url=url) as client:
        for case, (graph, runs) in CASES.items():
            frames = {mode: await recorded(client, graph, runs, mode) for mode in MODES}
            text = orjson.dumps(frames, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
            (FOLDER / f"{case}.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1]))
