"""A worker process for the campaigns: executes runs of one graph until it is killed or asked to stop."""

import asyncio
import operator
import signal
import sys
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from api.runs.engine import Limits, run_executor
from graphs.context import LearnerContext
from store.database import Database

STEPS = 12


class Walk(TypedDict):
    """The steps taken so far."""

    taken: Annotated[list[int], operator.add]


def walk(pause: float = 0.1) -> StateGraph[Any, Any, Any, Any]:
    """Twelve steps, a checkpoint after each."""

    async def step(state: Walk) -> dict[str, Any]:
        await asyncio.sleep(pause)
        return {"taken": [len(state["taken"])]}

    def more(state: Walk) -> str:
        return "step" if len(state["taken"]) < STEPS else END

    builder = StateGraph(Walk, context_schema=LearnerContext)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", more, ["step", END])
    return builder


async def work(url: str) -> None:
    """Execute runs; say so once ready."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Database(url, max_size=8) as database, run_executor(database, {"walk": walk()}, Limits(grace_seconds=2)):
        print("ready", flush=True)  # noqa: T201 - the parent waits for this line
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
