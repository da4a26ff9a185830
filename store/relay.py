"""Carries the log, in order, to one sink: a durable fenced cursor, back-off, and a place for poisonous events."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from psycopg import AsyncConnection

from store import cursors
from store.background import BackgroundLoop, backoff
from store.errors import StoreError
from store.event_rows import SequencedEvent
from store.faults import fault
from store.wakeups import Bell

__all__ = ["BatchPolicy", "PoisonEvent", "Redelivers", "Relay", "SequencedEvent", "Sink", "SinkUnavailable"]

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
TRIES_TOGETHER = 3
TRIES_ALONE = 3
PARKED_IN_A_ROW = 3
"""After so many parked events without one delivered between them the sink itself is taken to be broken, not they."""


class PoisonEvent(StoreError):
    """This one event can never be delivered; the others can."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"Event {position} cannot be delivered: {reason}")
        self.position = position
        self.reason = reason


class SinkUnavailable(StoreError):
    """The sink does not answer now. Delivery waits and tries again; nothing is ever parked for this."""


class Sink(Protocol):
    """Where events go. Delivery is at least once: after a crash the same events come again, in the same order."""

    @property
    def name(self) -> str: ...

    async def deliver(self, events: Sequence[SequencedEvent]) -> None:
        """Return once all `events` are safe in the sink.

        Raise `SinkUnavailable` (or any OSError, TimeoutError) when the sink is away, `PoisonEvent` for one event that
        can never succeed. Anything else is retried, then narrowed down to single events, which are parked.
        """
        ...


@runtime_checkable
class Redelivers(Protocol):
    """A sink that wants to know when an event comes late, out of order, because it had been parked."""

    async def redeliver(self, event: SequencedEvent) -> None: ...


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How many events a sink gets at once."""

    max_events: int = 500
    max_bytes: int = 8 * 1024 * 1024
    min_events: int = 1
    """Wait for so many, unless the oldest has waited `max_wait` seconds."""
    max_wait: float = 0.0
    fixed_borders: bool = False
    """Make the border of a batch durable before delivering it: after a crash exactly the same batch comes again."""
    parks: bool = True
    """False for a sink that must be complete: it holds at an event it cannot take."""


@dataclass(slots=True)
class Counters:
    """What this process has done for one sink."""

    delivered: int = 0
    batches: int = 0
    retries: int = 0
    parked: int = 0


@dataclass(slots=True)
class _Trouble:
    tries: int = 0
    alone: bool = False
    parked_in_a_row: int = 0
    failures: int = 0
    reported: bool = False


class Relay(BackgroundLoop):
    """Drives one sink. In one process at a time it works, in the others it stands by."""

    def __init__(self, url: str, sink: Sink, bell: Bell, *, policy: BatchPolicy | None = None) -> None:
        super().__init__(sink.name, url, bell)
        self.sink = sink
        self.policy = policy or BatchPolicy()
        self.counters = Counters()
        self._trouble = _Trouble()

    async def work(self, connection: AsyncConnection) -> None:
        self._trouble = _Trouble()
        await cursors.register(connection, self.name)
        while True:
            pause = await self.step(connection)
            if pause is None:
                continue
            if self.stopping:
                return
            await self._bell.wait(pause)

    async def step(self, connection: AsyncConnection) -> float | None:
        """Deliver one batch; return None when there may be more at once, else how long to wait for more."""
        cursor = await cursors.read(connection, self.name)
        if cursor.retry_position is not None:
            await self._redeliver(connection, cursor.retry_position)
        if cursor.waiting == 0:
            return POLL_SECONDS
        too_few = cursor.pending_end is None and cursor.waiting < self.policy.min_events
        if too_few and cursor.age < self.policy.max_wait and not (cursor.flush or self.stopping):
            return min(POLL_SECONDS, max(0.05, self.policy.max_wait - cursor.age))
        return await self._deliver(connection, cursor)

    async def _deliver(self, connection: AsyncConnection, cursor: cursors.Cursor) -> float | None:
        most = 1 if self._trouble.alone else self.policy.max_events
        events = await cursors.fetch(connection, cursor, most=most, most_bytes=self.policy.max_bytes)
        last = events[-1].position
        if self.policy.fixed_borders and cursor.pending_end is None:
            await cursors.fix_border(connection, cursor, last)
        try:
            await self.sink.deliver(events)
        except PoisonEvent as poison:
            return await self._poisoned(connection, cursor, events, poison)
        except (SinkUnavailable, OSError, TimeoutError) as error:
            return await self._failed(connection, error)
        except Exception as error:  # noqa: BLE001 - whatever a sink does must end in a retry or a parked event
            return await self._puzzled(connection, cursor, events, error)
        await cursors.advance(connection, cursor, last)
        fault(f"{self.name}.after_cursor")
        self._count(events)
        return None

    def _count(self, events: Sequence[SequencedEvent]) -> None:
        self.counters.delivered += len(events)
        self.counters.batches += 1
        self.error = None
        self._trouble = _Trouble()

    async def _failed(self, connection: AsyncConnection, error: Exception) -> float:
        self._trouble.failures += 1
        self.counters.retries += 1
        self.error = f"{type(error).__name__}: {error}"
        if not self._trouble.reported or self._trouble.failures % 10 == 0:
            log.warning("The sink %s does not take events: %s", self.name, self.error)
            await cursors.report(connection, self.name, self._trouble.failures, self.error)
            self._trouble.reported = True
        return backoff(self._trouble.failures)

    async def _puzzled(
        self,
        connection: AsyncConnection,
        cursor: cursors.Cursor,
        events: Sequence[SequencedEvent],
        error: Exception,
    ) -> float | None:
        log.error("The sink %s failed", self.name, exc_info=error)
        trouble = self._trouble
        trouble.tries += 1
        if not self.policy.parks:
            return await self._failed(connection, error)
        if not trouble.alone and trouble.tries >= TRIES_TOGETHER:
            trouble.alone, trouble.tries = True, 0
            return None
        if trouble.alone and trouble.tries >= TRIES_ALONE and trouble.parked_in_a_row < PARKED_IN_A_ROW:
            trouble.tries = 0
            trouble.parked_in_a_row += 1
            await self._park(connection, cursor, events[0].position, repr(error))
            return None
        return await self._failed(connection, error)

    async def _poisoned(
        self,
        connection: AsyncConnection,
        cursor: cursors.Cursor,
        events: Sequence[SequencedEvent],
        poison: PoisonEvent,
    ) -> float | None:
        if not self.policy.parks:
            return await self._failed(connection, poison)
        before = [event for event in events if event.position < poison.position]
        if before:
            await self.sink.deliver(before)
            self.counters.delivered += len(before)
        await self._park(connection, cursor, poison.position, poison.reason)
        return None

    async def _park(self, connection: AsyncConnection, cursor: cursors.Cursor, position: int, error: str) -> None:
        log.error("The sink %s cannot take event %s, parked: %s", self.name, position, error)
        await cursors.park(connection, cursor, position, error)
        self.counters.parked += 1

    async def _redeliver(self, connection: AsyncConnection, position: int) -> None:
        events = await cursors.fetch_one(connection, position)
        try:
            for event in events:
                if isinstance(self.sink, Redelivers):
                    await self.sink.redeliver(event)
                else:
                    await self.sink.deliver([event])
        except Exception as error:  # it was parked for a reason; it may well fail again
            log.exception("The sink %s still cannot take event %s", self.name, position)
            await cursors.park_again(connection, self.name, position, repr(error))
            return
        await cursors.release(connection, self.name, position)
