"""Deletes what has run out: answers kept for repeated requests, refresh tokens, sign-in links, sign-in counters."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from store import credentials, idempotency, sessions
from store.database import Database
from store.ending import end
from store.errors import StoreError
from store.principal import SERVICE

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 600.0


@asynccontextmanager
async def expiring(database: Database) -> AsyncGenerator[None]:
    """Delete now and again while the block runs. Every process does; one finds what another has left."""
    task = asyncio.create_task(_keep_deleting(database), name="expiry")
    try:
        yield
    finally:
        await end([task])


async def _keep_deleting(database: Database) -> None:
    while True:
        try:
            async with database.transaction(SERVICE) as tx:
                await idempotency.prune(tx)
                await sessions.prune(tx)
                await credentials.prune(tx)
        except StoreError as error:
            log.warning("What has run out is deleted later: %s", error)
        await asyncio.sleep(PAUSE_SECONDS)
