"""The event path of one process: sequencer and relays as supervised tasks, started and stopped together.

`goals serve` runs it beside the API, `goals worker` alone. Any number of processes may run it: each loop works in one
of them and stands by in the others.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from prometheus_client import Gauge

from store import cursors, lag
from store.background import BackgroundLoop, service_session
from store.broker import WINDOW, Broker
from store.database import Database
from store.ending import end
from store.entity_snapshots import SnapshotSink
from store.errors import StoreError
from store.lake import ROLL, Forked, Lake
from store.messages import EXCHANGE
from store.principal import SERVICE
from store.relay import BatchPolicy, Relay, Sink
from store.sequencer import Sequencer, check_origin
from store.wakeups import COMMITTED, SEQUENCED, Wakeups

log = logging.getLogger(__name__)

GRACE_SECONDS: Final = 8.0
"""How long stopping may take to bring what was committed to every sink that answers."""

# What several processes measure in one database is taken from whoever measured last; what each does itself is added up.
_OF_THE_DATABASE: Final = "livemostrecent"
POSITION = Gauge("goals_events_position", "Last position of the log.", multiprocess_mode=_OF_THE_DATABASE)
UNSEQUENCED = Gauge(
    "goals_events_unsequenced",
    "Committed events without a position yet, counted up to 1,000.",
    multiprocess_mode=_OF_THE_DATABASE,
)
LAG = Gauge("goals_events_sink_lag", "Events a sink has not taken yet.", ["sink"], multiprocess_mode=_OF_THE_DATABASE)
LAG_SECONDS = Gauge(
    "goals_events_sink_lag_seconds",
    "Age of the oldest event a sink has not taken yet.",
    ["sink"],
    multiprocess_mode=_OF_THE_DATABASE,
)
PARKED = Gauge(
    "goals_events_sink_parked",
    "Events set aside because a sink cannot take them.",
    ["sink"],
    multiprocess_mode=_OF_THE_DATABASE,
)
FAILURES = Gauge(
    "goals_events_sink_failures", "Failed deliveries in a row.", ["sink"], multiprocess_mode=_OF_THE_DATABASE
)
LEADING = Gauge(
    "goals_events_loop_leading",
    "1 where the loop works, 0 where it stands by; over all processes of a service, how many work.",
    ["loop"],
    multiprocess_mode="livesum",
)


@dataclass(frozen=True, slots=True)
class EventPathConfig:
    """Where events go beside PostgreSQL."""

    lake_uri: str
    rabbitmq_url: str | None = None
    """Without one the broker's cursor waits, visibly, and catches up once there is one."""
    exchange: str = EXCHANGE
    relaying: bool = True
    """False for a process that only listens: others do the work."""


class EventPath:
    """A running event path."""

    def __init__(self, database: Database, wakeups: Wakeups, lake: Lake, loops: Sequence[BackgroundLoop]) -> None:
        self.wakeups = wakeups
        self.lake = lake
        self._database = database
        self._loops = {loop.name: loop for loop in loops}

    async def health(self) -> dict[str, Any]:
        """Return positions, lags and errors of every sink; raises `StoreError` when the database is away."""
        async with self._database.transaction(SERVICE) as tx:
            head = await lag.head(tx)
            known = await lag.sinks(tx)
        sinks = {each.name: asdict(each) | self._here(each.name) for each in known}
        return {**asdict(head), **self._here("sequencer"), "sinks": sinks}

    def measure_here(self) -> None:
        """Refresh the gauges of this process."""
        for name, loop in self._loops.items():
            LEADING.labels(name).set(loop.leading)

    async def measure(self) -> None:
        """Refresh the gauges of the whole log; raises `StoreError` when the database is away."""
        async with self._database.transaction(SERVICE) as tx:
            head = await lag.head(tx)
            known = await lag.sinks(tx)
        POSITION.set(head.position)
        UNSEQUENCED.set(head.unsequenced)
        for each in known:
            LAG.labels(each.name).set(each.lag)
            LAG_SECONDS.labels(each.name).set(each.lag_seconds)
            PARKED.labels(each.name).set(each.parked)
            FAILURES.labels(each.name).set(each.failures)

    async def flush(self, seconds: float = 10.0) -> bool:
        """Bring everything committed so far to the lake now; False when that took longer than `seconds`."""
        async with self._database.transaction(SERVICE) as tx:
            await cursors.request_flush(tx.connection, self.lake.name)
        self.wakeups.ring(COMMITTED)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self.wakeups.ring(SEQUENCED)
                    async with self._database.transaction(SERVICE) as tx:
                        if await cursors.flushed(tx.connection, self.lake.name):
                            return True
                    await asyncio.sleep(0.1)
        except TimeoutError:
            return False

    def _here(self, name: str) -> dict[str, Any]:
        loop = self._loops.get(name)
        if loop is None:
            return {"state": "not configured here"}
        state = "working" if loop.leading else "failing" if loop.error else "standing by"
        return {"state": state, "error": loop.error}


@asynccontextmanager
async def event_path(
    config: EventPathConfig, database: Database, extra_sinks: Sequence[Sink] = ()
) -> AsyncGenerator[EventPath]:
    """Run sequencer and relays until the block ends, then deliver what was committed, within a grace time.

    Raises `Restored`, `Forked` or `UnsafeCommits` at once when running would contradict what was already delivered.
    """
    async with AsyncExitStack() as stack:
        epoch = await _checked_epoch(config, database)
        wakeups = await stack.enter_async_context(Wakeups(database.url))
        lake = Lake(config.lake_uri, epoch=epoch)
        loops: list[BackgroundLoop] = []
        if config.relaying:
            loops = _loops(config, database, wakeups, lake, extra_sinks, stack)
        database.after_events = wakeups.committed
        tasks = [asyncio.create_task(loop.run(), name=f"events-{loop.name}") for loop in loops]
        try:
            yield EventPath(database, wakeups, lake, loops)
        finally:
            database.after_events = None
            await _stop(loops, tasks)


def _loops(
    config: EventPathConfig,
    database: Database,
    wakeups: Wakeups,
    lake: Lake,
    extra_sinks: Sequence[Sink],
    stack: AsyncExitStack,
) -> list[BackgroundLoop]:
    sinks: list[tuple[Sink, BatchPolicy]] = [(lake, ROLL), (SnapshotSink(database, lake), BatchPolicy())]
    sinks += [(sink, BatchPolicy()) for sink in extra_sinks]
    if config.rabbitmq_url is not None:
        broker = Broker(config.rabbitmq_url, epoch=lake.epoch, exchange=config.exchange)
        stack.push_async_callback(broker.close)
        sinks.append((broker, WINDOW))
    sequencer = Sequencer(database.url, wakeups, stack.enter_context(wakeups.bell(COMMITTED)))
    relays = [
        Relay(database.url, sink, stack.enter_context(wakeups.bell(SEQUENCED)), policy=policy) for sink, policy in sinks
    ]
    return [sequencer, *relays]


async def _checked_epoch(config: EventPathConfig, database: Database) -> int:
    async with service_session(database.url) as connection:
        await check_origin(connection)
        for name in (Lake.name, Broker.name):
            await cursors.register(connection, name)
        at = await cursors.read(connection, Lake.name)
        cursor = await connection.execute("SELECT epoch FROM event_head")
        row = await cursor.fetchone()
    epoch: int = row[0] if row else 1
    reached = await asyncio.to_thread(Lake(config.lake_uri, epoch=epoch).last_position)
    if reached > (at.pending_end or at.position):
        raise Forked(
            f"The lake holds events up to {reached}, this database delivered {at.position}: it was set back to an"
            " earlier moment. Run `goals events adopt`, then start again."
        )
    return epoch


async def _stop(loops: Sequence[BackgroundLoop], tasks: Sequence[asyncio.Task[None]]) -> None:
    """Sequencer first, so that the relays can deliver its last cut; whoever exceeds the grace time is cut off."""
    if not tasks:
        return
    deadline = asyncio.get_running_loop().time() + GRACE_SECONDS
    loops[0].stop()
    await asyncio.wait(tasks[:1], timeout=GRACE_SECONDS / 2)
    for loop in loops:
        loop.stop()
    _, late = await asyncio.wait(tasks, timeout=max(0.1, deadline - asyncio.get_running_loop().time()))
    for task in late:
        log.warning("%s did not finish in time; it goes on from its cursor at the next start", task.get_name())
    await end(late)
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception) and not isinstance(outcome, StoreError):
            log.error("An event loop had died", exc_info=outcome)
