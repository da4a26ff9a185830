"""A small demo course and one sample plan, made through our own HTTP API like any client would."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from langgraph_sdk import get_client
from rich.console import Console
from rich.rule import Rule

from api.cli.approval import Agreeing
from api.cli.console import out, step
from api.cli.live import GRAPH, converse
from api.cli.tokens import LOCAL_USER, mint
from api.settings import Settings
from store.types import Role

COURSE = "rust-for-programmers"
OBJECTIVE = "Learn Rust in six weeks"
TRIES = 12
"""Of five seconds each: the offline model takes that long for a whole course on a busy machine."""


async def show_sample(settings: Settings, flush: Callable[[], Awaitable[bool]], console: Console = out) -> None:
    """Seed the course if it is missing, and stream one plan if the local user has no goal yet.

    `flush` brings the events so far to Parquet now rather than with the next file.
    """
    token, _ = mint(settings, LOCAL_USER, Role.INSTRUCTOR)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=settings.url, headers=headers, timeout=30) as http:
        await _seed_course(http)
        if (await _get(http, "/goals", limit=1))["total"]:
            return
        console.print()
        console.print(Rule(" A sample plan, streamed through the API ", style="quiet"))
        console.print(f"[bold]>[/bold] {OBJECTIVE}\n")
        client = get_client(url=settings.url, api_key=None, headers=headers)
        try:
            thread = await client.threads.create(metadata={"graph_id": GRAPH})
            question = {"messages": [{"role": "user", "content": OBJECTIVE}]}
            agreeing = Agreeing(console, "Approved automatically: this is the sample. Yours will ask you.")
            await converse(client, thread["thread_id"], question, agreeing, console, course_id=COURSE)
        finally:
            await client.aclose()
        await flush()
        await _show_what_exists(http, settings, console)


async def _seed_course(http: httpx.AsyncClient) -> None:
    if (await http.get(f"/courses/{COURSE}")).is_success:
        return
    with step("Demo course") as current:
        documentation = Path(__file__).with_name("demo_course.md").read_text(encoding="utf-8")
        course = {
            "id": COURSE,
            "title": "Rust for programmers",
            "description": "For people who program already: ownership, traits, errors and concurrency, by building.",
            "documentation": documentation,
        }
        (await http.post("/courses", json=course)).raise_for_status()
        published = await http.post(f"/courses/{COURSE}/publish")
        published.raise_for_status()
        current.tell("making it searchable")
        written = f"course:{COURSE}:{published.json()['version']}"
        current.title = "Demo course made" + (", searchable" if await _searchable(http, written) else "; still indexed")


async def _searchable(http: httpx.AsyncClient, written: str) -> bool:
    """Wait until the index has it: a sample plan from an empty index would be a poor first impression."""
    for _ in range(TRIES):
        if (await _get(http, "/search", q="ownership", k=1, wait_for=written))["waited"]:
            return True
    return False


async def _show_what_exists(http: httpx.AsyncClient, settings: Settings, console: Console) -> None:
    """The proof, read back: rows through the API, events in PostgreSQL, files in the lake."""
    goals = await _get(http, "/goals", limit=1)
    if not goals["items"]:
        return
    goal = goals["items"][0]
    tasks = await _get(http, "/tasks", goal_id=goal["id"], limit=1)
    events = await _get(http, "/events", limit=1)
    console.print(f"\n  [ok]✓[/ok] In PostgreSQL: the goal, its {tasks['total']} tasks and {events['total']} events")
    files = [] if "://" in settings.lake else await asyncio.to_thread(lambda: [*Path(settings.lake).rglob("*.parquet")])
    if files:
        console.print(f"  [ok]✓[/ok] In Parquet: the same events, in {files[-1].parent.relative_to(settings.lake)}")


async def _get(http: httpx.AsyncClient, path: str, **query: str | int) -> Mapping[str, Any]:
    answer = await http.get(path, params=query)
    answer.raise_for_status()
    return answer.json()
