"""One run of a graph in a process of its own, which dies at a named point if it is told to.

Started as a program it is a nursery: it imports everything once, then forks a child for every line of JSON on its
standard input, tells the child's pid, and after its end how it ended. A fork is ready in a few milliseconds; a fresh
interpreter needs two seconds, which would make a campaign of hundreds of kills too long for two cores.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TextIO
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.types import Command

from agents.embedders_hash import HashEmbedder
from agents.models import ModelRole, Models
from agents.offline import ToolRequest, WordByWord
from agents.plan import Understanding
from agents.reviewer import Review
from agents.scripted import as_message
from agents.suggester import Explanations
from graphs import GRAPHS
from graphs.context import LearnerContext
from graphs.deps import Deps
from graphs.saver import RunSaver
from store import ledger
from store.database import Database
from store.principal import Principal
from store.types import Role
from tests.graphs.planning import plan

POINTS = (
    "before_claim",
    "before_effect",
    "after_effect",
    "before_commit",
    "after_commit",
    "before_checkpoint",
    "after_checkpoint",
    "before_writes",
    "after_writes",
)
GOALS = ("alpha", "beta", "gamma")


class Fresh(WordByWord):
    """A model that answers by what it sees, with new ids each time, as a provider does after a crash."""

    @property
    def _llm_type(self) -> str:
        return "chaos"

    def answer(self, messages: Sequence[BaseMessage], wanted: str | None) -> AIMessage:
        step: Any = "READY"
        if wanted == "Understanding":
            step = Understanding(
                kind="manage", objective="", deadline=None, hours_per_week=None, level=None, constraints=[]
            )
        elif wanted == "PlanDraft":
            step = plan()
        elif wanted == "Review":
            step = Review(findings=[], rubric=[], summary="")
        elif wanted == "Explanations":
            step = Explanations(items=[])
        elif '"planner.manage"' in messages[1].text:
            done = any(isinstance(message, ToolMessage) for message in messages)
            step = "All done." if done else [ToolRequest("create_goal", {"title": title}) for title in GOALS]
        return as_message(step, messages, wanted, uuid4().hex[:8])


class Slayer:
    """Kills the process at the n-th passage of a point."""

    def __init__(self, point: str, passage: int) -> None:
        self.point, self.left = point, passage

    def at(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def armed(slayer: Slayer) -> None:
    """Put the points around the ledger and the saver of this process."""
    once, transaction = ledger.once, Database.transaction

    async def claimed(tx: Any, key: Any, *, tool: str, args: Any, effect: Callable[[], Any]) -> Any:
        async def watched() -> Any:
            slayer.at("before_effect")
            result = await effect()
            slayer.at("after_effect")
            return result

        slayer.at("before_claim")
        tx.claimed_by_ledger.append(True)
        return await once(tx, key, tool=tool, args=args, effect=watched)

    @asynccontextmanager
    async def watched_transaction(self: Database, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        async with transaction(self, *args, **kwargs) as tx:
            watched = Watched(tx)
            yield watched
            if watched.claimed_by_ledger:
                slayer.at("before_commit")
        if watched.claimed_by_ledger:
            slayer.at("after_commit")

    ledger.once = claimed
    setattr(Database, "transaction", watched_transaction)  # noqa: B010 - replaced on purpose, with another type
    for method, name in (("aput", "checkpoint"), ("aput_writes", "writes")):
        setattr(RunSaver, method, _around(getattr(RunSaver, method), slayer, name))


class Watched:
    """A transaction that remembers whether the ledger used it."""

    def __init__(self, tx: Any) -> None:
        self.tx = tx
        self.claimed_by_ledger: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tx, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"tx", "claimed_by_ledger"}:
            object.__setattr__(self, name, value)
        else:
            setattr(self.tx, name, value)


def _around(method: Any, slayer: Slayer, name: str) -> Any:
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        slayer.at(f"before_{name}")
        result = await method(self, *args, **kwargs)
        slayer.at(f"after_{name}")
        return result

    return call


async def drive(job: dict[str, Any]) -> None:
    """Bring a thread one run further, as a worker does: continue what is open, else begin, approving what is asked."""
    user = Principal(job["user"], Role.LEARNER)
    async with Database(job["url"], min_size=1, max_size=6) as database:
        model = Fresh()
        deps = Deps(database, Models(dict.fromkeys(ModelRole, model)), HashEmbedder())
        app: Any = GRAPHS[job["graph"]](deps).compile(checkpointer=RunSaver(database, user, epoch=None))
        config = {"configurable": {"thread_id": job["thread"]}}
        context = LearnerContext(user_id=user.user_id)
        for _ in range(5):
            state = await app.aget_state(config)
            # Not `next`: it leaves out a task that has finished but whose step was never stored, as after a kill.
            if state.values.get("result") and not state.tasks:
                return
            given: Any = None if state.tasks else job["input"]
            if state.interrupts:
                given = Command(resume={"decisions": [{"type": "approve"}]})
            await app.ainvoke(given, config, context=context, durability=job["durability"])
        raise RuntimeError("The thread does not come to an end.")


def child(job: dict[str, Any]) -> int:
    """Run one job in this process and return its exit status."""
    armed(Slayer(job.get("point", ""), job.get("passage", 1)))
    try:
        asyncio.run(drive(job))
    except Exception as error:  # noqa: BLE001 - told to the campaign, which fails on it
        sys.stderr.write(f"{error!r}\n")
        sys.stderr.flush()
        return 1
    return 0


def nursery(jobs: TextIO, told: TextIO) -> None:
    """Fork a child per job; tell its pid, then its wait status."""
    for line in jobs:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(child(job))
        print(pid, file=told, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=told, flush=True)


if __name__ == "__main__":
    nursery(sys.stdin, sys.stdout)
