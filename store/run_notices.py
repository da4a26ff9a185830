"""One LISTEN connection per process for runs: a hint of what others committed; everyone polls behind it."""

import asyncio
from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql

Listener = Callable[[str, str], None]
"""Called with (channel, payload); after a connection was made anew with (channel, "") for every channel."""


async def listen(url: str, owner: str, channels: Sequence[str], heard: Listener) -> None:
    """Call `heard` for every notification until cancelled; reconnect when the connection breaks.

    The connection also holds the advisory lock by which others see that `owner` is alive.
    """
    pause = 0.1
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                url, autocommit=True, connect_timeout=5, keepalives_idle=10, application_name="goals runs"
            ) as connection:
                await connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (owner,))
                for channel in channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                for channel in channels:  # whatever was said before this moment was not heard
                    heard(channel, "")
                pause = 0.1
                async for notice in connection.notifies():
                    heard(notice.channel, notice.payload)
        except psycopg.OperationalError:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)
