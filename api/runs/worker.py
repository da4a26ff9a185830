"""The loops of a process that executes runs: claim, renew, reap, prune, listen, write."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

from api.runs import metrics
from api.runs.execute import Active, Attempt, LeaseLost
from api.runs.hub import Hub
from api.runs.registry import Registry
from api.runs.writer import FrameWriter
from store import run_notices, runs
from store.database import Database
from store.ending import end
from store.errors import Conflict, StoreError
from store.principal import SERVICE
from store.runs import LEASE_SECONDS, Run
from store.thread_retention import Keep, prune
from store.types import new_id

HEARTBEAT_SECONDS = 3.0
REAP_SECONDS = 1.0
PRUNE_SECONDS = 300.0
_CHANNELS = ("run_frames", "runs_pending", "runs_cancel")

log = logging.getLogger(__name__)


class Worker:
    """Owns this process's share of the runs."""

    def __init__(
        self, database: Database, registry: Registry, *, capacity: int, run_seconds: float, keep: Keep
    ) -> None:
        self.database = database
        self.registry = registry
        self.hub = Hub()
        self.sender = str(new_id())
        self.writer = FrameWriter(database, self.hub, self.sender, metrics.FRAMES_WRITTEN.inc)
        self._capacity = capacity
        self._run_seconds = run_seconds
        self._keep = keep
        self._active: dict[str, Active] = {}
        self._wanted = asyncio.Event()
        self._stopping = False
        self._loops: list[asyncio.Task[None]] = []

    @property
    def has_room(self) -> bool:
        """Whether a new run may be claimed here."""
        return not self._stopping and len(self._active) < self._capacity

    @property
    def active(self) -> int:
        """How many runs this process executes."""
        return len(self._active)

    def start(self) -> None:
        """Begin to work."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "claim": self._claim_loop,
            "renew": partial(self._every, HEARTBEAT_SECONDS, self._renew),
            "reap": partial(self._every, REAP_SECONDS, self._reap),
            "prune": partial(self._every, PRUNE_SECONDS, self._prune),
            "frames": self.writer.run,
            "listen": partial(run_notices.listen, self.database.url, self.sender, _CHANNELS, self._heard),
        }
        self._loops = [
            asyncio.create_task(_supervised(name, loop), name=f"runs:{name}") for name, loop in loops.items()
        ]

    async def stop(self, grace: float) -> None:
        """Take nothing new, let runs reach their next step for `grace` seconds, give the rest back to the queue."""
        self._stopping = True
        for active in self._active.values():
            active.control.request_drain()
        tasks = [active.task for active in self._active.values() if active.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for _ in range(4):
                for active in self._active.values():
                    active.stop()
                if late:
                    _, late = await asyncio.wait(late, timeout=grace / 4)
        await end(self._loops)

    def own(self, run: Run, after: int | None = None) -> None:
        """Execute a run this process has claimed; its frames follow `after`, if that is known."""
        active = Active(run, after, cancel=run.cancel)
        self._active[run.run_id] = active
        if after is not None:
            self.hub.keep(run.thread_id, after)
        metrics.RUNS_ACTIVE.inc()
        active.task = asyncio.create_task(self._execute(active), name=f"run:{run.run_id}")

    def cancel(self, run_id: str, action: str) -> None:
        """Stop a run if it is executed here."""
        active = self._active.get(run_id)
        if active is not None:
            active.cancel = "rollback" if active.cancel == "rollback" else action
            active.stop()

    def look_for_work(self) -> None:
        """Claim waiting runs now rather than at the next poll."""
        self._wanted.set()

    async def _execute(self, active: Active) -> None:
        run, recorded = active.run, False
        try:
            attempt = Attempt(active, self.database, self.registry, self.writer, deadline=self._run_seconds)
            recorded = await attempt.execute() is not None
            if not recorded:
                await self._give_back(active)
        except LeaseLost:
            metrics.LEASES_LOST.inc()
            log.warning("run %s belongs to another worker now", run.run_id)
        except StoreError as error:
            log.warning("run %s: %s", run.run_id, error)
            await self._give_back(active)
        except asyncio.CancelledError:
            await self._give_back(active)
        except Exception:
            # A fault of ours. The lease runs out by itself, which keeps the next attempt from coming at once.
            log.critical("run %s could not be executed", run.run_id, exc_info=True)
        finally:
            was_full = not self.has_room
            if self._active.get(run.run_id) is active:  # given back, it may be here again already
                del self._active[run.run_id]
            metrics.RUNS_ACTIVE.dec()
            if active.after is not None:
                self.hub.release(run.thread_id)
            if not recorded:  # else its last frame, the `end`, has told every reader here
                self.hub.touch(run.thread_id)
            if was_full or active.others_wait:
                self.look_for_work()

    async def _give_back(self, active: Active) -> None:
        """Return a run to the queue; while the database is away keep trying until the lease is over anyway."""
        pause = 0.1
        while not active.lost and time.monotonic() - active.renewed < LEASE_SECONDS:
            try:
                async with self.database.transaction(SERVICE) as tx:
                    await runs.hand_back(tx, active.run.lease)
                return
            except StoreError:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    async def _claim_loop(self) -> None:
        while True:
            try:
                async with asyncio.timeout(REAP_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            while self.has_room:
                try:
                    async with self.database.transaction(SERVICE) as tx:
                        claimed = await runs.claim(tx, self._capacity - len(self._active), self.sender)
                except Conflict:  # two workers met at one thread; the unique index let one of them pass
                    continue
                except StoreError as error:
                    log.warning("cannot look for runs: %s", error)
                    break
                if not claimed:
                    break
                for run in claimed:
                    self.own(run)

    async def _renew(self) -> None:
        owned = list(self._active.values())
        if not owned:
            return
        now = time.monotonic()
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS), self.database.transaction(SERVICE) as tx:
                held = await runs.heartbeat(tx, [active.run.lease for active in owned])
        except (StoreError, TimeoutError):
            held = None
        for active in owned:
            run_id = active.run.run_id
            if held is None:
                # No answer: the lease may still hold, until it cannot any more.
                active.lost = now - active.renewed > LEASE_SECONDS - HEARTBEAT_SECONDS
            else:
                active.lost = run_id not in held and run_id in self._active
                active.renewed = now
            if active.lost:
                active.stop()
            elif held is not None and (action := held.get(run_id)) is not None:
                self.cancel(run_id, action)

    async def _reap(self) -> None:
        async with self.database.transaction(SERVICE) as tx:
            threads = await runs.reap(tx)
            counts = await runs.counts(tx)
        metrics.RUNS_QUEUED.set(counts.get("pending", 0))
        metrics.FRAMES_WAITING.set(self.writer.backlog)
        metrics.STREAMS_OPEN.set(self.hub.readers)
        if threads:
            metrics.RUNS_REAPED.inc(len(threads))
            self.look_for_work()

    async def _prune(self) -> None:
        more = True
        while more:
            async with self.database.transaction(SERVICE) as tx:
                more = await prune(tx, self._keep)
            await asyncio.sleep(1.0)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            started = time.monotonic()
            try:
                await work()
            except StoreError as error:
                log.warning("%s", error)
            await asyncio.sleep(max(0.1, seconds - (time.monotonic() - started)))

    def _heard(self, channel: str, payload: str) -> None:
        if channel == "run_frames":
            thread_id, _, sender = payload.partition(" ")
            if not payload:
                self.hub.touch_all()
            elif sender != self.sender:
                self.hub.touch(thread_id)
        elif channel == "runs_pending":
            self.look_for_work()
        elif payload:
            run_id, _, action = payload.partition(" ")
            self.cancel(run_id, action or "interrupt")


async def _supervised(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that should never end; when it breaks, say so loudly and start it again.

    A worker without one of its loops would look alive and do nothing.
    """
    while True:
        try:
            await loop()
        except Exception:
            log.critical("the loop %r of the run worker broke; it starts again", name, exc_info=True)
            await asyncio.sleep(1.0)
