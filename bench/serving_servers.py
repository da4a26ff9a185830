"""The servers of the serving bench, each with the same agent, model and PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psycopg
import psycopg.conninfo
from psycopg import sql

MODEL_PORT = 18901
_AGENT = "from bench.serving_agent import build\n\nagent = build()\n"


@dataclass
class Server:
    """A server under test."""

    name: str
    port: int
    process: "subprocess.Popen[str]"
    path: str = "/runs/stream"
    """`{thread}` stands for a new thread's id."""
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    headers: str = ""
    slow: int = 1
    """How many times fewer runs are enough."""


def start(
    stack: ExitStack, command: Sequence[str], env: dict[str, str], cwd: Path | None = None, *, heard: bool = False
) -> "subprocess.Popen[str]":
    """Start a child process that dies with the bench; what it prints is only kept if it is `heard`."""
    out = subprocess.PIPE if heard else subprocess.DEVNULL
    process = subprocess.Popen(
        command, env={**os.environ, **env}, cwd=cwd, stdout=out, stderr=subprocess.DEVNULL, text=True
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def our_server(stack: ExitStack, login_url: str, port: int, model_port: int = MODEL_PORT) -> Server:
    """Start our own server on a migrated database."""
    env = {"FAKE_MODEL_URL": f"http://127.0.0.1:{model_port}/v1", "LOGIN_URL": login_url}
    process = start(stack, [sys.executable, "-m", "bench.serving_ours", str(port)], env, heard=True)
    token = process.stdout.readline().strip() if process.stdout else ""
    return Server(
        "ours",
        port,
        process,
        body={"assistant_id": "agent", "stream_mode": "messages-tuple"},
        headers=f"Authorization: Bearer {token}\r\n",
    )


def peers(stack: ExitStack, folder: Path, owner_url: str) -> list[Server]:
    """Start the peers that are installed; say which are not."""
    starts: dict[str, Callable[[], Server | None]] = {
        "plain FastAPI": lambda: plain(stack, owner_url, 18903),
        "langgraph dev": lambda: langgraph_dev(stack, folder, 18904),
        "Aegra": lambda: aegra(stack, folder, owner_url, 18905),
    }
    found: list[Server] = []
    for name, begin in starts.items():
        server = begin()
        if server is None:
            print(orjson.dumps({"server": name, "absent": "not installed, see docs/serving.md"}).decode(), flush=True)
        else:
            found.append(server)
    return found


def _env(**more: str) -> dict[str, str]:
    return {"FAKE_MODEL_URL": f"http://127.0.0.1:{MODEL_PORT}/v1", "PYTHONPATH": str(Path.cwd()), **more}


def _database(owner_url: str, name: str) -> str:
    """Make a database of the peer's own and return its URL."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    known = psycopg.conninfo.conninfo_to_dict(owner_url)
    return f"postgresql://{known['user']}@/{name}?host={known['host']}" + (
        f"&port={known['port']}" if known.get("port") else ""
    )


def plain(stack: ExitStack, owner_url: str, port: int) -> Server:
    """FastAPI, sse-starlette and LangGraph's saver, as in serving_plain.py."""
    env = _env(PLAIN_URL=_database(owner_url, "plain"))
    command = [sys.executable, "-m", "bench.serving_plain", str(port)]
    return Server("plain FastAPI", port, start(stack, command, env), slow=2)


def langgraph_dev(stack: ExitStack, folder: Path, port: int) -> Server | None:
    """LangGraph's own development server, which keeps everything in memory."""
    command = os.environ.get("LANGGRAPH_CLI", str(Path(sys.executable).with_name("langgraph")))
    if not Path(command).exists():
        return None
    home = folder / "dev"
    home.mkdir()
    (home / "agent.py").write_text(_AGENT)
    (home / "langgraph.json").write_text('{"dependencies": ["."], "graphs": {"agent": "./agent.py:agent"}}')
    env = _env(LANGSMITH_TRACING="false", LANGGRAPH_CLI_NO_ANALYTICS="1")
    options = ["--no-browser", "--no-reload", "--port", str(port), "--n-jobs-per-worker", "64"]
    process = start(stack, [command, "dev", *options], env, home)
    return Server(
        "langgraph dev", port, process, body={"assistant_id": "agent", "stream_mode": "messages-tuple"}, slow=2
    )


def aegra(stack: ExitStack, folder: Path, owner_url: str, port: int) -> Server | None:
    """Aegra on a database of its own, in the mode without Redis."""
    python = os.environ.get("AEGRA_PYTHON", "")
    if not Path(python).is_file():
        return None
    home = folder / "aegra"
    home.mkdir()
    (home / "agent.py").write_text(_AGENT)
    (home / "aegra.json").write_text('{"graphs": {"agent": "./agent.py:agent"}}')
    url = _database(owner_url, "aegra")
    with psycopg.connect(url) as connection:  # its migrations want uuid-ossp, which the embedded server lacks
        connection.execute("CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'")
    env = _env(DATABASE_URL=url, LOG_LEVEL="WARNING", LANGGRAPH_MAX_POOL_SIZE="16")
    command = [python, "-m", "uvicorn", "aegra_api.main:app", "--port", str(port), "--log-level", "warning"]
    process = start(stack, command, env, home)
    body = {"assistant_id": "agent", "stream_mode": ["messages-tuple"]}
    return Server("Aegra", port, process, path="/threads/{thread}/runs/stream", body=body, slow=2)
