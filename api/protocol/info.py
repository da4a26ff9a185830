"""Who answers here: open to everybody, because clients ask before they sign in."""

from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response

from api.protocol.common import json_response
from api.protocol.operation import Operation
from api.schemas.assistants import Info, Ok

PROTOCOL_VERSION = "0.16.7"
"""The LangGraph Server whose protocol this is; Studio refuses servers that look old."""


async def info(_: Request) -> Response:
    """Describe the server."""
    return json_response(
        {
            "version": PROTOCOL_VERSION,
            "langgraph_py_version": version("langgraph"),
            "server": f"ai-goals-tracker {version('ai-goals-tracker')}",
            "flags": {"assistants": True, "crons": False, "langsmith": False, "langsmith_tracing_replicas": False},
            "host": {"kind": "self-hosted"},
        }
    )


async def ok(_: Request) -> Response:
    """Say that the process answers; /health looks deeper."""
    return json_response({"ok": True})


routes = [
    Operation("GET", "/info", info, answer=Info, public=True),
    Operation("GET", "/ok", ok, answer=Ok, public=True),
]
