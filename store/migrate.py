"""Runs the migrations from code. Two processes may do so at once: the second waits on an advisory lock."""

from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool


def upgrade(url: str, revision: str = "head") -> list[str]:
    """Brings the database at `url` (its owner's) up to `revision`; returns the revisions that were missing."""
    missing = pending(url)
    if missing or revision != "head":
        command.upgrade(_config(url), revision)
    return missing


def downgrade(url: str, revision: str) -> None:
    """Takes the database back to `revision`; `base` removes everything."""
    command.downgrade(_config(url), revision)


def current(url: str) -> str | None:
    """The revision the database stands at, None before the first."""
    engine = create_engine(_sqlalchemy(url), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def pending(url: str) -> list[str]:
    """The revisions still to run, first one first."""
    scripts = ScriptDirectory.from_config(_config(url))
    newest_first = scripts.iterate_revisions("head", current(url) or "base")
    return [script.revision for script in newest_first][::-1]


def _config(url: str) -> Config:
    spec = find_spec("migrations")
    assert spec is not None
    assert spec.submodule_search_locations
    config = Config()
    config.set_main_option("script_location", str(Path(spec.submodule_search_locations[0])).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config


def _sqlalchemy(url: str) -> str:
    return "postgresql+psycopg://" + url.split("://", 1)[1]
