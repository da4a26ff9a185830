"""What the sequencer and every relay share: one leader per name, a session of its own, reconnecting, stopping."""

import asyncio
import contextlib
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator

import psycopg
from psycopg import AsyncConnection

from store.errors import StoreError
from store.wakeups import Bell

log = logging.getLogger(__name__)

STANDBY_SECONDS = 2.0
STEADY_SECONDS = 30.0
"""A loop that ran this long before it failed starts its back-off from the beginning."""


@contextlib.asynccontextmanager
async def service_session(url: str, name: str = "goals-background") -> AsyncGenerator[AsyncConnection]:
    """Open a connection of one's own that acts as the background role, outside the pool.

    Session locks and LISTEN belong to a connection, so they cannot live in a pool that hands connections around.
    """
    connection = await AsyncConnection.connect(
        url,
        autocommit=True,
        connect_timeout=5,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        application_name=name,
        options="-c timezone=UTC -c statement_timeout=60000 -c idle_in_transaction_session_timeout=60000",
    )
    try:
        await connection.execute("SET ROLE goals_service")
        yield connection
    finally:
        await connection.close()


def backoff(failures: int, *, base: float = 0.1, cap: float = 30.0) -> float:
    """Return how long to wait after the n-th failure in a row: doubling, capped, with jitter."""
    return min(cap, base * 2 ** min(failures, 20)) * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


class BackgroundLoop(ABC):
    """A named loop that runs in one process at a time and survives the loss of its connection.

    The advisory lock only saves work: correctness rests on row locks and fenced updates, never on the election.
    """

    def __init__(self, name: str, url: str, bell: Bell) -> None:
        self.name = name
        self.leading = False
        self.stopping = False
        self.error: str | None = None
        self._url = url
        self._bell = bell

    def stop(self) -> None:
        """Ask the loop to finish what is waiting and end."""
        self.stopping = True
        self._bell.ring()

    async def run(self) -> None:
        """Work until stopped; on a lost connection start again, with back-off."""
        failures = 0
        while True:
            started = asyncio.get_running_loop().time()
            try:
                async with service_session(self._url, f"goals-{self.name}") as connection:
                    if await self._lead(connection):
                        await self.work(connection)
                return
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}".strip()
                if self.stopping:
                    return
                lasted = asyncio.get_running_loop().time() - started
                failures = 1 if lasted > STEADY_SECONDS else failures + 1
                expected = isinstance(error, psycopg.Error | OSError | StoreError)
                log.warning("%s starts again: %s", self.name, self.error, exc_info=None if expected else error)
                await self._bell.wait(backoff(failures, cap=5.0))
            finally:
                self.leading = False

    async def _lead(self, connection: AsyncConnection) -> bool:
        while True:
            cursor = await connection.execute(
                "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [f"goals:{self.name}"]
            )
            row = await cursor.fetchone()
            if row and row[0]:
                self.leading = True
                self.error = None
                return True
            if self.stopping:
                return False
            await self._bell.wait(STANDBY_SECONDS)

    @abstractmethod
    async def work(self, connection: AsyncConnection) -> None:
        """Do the loop's work on its own session until `self.stopping`."""
