"""Ends the wait for a database that is silent rather than gone: no error ever comes from such a socket by itself.

Statement timeouts need the server to be heard, and TCP's own timeouts are content as long as some peer's kernel
acknowledges. So the socket is shut down from this side, and libpq reports a lost connection at once.
"""

import asyncio
import contextlib
import os
import socket

from psycopg import AsyncConnection, Error


def hang_up_after(seconds: float, connection: AsyncConnection) -> asyncio.TimerHandle:
    """Shut the connection's socket down after `seconds`, unless the returned handle is cancelled before."""
    return asyncio.get_running_loop().call_later(seconds, _hang_up, connection)


def _hang_up(connection: AsyncConnection) -> None:
    with contextlib.suppress(OSError, Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
