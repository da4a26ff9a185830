"""One attempt of one run: from its claim to an outcome that is recorded exactly once."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.runtime import RunControl

from api.runs import metrics
from api.runs.failures import Failure, failure_of
from api.runs.intake import command_of, context_of
from api.runs.produce import Producer
from api.runs.produce_v2 import ProducerV2
from api.runs.registry import Compiled, Registry, thread_config
from api.runs.wire import dumps, plain
from api.runs.writer import FrameWriter, Outbox
from graphs.saver import checkpointer
from store import checkpoints, frames, run_outcome, runs
from store.database import Database
from store.errors import StoreError, Unavailable
from store.frames import Frame
from store.principal import SERVICE, Principal
from store.run_outcome import Ending
from store.runs import MAX_ATTEMPTS, Run, RunStatus
from store.spans import span
from store.threads import ThreadStatus
from store.types import Role

log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else owns the run; whatever this worker still knows about it is worthless."""


@dataclass(eq=False)
class Active:
    """A run this process owns."""

    run: Run
    after: int | None = None
    """The last frame of the thread before this run's, if that is known."""
    control: RunControl = field(default_factory=RunControl)
    task: "asyncio.Task[None] | None" = None
    cancel: str | None = None
    """What the client asked for: interrupt or rollback."""
    lost: bool = False
    settling: bool = False
    """The graph has stopped; only its outcome is still to be recorded, which nothing should cut short."""
    others_wait: bool = True
    """More runs are queued on the thread; assumed until the outcome is recorded."""
    renewed: float = field(default_factory=time.monotonic)
    """When the lease was last known to hold, by this process's own clock."""

    def stop(self) -> None:
        """Cancel the attempt where it stands. Asked again until heard: Python 3.11 may lose one cancellation."""
        if self.task is not None and (self.lost or not self.settling):
            self.task.cancel()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    status: RunStatus
    error: Failure | None = None


class Attempt:
    """Executes a claimed run under its lease and the identity of whoever asked for it."""

    def __init__(
        self, active: Active, database: Database, registry: Registry, writer: FrameWriter, *, deadline: float
    ) -> None:
        self._active = active
        self._run = active.run
        self._database = database
        self._writer = writer
        self._deadline = deadline
        self._graph: Compiled = registry.graph(self._run.graph_id)
        self._principal = Principal(self._run.user_id, Role(self._run.user_role), tuple(self._run.user_courses))
        self._saver: AsyncPostgresSaver = checkpointer(database, self._principal, epoch=self._run.epoch)

    async def execute(self) -> RunStatus | None:
        """Run the graph and record how it ended; None means that the run should go back to the queue."""
        run = self._run
        with span(
            f"invoke_agent {run.graph_id}",
            parent=run.kwargs.get("traceparent"),
            gen_ai__operation__name="invoke_agent",
            gen_ai__agent__name=run.graph_id,
            gen_ai__conversation__id=run.thread_id,
            goals__run__id=run.run_id,
            goals__run__attempt=run.attempt,
        ):
            return await self._execute()

    async def _execute(self) -> RunStatus | None:
        run = self._run
        outbox = Outbox(self._writer, run.lease, run.thread_id, await self._last_seq())
        producer = self._producer(outbox)
        producer.begin(run.run_id, run.graph_id, run.attempt)
        outcome = await self._drive(producer)
        if outcome is None:
            return None
        self._active.settling = True
        producer.finish()
        if outcome.status is RunStatus.INTERRUPTED and self._active.cancel != "rollback":
            await self._keep_partial(producer)
        if not await outbox.drained():
            raise LeaseLost
        return await self._record(outcome, producer, outbox)

    async def _last_seq(self) -> int:
        if self._active.after is not None:
            return self._active.after
        async with self._database.transaction(SERVICE) as tx:
            return await frames.last_seq(tx, self._run.thread_id)

    def _producer(self, outbox: Outbox) -> Producer:
        if self._run.protocol == 2:
            return ProducerV2(emit=outbox.add)
        kwargs = self._run.kwargs
        return Producer(
            frozenset(kwargs["stream_mode"]), subgraphs=bool(kwargs.get("stream_subgraphs")), emit=outbox.add
        )

    async def _drive(self, producer: Producer) -> Outcome | None:
        """Return how the graph ended; None when the run should go back to the queue."""
        if self._run.attempt > MAX_ATTEMPTS:
            text = f"The run was tried {MAX_ATTEMPTS} times and never finished."
            return Outcome(RunStatus.ERROR, Failure("TooManyAttempts", text))
        if self._active.cancel is not None:
            return Outcome(RunStatus.INTERRUPTED)
        try:
            async with asyncio.timeout(self._deadline):
                await self._run_graph(producer)
        except asyncio.CancelledError:
            if self._active.lost:
                raise LeaseLost from None
            if self._active.cancel is None:
                return None
            cast("asyncio.Task[None]", asyncio.current_task()).uncancel()
            return Outcome(RunStatus.INTERRUPTED)
        except TimeoutError:
            text = f"The run took longer than {self._deadline:.0f} seconds."
            return Outcome(RunStatus.TIMEOUT, Failure("RunTimeout", text))
        except GraphDrained:
            return None
        except Exception as error:  # noqa: BLE001 - whatever a graph raises becomes the outcome of its run
            return self._broken(error)
        return Outcome(RunStatus.SUCCESS)

    async def _run_graph(self, producer: Producer) -> None:
        kwargs = self._run.kwargs
        await producer.drive(
            self._graph,
            await self._input(),
            self._config(),
            context=context_of(self._principal, kwargs),
            durability="sync",
            control=self._active.control,
            interrupt_before=kwargs.get("interrupt_before"),
            interrupt_after=kwargs.get("interrupt_after"),
        )

    def _broken(self, error: Exception) -> Outcome | None:
        run = self._run
        if _is_outage(error):
            log.warning("run %s goes back to the queue: %s", run.run_id, error)
            return None
        if not isinstance(error, GraphRecursionError):
            log.error("run %s failed", run.run_id, exc_info=error)
        return Outcome(RunStatus.ERROR, failure_of(error, run.request_id))

    async def _input(self) -> object:
        """Return what the graph gets: the client's input or command, or None when an earlier attempt used it up."""
        run = self._run
        if run.attempt > 1:
            newest = await self._saver.aget_tuple(thread_config(self._saver, run.thread_id))
            if newest is not None and cast("dict[str, Any]", newest.metadata).get("run_id") == run.run_id:
                return None
        command = run.kwargs.get("command")
        return command_of(command) if command else run.kwargs.get("input")

    def _config(self) -> RunnableConfig:
        run = self._run
        config = thread_config(self._saver, run.thread_id, run.kwargs.get("checkpoint"))
        asked: dict[str, Any] = run.kwargs.get("config") or {}
        config["recursion_limit"] = asked.get("recursion_limit") or 50
        config["tags"] = asked.get("tags") or []
        config["run_name"] = run.graph_id
        config["metadata"] = {
            **run.metadata,
            "run_id": run.run_id,
            "thread_id": run.thread_id,
            "graph_id": run.graph_id,
            "assistant_id": run.assistant_id,
            "run_attempt": run.attempt,
        }
        return config

    async def _keep_partial(self, producer: Producer) -> None:
        """Keep what the reader already saw of an unfinished answer, as a message that says so."""
        said = {key: (node, "".join(parts)) for key, (node, parts) in producer.partial.items() if any(parts)}
        if not said or "messages" not in self._graph.channels:
            return
        config = thread_config(self._saver, self._run.thread_id)
        try:
            state = await self._graph.aget_state(config)
            for key, (node, text) in said.items():
                if node in state.next:
                    mark = {"partial": True, "finish_reason": "cancelled"}
                    message = AIMessage(content=text, id=key, response_metadata=mark)
                    await self._graph.aupdate_state(
                        {**config, "metadata": {"run_id": self._run.run_id}}, {"messages": [message]}, as_node=node
                    )
                    return
        except StoreError:
            raise
        except Exception:
            log.exception("run %s: the partial answer could not be kept", self._run.run_id)

    async def _record(self, outcome: Outcome, producer: Producer, outbox: Outbox) -> RunStatus | None:
        """Write the last frames, the run's outcome and the thread's new standing in one commit."""
        run = self._run
        rolled_back = self._active.cancel == "rollback" and outcome.status is RunStatus.INTERRUPTED
        if rolled_back:
            async with self._database.transaction(SERVICE) as tx:
                await checkpoints.roll_back(tx, run.thread_id, run.run_id, run.base_checkpoint_id)
        waits = producer.paused or outcome.status is not RunStatus.SUCCESS
        interrupts, standing = await self._standing(outcome) if waits else ({}, ThreadStatus.IDLE)
        error = outcome.error.as_json() if outcome.error else None
        words = list(producer.questions)
        if error is not None:
            words.append(("error", "", dumps(error)))
        words.append(("end", "", self._ending(outcome, interrupts)))
        last = [Frame(outbox.seq + place, run.run_id, *word) for place, word in enumerate(words, 1)]
        ending = Ending(outcome.status, last, standing, interrupts, error, forget_state=bool(run.kwargs["temporary"]))
        async with self._database.transaction(SERVICE) as tx:
            waiting = await run_outcome.record(tx, run.lease, run.thread_id, ending, self._writer.sender)
            if waiting is None:
                raise LeaseLost
            if rolled_back:
                await runs.delete(tx, run.run_id)
        self._active.others_wait = waiting
        self._writer.publish(run.thread_id, last)
        metrics.RUNS_FINISHED.labels(run.graph_id, outcome.status).inc()
        return outcome.status

    def _ending(self, outcome: Outcome, interrupts: dict[str, Any]) -> str:
        now = time.time_ns() // 1_000_000
        ending: dict[str, Any] = {"status": outcome.status, "graph_name": self._run.graph_id, "at": now}
        if interrupts:
            ending["waits"] = True
        if outcome.error is not None:
            ending["error"] = outcome.error.message
        return dumps(ending)

    async def _standing(self, outcome: Outcome) -> tuple[dict[str, Any], ThreadStatus]:
        state = await self._graph.aget_state(thread_config(self._saver, self._run.thread_id))
        interrupts = pending_interrupts(state.tasks)
        if outcome.status in (RunStatus.ERROR, RunStatus.TIMEOUT):
            return interrupts, ThreadStatus.ERROR
        if outcome.status is RunStatus.INTERRUPTED and self._active.cancel == "rollback":
            return interrupts, ThreadStatus.INTERRUPTED if interrupts else ThreadStatus.IDLE
        return interrupts, ThreadStatus.INTERRUPTED if state.tasks else ThreadStatus.IDLE


def pending_interrupts(tasks: Any) -> dict[str, Any]:  # noqa: ANN401 - LangGraph's PregelTask, with or without state
    """Return the questions a state waits for: task id -> [{"id", "value"}]."""
    return {
        task.id: [{"id": item.id, "value": plain(item.value)} for item in task.interrupts]
        for task in tasks
        if task.interrupts
    }


def _is_outage(error: BaseException | None) -> bool:
    """Whether the database, not the graph, is to blame: it was away, or it refused a worker that lost its lease."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, Unavailable) or getattr(error, "sqlstate", None) == "40001":
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
