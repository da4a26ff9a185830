"""Runs the migrations from code. Two processes may do so at once: the second waits on an advisory lock.

A database that is current is recognised without Alembic: loading it takes longer than starting PostgreSQL.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from alembic.config import Config


def upgrade(url: str, revision: str = "head") -> list[str]:
    """Brings the database at `url` (its owner's) up to `revision`; returns the revisions that were missing."""
    missing = pending(url)
    if missing:
        from alembic import command  # noqa: PLC0415 - only when there is something to do, see above

        command.upgrade(_config(url), revision)
    return missing


def downgrade(url: str, revision: str) -> None:
    """Takes the database back to `revision`; `base` removes everything."""
    from alembic import command  # noqa: PLC0415 - rare, see above

    command.downgrade(_config(url), revision)


def current(url: str) -> str | None:
    """The revision the database stands at, None before the first."""
    with psycopg.connect(url) as connection:
        known = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
        if known != (True,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row is not None else None


def pending(url: str) -> list[str]:
    """The revisions still to run, first one first."""
    reached = current(url)
    return [revision for revision in revisions() if reached is None or revision > reached]


def revisions() -> list[str]:
    """Every revision there is, in order: file names begin with the revision's number."""
    return sorted(path.name.split("_", 1)[0] for path in (_folder() / "versions").glob("[0-9]*_*.py"))


def _folder() -> Path:
    spec = find_spec("migrations")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def _config(url: str) -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config
