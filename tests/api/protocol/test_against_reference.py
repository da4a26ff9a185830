"""The same script against us and against LangGraph's own server, both alive: every stream says the same.

Needs `langgraph dev`: LANGGRAPH_BIN names it, else .venv-studio is looked into (`make studio` fills it).
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from api.runs.wire import is_list, is_object
from tests.api.protocol.golden import CASES, CHAT, MODES, normal, recorded

ROOT = Path(__file__).parents[3]
STUDIO = ROOT / ".venv-studio" / "bin" / "langgraph"
DEV = os.environ.get("LANGGRAPH_BIN") or (str(STUDIO) if STUDIO.exists() else shutil.which("langgraph"))
START_SECONDS = 90

pytestmark = [
    pytest.mark.skipif(
        DEV is None, reason="NOT COMPARED with LangGraph's own server: set LANGGRAPH_BIN, or run `make studio` once"
    ),
    pytest.mark.timeout(240),
]

# The reference takes who is asking from a context the client writes; here everybody is Ada, who asks us by token.
GRAPHS = """
from dataclasses import dataclass

import graphs.context


@dataclass
class Ada:
    user_id: str = "ada"


graphs.context.LearnerContext = Ada

from tests.api.protocol.graphs import approval, echo, nested, steps

echo, approval, steps, nested = echo(), approval(), steps(), nested()
"""
ALL = ["values", "updates", "checkpoints", "messages", "tools", "custom", "lifecycle", "input", "tasks"]
SPOKEN = ("values", "messages", "lifecycle", "input.requested")
"""The v2 channels on which the reference says anything: subscribed to the others, it stays silent."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """LangGraph's own server with the same graphs, on a free port."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "served.py").write_text(GRAPHS)
    served = {name: f"./served.py:{name}" for name in ("echo", "approval", "steps", "nested")}
    (folder / "langgraph.json").write_bytes(orjson.dumps({"dependencies": ["."], "graphs": served}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert DEV is not None
    quiet = {"LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1", "PYTHONPATH": str(ROOT)}
    log = folder / "reference.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [DEV, "dev", "--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env={**os.environ, **quiet},
            stdout=out,
            stderr=out,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(START_SECONDS * 4):
            with suppress(httpx.TransportError):
                if httpx.get(f"{url}/ok").is_success:
                    break
            try:
                process.wait(0.25)
            except subprocess.TimeoutExpired:
                continue
            break
        else:
            pytest.fail(f"the reference does not answer:\n{log.read_text()[-3000:]}")
        assert process.poll() is None, log.read_text()[-3000:]
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.parametrize("case", CASES)
async def test_every_mode_says_the_same(client: LangGraphClient, reference: str, case: str) -> None:
    graph, runs = CASES[case]
    async with get_client(url=reference) as theirs:
        for mode in MODES:
            assert await recorded(client, graph, runs, mode) == await recorded(theirs, graph, runs, mode), mode


async def test_several_modes_at_once_come_in_the_same_order(client: LangGraphClient, reference: str) -> None:
    run = {"input": CHAT, "stream_mode": ["values", "updates", "messages-tuple", "custom"], "stream_subgraphs": True}
    async with get_client(url=reference) as theirs:
        assert await recorded(client, "nested", [run], "") == await recorded(theirs, "nested", [run], "")


async def script(client: LangGraphClient) -> list[tuple[str, Any]]:
    """What a client asks beside streams, and what it is told: the status, and the answer without what varies."""
    told: list[tuple[str, Any]] = []
    thread_id, other = str(uuid4()), str(uuid4())
    home = f"/threads/{thread_id}"
    question: dict[str, Any] = {"assistant_id": "approval", "input": {"topic": "rust"}}
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/threads", {"thread_id": thread_id, "metadata": {"colour": "blue"}}),
        ("POST", "/threads", {"thread_id": thread_id}),
        ("POST", "/threads", {"thread_id": thread_id, "if_exists": "do_nothing"}),
        ("GET", f"{home}/state", None),
        ("POST", f"{home}/history", {}),
        ("POST", f"{home}/runs/wait", question),
        ("GET", home, None),
        ("GET", f"{home}/state", None),
        ("GET", f"{home}/runs", None),
        ("POST", f"{home}/history", {"limit": 2}),
        ("POST", "/threads/search", {"ids": [thread_id]}),
        ("POST", "/threads/count", {"metadata": {"colour": "blue"}}),
        ("POST", f"{home}/runs/wait", {"assistant_id": "approval", "command": {"resume": "yes"}}),
        ("POST", f"{home}/state", {"values": {"log": ["more"]}, "as_node": "commit"}),
        ("GET", f"{home}/state", None),
        ("POST", f"{home}/state", {"values": {"log": ["x"]}, "as_node": "nobody"}),
        ("PATCH", home, {"metadata": {"shape": "round"}}),
        ("POST", "/runs/wait", {"assistant_id": "steps", "input": {"wanted": 2, "taken": []}}),
        ("POST", f"{home}/runs/wait", {"assistant_id": "steps", "input": {"wanted": -1, "taken": []}}),
        ("POST", f"/threads/{other}/runs/wait", question),
        ("POST", f"/threads/{other}/runs/wait", {**question, "if_not_exists": "create"}),
        ("POST", f"{home}/runs", {"assistant_id": "nope"}),
        ("POST", f"{home}/runs", {"assistant_id": str(uuid4())}),
        ("GET", f"{home}/runs/{uuid4()}", None),
        ("GET", "/threads/not-an-id", None),
        ("GET", f"/threads/{uuid4()}", None),
        ("GET", f"/threads/{uuid4()}/state", None),
        ("POST", "/assistants/search", {"graph_id": "approval"}),
        ("DELETE", home, None),
        ("GET", home, None),
    ]
    for method, path, body in requests:
        answer = await client.http.client.request(method, path, json=body)
        about = f"{method} {path} {body['assistant_id'] if body and 'assistant_id' in body else ''}"
        about = normal(about.replace(thread_id, "<thread>").replace(other, "<other>")).strip()
        told.append((about, {"status": answer.status_code, **({} if answer.is_error else {"body": said(answer)})}))
    return told


def said(answer: httpx.Response) -> Any:
    """The content of a good answer. What goes wrong has the same status; the sentences are ours."""
    return normal(answer.json()) if answer.content else None


DELIBERATE = (
    ".metadata.colour",  # what is noted on a thread stays there, and is not copied into its runs and checkpoints
    ".kwargs",  # of a run's arguments only what its client sent
    ".langsmith_session_name",
    "/threads/<thread>/runs nope.status: 422",  # a graph nobody knows is a 404 like an assistant nobody knows
)


def lacking(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    """Where an answer of the reference has what ours has not; more may be in ours."""
    if is_object(theirs) and is_object(ours):
        for key, value in theirs.items():
            if key in ours:
                yield from lacking(ours[key], value, f"{path}.{key}")
            else:
                yield f"{path}.{key}: {value}"
    elif is_list(theirs) and is_list(ours) and len(ours) == len(theirs):
        for number, value in enumerate(theirs):
            yield from lacking(ours[number], value, path)
    elif ours != theirs:
        yield f"{path}: {theirs}, ours {ours}"


async def test_everything_beside_streams_is_answered_the_same(client: LangGraphClient, reference: str) -> None:
    async with get_client(url=reference) as theirs:
        pairs = list(zip(await script(client), await script(theirs), strict=True))
    differences = [
        difference
        for (asked, ours), (_, expected) in pairs
        for difference in lacking(ours, expected, asked)
        if not any(known in difference for known in DELIBERATE)
    ]
    assert differences == []
    assert len(pairs) == 30


async def spoken(client: LangGraphClient, graph: str, steps: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Start runs with the second protocol, and return what each channel says until the last one's end."""
    thread_id = str(uuid4())
    spoke: dict[str, list[Any]] = {}
    http = client.http.client
    asked: list[str] = []
    async with (
        asyncio.timeout(30),
        http.stream("POST", f"/threads/{thread_id}/stream/events", json={"channels": ALL}) as (response),
    ):
        assert response.status_code == 200
        lines = response.aiter_lines()
        for number, step in enumerate(steps):
            params: dict[str, Any] = {
                **step.get("params", {}),
                **({"interrupt_id": asked[-1], "namespace": []} if asked else {}),
            }
            command = {"id": number, "method": step["method"], "params": params}
            if step["method"] == "run.start":
                params["assistant_id"] = graph
            reply = (await http.post(f"/threads/{thread_id}/commands", json=command)).json()
            assert reply["type"] == "success", reply
            async for line in lines:
                if not line.startswith("data: "):
                    continue
                envelope = orjson.loads(line[6:])
                method, space, data = envelope["method"], envelope["params"]["namespace"], envelope["params"]["data"]
                spoke.setdefault(method, []).append([normal(space), normal(data)])
                if method == "input.requested":
                    asked.append(data["interrupt_id"])
                ended = data.get("event") in ("completed", "failed", "interrupted")
                if method == "lifecycle" and not space and ended:
                    break
    return spoke


V2: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "chat": ("echo", [{"method": "run.start", "params": {"input": CHAT}}]),
    "nested": ("nested", [{"method": "run.start", "params": {"input": CHAT}}]),
    "question": (
        "approval",
        [
            {"method": "run.start", "params": {"input": {"topic": "rust"}}},
            {"method": "input.respond", "params": {"response": "yes"}},
        ],
    ),
    "steps": ("steps", [{"method": "run.start", "params": {"input": {"wanted": 3, "taken": []}}}]),
}


@pytest.mark.parametrize("case", V2)
async def test_the_second_protocol_says_the_same(client: LangGraphClient, reference: str, case: str) -> None:
    graph, steps = V2[case]
    ours = await spoken(client, graph, steps)
    async with get_client(url=reference) as theirs:
        expected = await spoken(theirs, graph, steps)
    assert set(expected) <= set(ours)
    for _, data in ours["lifecycle"]:
        data.pop("attempt", None)  # ours alone: a run that moved says so
    for channel in SPOKEN:
        assert ours.get(channel) == expected.get(channel), channel
