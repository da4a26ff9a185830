"""The socket that all processes of the service answer on."""

import socket

from api.cli.console import Trouble
from api.settings import Settings

UNREAD_BYTES = 131_072
"""Of a connection, to be kept by the system, which takes twice as much. Left to itself it takes up to 4 MiB, so that
300 readers who stall hold a gigabyte, are served to the end, and nobody notices that they do not read."""
UNREAD_SECONDS = 30
"""A connection whose other end takes nothing for so long is cut by the system where it can (Linux). A stream gives such
a reader up earlier, but closing a connection waits for what was already sent."""


def listen(settings: Settings) -> socket.socket:
    """Take the port first: that it is in use is told before anything is started."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise Trouble(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.",
            "If it is in use, stop the other program or choose another port: PORT=8001 make run",
        ) from error
    return listening
