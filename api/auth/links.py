"""Makes one-time sign-in links, for the person who runs the service on their own machine."""

from datetime import timedelta

from store import sessions
from store.database import Database
from store.principal import SERVICE

LIFETIME = timedelta(minutes=15)


async def issue(database: Database, user_id: str, *, lifetime: timedelta = LIFETIME) -> str:
    """Return a token that signs this user in once; put it behind the `#`, where no server log ever sees it."""
    async with database.transaction(SERVICE) as tx:
        return await sessions.create_link(tx, user_id, lifetime=lifetime)
