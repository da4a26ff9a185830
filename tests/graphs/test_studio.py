"""`langgraph dev` opens every graph and runs it for the learner it was started for; needs langgraph-cli[inmem]."""

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client

from store import goals
from store.database import Database
from store.goals import GoalFilter
from store.principal import Principal
from tests.postgres import Urls

ROOT = Path(__file__).parents[2]
DEV = os.environ.get("LANGGRAPH_BIN") or shutil.which("langgraph")

needs_dev = pytest.mark.skipif(
    DEV is None, reason="langgraph-cli[inmem] is not installed (LANGGRAPH_BIN names its langgraph)"
)


def test_langgraph_json_names_every_graph_by_dotted_path() -> None:
    from graphs import GRAPHS

    config = json.loads((ROOT / "langgraph.json").read_text())
    assert config["graphs"] == {name: f"graphs.studio:{name}" for name in GRAPHS}
    assert config["auth"] == {"path": "graphs.studio:auth", "disable_studio_auth": True}


async def test_importing_studio_opens_nothing(tmp_path: Path) -> None:
    code = "import graphs.studio as s, os; assert not os.listdir('.'); print(type(s.goal_planning).__name__)"
    environment = {**os.environ, "DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(ROOT), "DATABASE_URL": ""}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    assert (child.returncode, out.decode().strip()) == (0, "StateGraph")


@asynccontextmanager
async def served(urls: Urls, folder: Path, **environment: str) -> AsyncGenerator[str]:
    """A dev server on a free port that keeps its state in a folder of the test; stopped by its own pid."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert DEV is not None
    child = await asyncio.create_subprocess_exec(
        DEV, "dev", "--config", str(ROOT / "langgraph.json"), "--no-browser", "--no-reload",
        "--host", "127.0.0.1", "--port", str(port),
        cwd=folder,
        env={**os.environ, "DATABASE_URL": urls.login, "LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1",
             "OPENAI_API_KEY": "", "OPENAI_BASE_URL": "", **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(60):
            while True:
                try:
                    if (await client.get(f"{url}/ok")).is_success:
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.25)
        yield url
    finally:
        child.terminate()
        await child.wait()


@needs_dev
async def test_dev_server_runs_every_graph_for_its_learner(urls: Urls, learner: Principal, tmp_path: Path) -> None:
    lying = {"user_id": "bob", "locale": "es"}
    async with served(urls, tmp_path, STUDIO_USER="ada") as url, get_client(url=url) as opened:
        client: Any = opened
        thread = (await client.threads.create())["thread_id"]
        first = await client.runs.wait(thread, "goal_planning", input={"objective": "Aprender Rust"}, context=lying)
        assert first["__interrupt__"][0]["value"]["action_requests"][0]["name"] == "commit_plan"
        approve = {"resume": {"decisions": [{"type": "approve"}]}}
        done = await client.runs.wait(thread, "goal_planning", command=approve, context=lying)
        code = {"code": "def f(x=[]):\n    return x\n", "language": "python"}
        checked = await client.runs.wait(None, "code_validation", input=code, context=lying)
        next_ = await client.runs.wait(None, "task_suggestion", input={"available_minutes": 60}, context=lying)
        shown = {
            a["graph_id"]: await client.assistants.get_schemas(a["assistant_id"])
            for a in await client.assistants.search()
        }
    assert done["result"]["status"] == "committed"
    assert "guardada" in done["result"]["message"]
    assert [finding["type"] for finding in checked["result"]["findings"]] == ["mutable-default"]
    assert next_["result"]["suggestions"][0]["task_id"] in done["result"]["task_ids"].values()
    assert all(schema["input_schema"]["properties"] and schema["context_schema"] for schema in shown.values())
    assert set(shown) == {"goal_planning", "code_validation", "task_suggestion"}
    async with Database(urls.login) as database, database.transaction(learner) as tx:
        assert [goal.title for goal in (await goals.list(tx, GoalFilter())).items] == ["Aprender Rust"]


@needs_dev
async def test_dev_server_without_a_learner_refuses_everybody(urls: Urls, tmp_path: Path) -> None:
    async with served(urls, tmp_path, STUDIO_USER="") as url, httpx.AsyncClient() as client:
        for headers in ({}, {"x-auth-scheme": "langsmith"}, {"authorization": "Bearer x"}):
            answer = await client.post(f"{url}/threads", json={}, headers=headers)
            assert answer.status_code == 401
            assert "STUDIO_USER" in answer.text
