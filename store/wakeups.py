"""Wakes loops when there is work: LISTEN as a hint that may get lost, each loop's own poll as the truth."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Generator
from typing import Final, Self

import psycopg
from psycopg import AsyncConnection

from store.ending import end

log = logging.getLogger(__name__)

COMMITTED: Final = "goals_events_committed"
SEQUENCED: Final = "goals_events_sequenced"
CLOSED: Final = "goals_accounts_closed"
HINT_SECONDS = 0.02
"""At most one NOTIFY in this time from a process that does not sequence itself."""


class Bell:
    """Something to wait on; ringing it twice before anyone listens is one ring."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Return True when rung, False after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


class Wakeups:
    """One LISTEN connection for the whole process, shared by every bell; opened with `async with`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bells: dict[str, set[Bell]] = {COMMITTED: set(), SEQUENCED: set(), CLOSED: set()}
        self._hint = Bell()
        self._tasks: list[asyncio.Task[None]] = []
        self.sequencing_here = False
        """Set by the process that leads the sequencer: then a commit rings the bell without asking PostgreSQL."""

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._listen(), name="events-listen"),
            asyncio.create_task(self._send_hints(), name="events-hint"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._tasks)

    @contextlib.contextmanager
    def bell(self, channel: str) -> Generator[Bell]:
        """Yield a bell that rings on every notification of `channel`, and whenever notifications may have been lost."""
        bell = Bell()
        self._bells[channel].add(bell)
        try:
            yield bell
        finally:
            self._bells[channel].discard(bell)

    def committed(self) -> None:
        """Tell the sequencer, wherever it runs, that events were committed. Never waits, never raises."""
        if self.sequencing_here:
            self.ring(COMMITTED)
        else:
            self._hint.ring()

    def ring(self, channel: str) -> None:
        for bell in self._bells[channel]:
            bell.ring()

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with _session(self._url) as connection:
                    for channel in (COMMITTED, SEQUENCED, CLOSED):
                        await connection.execute(f"LISTEN {channel}")
                        self.ring(channel)
                    failures = 0
                    async for notify in connection.notifies():
                        self.ring(notify.channel)
            except psycopg.Error as error:
                failures += 1
                log.warning("The LISTEN connection was lost; polling goes on: %s", error)
                await asyncio.sleep(min(5.0, 0.1 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))  # noqa: S311

    async def _send_hints(self) -> None:
        while True:
            await self._hint.wait(3600)
            try:
                async with _session(self._url) as connection:
                    while True:
                        await connection.execute(f"NOTIFY {COMMITTED}")
                        await asyncio.sleep(HINT_SECONDS)
                        if not await self._hint.wait(60):
                            break
            except psycopg.Error as error:
                log.warning("Could not hint the sequencer; it polls: %s", error)
                await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def _session(url: str) -> AsyncGenerator[AsyncConnection]:
    connection = await AsyncConnection.connect(
        url,
        autocommit=True,
        connect_timeout=5,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        application_name="goals-wakeups",
    )
    try:
        yield connection
    finally:
        await connection.close()
