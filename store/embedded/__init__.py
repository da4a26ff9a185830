"""PostgreSQL from PyPI for one machine: used only when no DATABASE_URL is set."""

from store.embedded.errors import EmbeddedError
from store.embedded.server import Report, Server, look, start

__all__ = ["EmbeddedError", "Report", "Server", "look", "start"]
