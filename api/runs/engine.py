"""What routes do with runs: start, cancel, follow. One engine per process, on `app.state.runs`."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from api.runs import intake
from api.runs.cursor import Cursor
from api.runs.execute import pending_interrupts
from api.runs.registry import Builder, Compiled, Registry, thread_config
from api.runs.wire import dumps
from api.runs.worker import Worker
from graphs.saver import checkpointer
from store import checkpoints, frames, runs, threads
from store.database import Database, Transaction
from store.errors import Conflict, Invalid, NotFound
from store.principal import SERVICE, Principal
from store.runs import NewRun, Run, RunStatus
from store.thread_retention import Keep
from store.threads import Thread, ThreadStatus
from store.types import new_id

BUSY = "Thread is already running a task. Wait for it to finish or choose a different multitask strategy."
ANSWERED = "Nothing on this thread waits for an answer, or somebody has answered already."


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one process takes on."""

    concurrent_runs: int = 64
    runs_per_user: int = 0
    """How many runs of one user may wait or run, in all processes together; 0 means any number."""
    run_seconds: float = 900.0
    grace_seconds: float = 8.0
    stream_seconds: float = 3600.0
    """A stream ends politely after this long; clients rejoin where they were."""
    keep: Keep = field(default_factory=Keep)


class Started(NamedTuple):
    """An accepted run, and the place in its thread's log after which its frames come."""

    run: Run
    after: int


class Engine:
    """Starts runs for callers and lets them watch."""

    def __init__(self, database: Database, builders: Mapping[str, Builder], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.database = database
        self.started = datetime.now(UTC).isoformat()
        self.registry = Registry(builders)
        self.worker = Worker(
            database,
            self.registry,
            capacity=self.limits.concurrent_runs,
            run_seconds=self.limits.run_seconds,
            keep=self.limits.keep,
        )

    async def start_run(
        self,
        caller: Principal,
        body: Mapping[str, Any],
        thread_id: str | None,
        *,
        protocol: int = 1,
        request_id: str | None = None,
    ) -> Started:
        """Accept a run: its row and input are committed when this returns.

        Raises Invalid, NotFound, Conflict or TooMany.
        """
        assistant = self.registry.assistant(str(body.get("assistant_id") or ""))
        kwargs = intake.kwargs_of(body, temporary=thread_id is None)
        if thread_id is None and kwargs["command"] and kwargs["command"].get("resume") is not None:
            raise Invalid("You must provide a thread_id when resuming.")
        new = replace(
            intake.new_run(body, thread_id or str(new_id()), assistant.assistant_id, assistant.graph_id, kwargs),
            protocol=protocol,
            request_id=request_id,
        )
        async with self.database.transaction(caller) as tx:
            if thread_id is None:
                thread = await threads.create(tx, new.thread_id, metadata={}, stateless=True)
            else:
                if body.get("if_not_exists") == "create":
                    await threads.create(tx, new.thread_id, metadata={}, if_exists="do_nothing")
                thread = await threads.lock(tx, new.thread_id)
                await self._make_way(tx, thread, new)
            await self._check_checkpoint(tx, thread.thread_id, kwargs["checkpoint"])
            if not thread.stateless:
                await threads.adopt_graph(tx, thread, new.graph_id, new.assistant_id)
            # What a dead worker wrote for a run that was then cancelled is counted nowhere but in the log.
            new_here = thread_id is None or (thread.graph_id is None and not thread.stateless)
            after = 0 if new_here else await frames.last_seq(tx, thread.thread_id)
            owner = self.worker.sender if self.worker.has_room else None
            run = await runs.create(tx, new, owner=owner, most=self.limits.runs_per_user)
        if run.status is RunStatus.RUNNING:
            self.worker.own(run, after)
        else:
            self.worker.look_for_work()
        return Started(run, after)

    async def cancel(self, caller: Principal, run_id: str, action: str = "interrupt") -> bool:
        """Stop a run wherever it is; False when there was nothing left to stop. Asking again changes nothing."""
        async with self.database.transaction(caller) as tx:
            run = await runs.get(tx, run_id)
            await threads.lock(tx, run.thread_id)
            asked = await self._cancel(tx, run, action)
        if not asked:
            return False
        self.worker.cancel(run_id, action)
        if run.status is RunStatus.PENDING:
            await self.refresh(caller, run.thread_id)
            await self.announce(caller, run.thread_id)
        return True

    async def refresh(self, caller: Principal, thread_id: str) -> None:
        """Bring a thread's status and questions in line with its state, after something else than a run changed it."""
        async with self.database.transaction(caller) as tx:
            thread = await threads.get(tx, thread_id)
        if thread.graph_id is None:
            interrupts: dict[str, Any] = {}
            standing = ThreadStatus.IDLE
        else:
            graph, config = self.open(caller, thread)
            state = await graph.aget_state(config)
            interrupts = pending_interrupts(state.tasks)
            standing = ThreadStatus.INTERRUPTED if state.tasks else ThreadStatus.IDLE
        async with self.database.transaction(caller) as tx:
            await threads.settle(tx, thread_id, standing, interrupts=interrupts)

    async def announce_state(self, caller: Principal, thread_id: str) -> None:
        """Tell watchers of a thread that its state was changed from outside."""
        async with self.database.transaction(caller) as tx:
            thread = await threads.get(tx, thread_id)
        graph, config = self.open(caller, thread)
        values = dumps((await graph.aget_state(config)).values)
        async with self.database.transaction(SERVICE) as tx:
            await threads.lock(tx, thread_id)
            if not await runs.unfinished(tx, thread_id):
                await frames.note(tx, thread_id, "state_update", values, self.worker.sender)
        self.worker.hub.touch(thread_id)

    async def announce(self, caller: Principal, thread_id: str) -> None:
        """Wake everybody who watches a thread, here and in other processes."""
        self.worker.hub.touch(thread_id)
        async with self.database.transaction(caller) as tx:
            await tx.execute("SELECT pg_notify('run_frames', %s)", (f"{thread_id} {self.worker.sender}",))

    def open(
        self, caller: Principal, thread: Thread, checkpoint: Mapping[str, Any] | None = None
    ) -> tuple[Compiled, Any]:
        """Return a thread's graph and the config to read or change its state as `caller`."""
        if thread.graph_id is None:
            raise NotFound(f"Thread {thread.thread_id} has no graph yet: start a run on it first.")
        return self.registry.graph(thread.graph_id), thread_config(
            checkpointer(self.database, caller), thread.thread_id, checkpoint
        )

    def cursor(self, caller: Principal, thread_id: str, after: int, *, fresh: bool = False) -> Cursor:
        """Return a reader of a thread's frames that follow `after`.

        `fresh` says that the caller has just started a run there that this process executes: what it says is in memory.
        """
        return Cursor(self.database, self.worker.hub, caller, thread_id, after, stale=not fresh)

    async def _check_checkpoint(self, tx: Transaction, thread_id: str, checkpoint: dict[str, Any] | None) -> None:
        if checkpoint is None or "checkpoint_id" not in checkpoint:
            return
        if not await checkpoints.exists(tx, thread_id, checkpoint["checkpoint_id"], checkpoint["checkpoint_ns"]):
            raise NotFound(f"Checkpoint {checkpoint['checkpoint_id']} not found")

    async def _make_way(self, tx: Transaction, thread: Thread, new: NewRun) -> None:
        """Apply the multitask strategy, and let a question be answered once only."""
        others = await runs.unfinished(tx, thread.thread_id)
        command = cast("dict[str, Any]", new.kwargs["command"] or {})
        if command.get("resume") is not None:
            if others or not thread.interrupts:
                raise Conflict(ANSWERED)
            _check_answers(command["resume"], thread.interrupts)
            await threads.forget_questions(tx, thread.thread_id)
            return
        if others and new.multitask_strategy == "reject":
            raise Conflict(BUSY)
        if new.multitask_strategy in ("interrupt", "rollback"):
            for run in others:
                await self._cancel(tx, run, new.multitask_strategy)

    async def _cancel(self, tx: Transaction, run: Run, action: str) -> bool:
        if run.status is RunStatus.PENDING:
            if action == "rollback":
                await runs.delete(tx, run.run_id)
                return True
            return await runs.end_pending(tx, run.run_id, RunStatus.INTERRUPTED)
        return await runs.ask_cancel(tx, run.run_id, action)


def _check_answers(resume: object, interrupts: dict[str, Any]) -> None:
    """A resume that names questions by id must name questions that are open."""
    open_ids = {item["id"] for items in interrupts.values() for item in items}
    if not isinstance(resume, dict):
        return
    named = {key for key in cast("dict[str, object]", resume) if len(key) == 32 and set(key) <= set("0123456789abcdef")}
    if named - open_ids:
        raise Conflict(ANSWERED)


@asynccontextmanager
async def run_executor(
    database: Database, builders: Mapping[str, Builder], limits: Limits | None = None
) -> AsyncGenerator[Engine]:
    """Serve and execute runs for the length of the block; at its end hand unfinished runs back to the queue."""
    engine = Engine(database, builders, limits)
    engine.worker.start()
    try:
        yield engine
    finally:
        await engine.worker.stop(engine.limits.grace_seconds)
