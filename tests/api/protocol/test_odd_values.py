"""Values nobody should send: none brings a route down, and what cannot be passed over is refused with a reason."""

from typing import Any
from uuid import uuid4

import httpx
import orjson

from store.principal import Principal
from tests.api.protocol.conftest import Service

UNKNOWN = str(uuid4())
HUGE = str(10**30)


CASES: list[tuple[str, str, dict[str, Any], int]] = [
    ("POST", "/runs/cancel", {"json": {"run_ids": 5}}, 422),
    ("POST", "/runs/cancel", {"json": {"run_ids": [UNKNOWN]}}, 404),
    ("POST", "/runs/cancel?action=explode", {"json": {}}, 422),
    ("POST", "/runs/cancel", {"json": {}}, 422),
    ("POST", "/runs/cancel", {"json": {"status": "finished"}}, 422),
    ("POST", "/runs/batch", {"json": [5]}, 422),
    ("POST", "/threads/search", {"json": {"select": 5}}, 422),
    ("POST", "/threads/search", {"json": {"ids": {"a": 1}}}, 422),
    ("POST", "/threads/search", {"json": {"limit": "ten"}}, 422),
    ("POST", "/threads/search", {"json": {"limit": [1]}}, 422),
    ("POST", "/threads/count", {"json": {"status": ["idle"]}}, 422),
    ("POST", "/assistants/search", {"json": {"metadata": [1]}}, 422),
    ("POST", "/assistants/count", {"json": {"metadata": "x"}}, 422),
    ("GET", "/assistants/echo/graph?xray=%C2%B2", {}, 200),
    ("GET", "/assistants/echo/graph?xray=" + HUGE, {}, 200),
    ("GET", "/threads/{thread}/stream", {"headers": {"last-event-id": b"\xb2"}}, 422),
    ("GET", "/threads/{thread}/stream", {"headers": {"last-event-id": HUGE}}, 422),
    ("GET", "/threads/{thread}/runs?limit=x", {}, 422),
    ("GET", "/threads/{thread}/runs?status=asleep", {}, 422),
    ("GET", "/threads/{thread}/history?limit=0.5", {}, 422),
    ("POST", "/threads/{thread}/history", {"json": {"metadata": 5}}, 422),
    ("POST", "/threads/{thread}/history", {"json": {"before": ["x"]}}, 422),
    ("POST", "/threads/{thread}/state", {"json": {"values": 5}}, 400),
    ("POST", "/threads/{thread}/state", {"json": {"values": {}, "as_node": ["x"]}}, 400),
    ("POST", "/threads/{thread}/state/checkpoint", {"json": {"checkpoint": 5}}, 422),
    *(
        ("POST", path, {"json": {"values": {}, "assistant_id": "echo", **at}}, 422)
        for path in ("/threads/{thread}/state/checkpoint", "/threads/{thread}/state", "/threads/{thread}/runs")
        for at in (
            {"checkpoint": [1]},
            {"checkpoint_id": 5},
            {"checkpoint": {"checkpoint_id": ["x"]}},
            {"checkpoint": {"checkpoint_ns": {"a": 1}}},
            {"checkpoint": {"checkpoint_map": "x"}},
            {"checkpoint": {"checkpoint_map": {"": 5}}},
        )
    ),
    ("POST", "/threads/{thread}/history", {"json": {"checkpoint": 5}}, 422),
    ("POST", "/threads/{thread}/history", {"json": {"checkpoint": {"checkpoint_ns": 5}}}, 422),
    ("POST", "/threads/{thread}/stream/events", {"json": {"channels": [5]}}, 400),
    ("POST", "/threads/{thread}/stream/events", {"json": {"channels": ["values"], "since": HUGE}}, 200),
    ("POST", "/threads/{thread}/stream/events", {"json": {"channels": ["values"], "since": "\u00b2"}}, 200),
    ("POST", "/threads/{thread}/commands", {"json": {"id": 1, "method": "run.start", "params": 5}}, 400),
    ("POST", "/threads/{thread}/runs/wait", {"json": {"assistant_id": ["echo"]}}, 404),
    ("POST", "/threads/{thread}/runs", {"json": {"assistant_id": "echo", "stream_mode": {}}}, 422),
    ("POST", "/threads/{thread}/runs/wait", {"json": {"assistant_id": "echo", "multitask_strategy": []}}, 422),
    ("POST", "/threads/{thread}/runs/wait", {"json": {"assistant_id": "echo", "interrupt_before": {}}}, 422),
    ("POST", "/threads/{thread}/runs/wait", {"json": {"assistant_id": "echo", "after_seconds": "soon"}}, 422),
    ("POST", "/threads/{thread}/runs/wait", {"json": {"assistant_id": "echo", "command": {"goto": 5}}}, 422),
    ("POST", "/threads", {"json": {"metadata": 5}}, 422),
    ("POST", "/threads", {"json": {"graph_id": {}}}, 404),
    ("PATCH", "/threads/{thread}", {"json": {"metadata": [1]}}, 422),
]


async def test_nothing_breaks(service: Service, learner: Principal) -> None:
    headers = {"Authorization": f"Bearer {service.token(learner)}"}
    wrong: list[str] = []
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=5) as http:
        thread = (await http.post("/threads", json={"graph_id": "echo"})).json()["thread_id"]
        for method, path, request, status in CASES:
            async with http.stream(method, path.format(thread=thread), **request) as answer:
                told = status == 200 or isinstance(orjson.loads(await answer.aread()).get("detail"), str)
                if answer.status_code != status or not told:
                    wrong.append(f"{method} {path} {request}: {answer.status_code}")
    assert wrong == []
