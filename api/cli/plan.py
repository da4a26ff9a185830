"""`goals plan`: have a goal planned by the running service, live, and decide about the plan."""

import asyncio
import os
import sys
from typing import Annotated, Any, cast

import httpx
import typer

from api.cli.console import Trouble, err, out
from api.cli.tokens import LOCAL_USER, mint
from api.settings import Settings
from store.types import Role


def plan(
    objective: Annotated[
        str, typer.Argument(help='What you want to reach, for example "Learn Rust in six weeks".')
    ] = "",
    course: Annotated[str | None, typer.Option(help="Plan inside this course.")] = None,
    thread: Annotated[str | None, typer.Option(help="Go on in this thread; decides about a plan that waits.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Approve the plan without asking.")] = False,
    user: Annotated[str, typer.Option(help="Who you are on the embedded default.")] = LOCAL_USER,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON; progress goes to stderr.")
    ] = False,
) -> None:
    """Plan a goal, live: steps, tool calls and words as they come, then your decision.

    Uses the service at PUBLIC_URL or HOST and PORT. The token comes from GOALS_TOKEN, or is made for --user here.
    """
    if not objective and thread is None:
        raise Trouble("Say what you want to reach.", 'For example: goals plan "Learn Rust in six weeks"')
    settings = Settings()
    token = os.environ.get("GOALS_TOKEN") or mint(settings, user, Role.INSTRUCTOR)[0]
    asyncio.run(_plan(settings.url, token, objective, course=course, thread=thread, approve=approve, as_json=as_json))


async def _plan(
    url: str, token: str, objective: str, *, course: str | None, thread: str | None, approve: bool, as_json: bool
) -> None:
    from langgraph_sdk import get_client

    from api.cli.approval import Agreeing, AtTheTerminal, Leaving
    from api.cli.live import GRAPH, converse

    console = err if as_json else out
    decide = (
        Agreeing(console, "Approved, because of --approve.")
        if approve
        else AtTheTerminal(console)
        if sys.stdin.isatty() and sys.stdout.isatty()
        else Leaving(console)
    )
    client = get_client(url=url, api_key=None, headers={"Authorization": f"Bearer {token}"})
    try:
        thread_id = thread or (await client.threads.create(metadata={"graph_id": GRAPH}))["thread_id"]
        question = {"messages": [{"role": "user", "content": objective}]} if objective else None
        done = await converse(client, thread_id, question, decide, console, course_id=course)
        values = cast("dict[str, Any]", (await client.threads.get_state(thread_id))["values"])
    except httpx.ConnectError as error:
        raise Trouble(f"No service answers at {url}.", "Start it in another terminal: make run") from error
    except httpx.HTTPStatusError as error:
        raise Trouble(f"The service refused: {error}", "`goals doctor` looks for the reason.") from error
    finally:
        await client.aclose()
    result = cast("dict[str, Any]", values.get("result") or {}) if done else {}
    outcome = {
        "thread_id": thread_id,
        "waiting": not done,
        "status": result.get("status"),
        "goal_id": result.get("goal_id"),
        "task_ids": result.get("task_ids", {}),
    }
    if as_json:
        out.print_json(data=outcome)
    elif not done:
        out.print(f"\nThe plan waits for you: goals plan --thread {thread_id}")
    if not done:
        raise typer.Exit(3)
