"""Tells this process whose account was closed, whichever process closed it: no request has to ask."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from api.auth.tokens import Tokens
from store import users
from store.database import Database
from store.ending import end
from store.errors import StoreError
from store.principal import SERVICE
from store.wakeups import CLOSED, Bell, Wakeups

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Behind every notification, which may get lost: closing an account takes no longer than this to be known."""
OVERLAP = timedelta(seconds=60)
"""A transaction may commit this long after the time it wrote; Database ends it after 30 s."""


@asynccontextmanager
async def closed_accounts_refused(database: Database, wakeups: Wakeups, tokens: Tokens) -> AsyncGenerator[None]:
    """Dismiss the tokens of closed accounts for the length of the block; of those closed before, when it begins."""
    with wakeups.bell(CLOSED) as bell:
        await _dismiss(database, tokens, None if tokens.external is not None else tokens.longest + OVERLAP)
        following = asyncio.create_task(_follow(database, tokens, bell), name="closed-accounts")
        try:
            yield
        finally:
            await end([following])


async def _follow(database: Database, tokens: Tokens, bell: Bell) -> None:
    loop = asyncio.get_running_loop()
    known = loop.time()
    while True:
        await bell.wait(POLL_SECONDS)
        asked = loop.time()
        try:
            await _dismiss(database, tokens, OVERLAP + timedelta(seconds=asked - known))
        except StoreError as error:
            logger.debug("Closed accounts could not be asked for: %s", error)
        except Exception:  # whatever it was: who stops looking lets closed accounts in
            logger.exception("Closed accounts could not be asked for.")
        else:
            known = asked


async def _dismiss(database: Database, tokens: Tokens, within: timedelta | None) -> None:
    for account in await users.closed(database.reader(SERVICE), within):
        tokens.dismiss(account.user_id, age=account.age, erased=account.erased)
