"""Migrating from code: what is missing, what is run, and two who start at once."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from store import migrate
from tests.postgres import Urls, with_database


@pytest.fixture
def empty(urls: Urls) -> str:
    """The owner's way into a database without any schema."""
    with psycopg.connect(with_database(urls.owner, "postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS empty_one WITH (FORCE)")
        connection.execute("CREATE DATABASE empty_one")
    return with_database(urls.owner, "empty_one")


def test_file_names_tell_the_same_order_as_alembic() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent.parent / "migrations"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert migrate.revisions() == [script.revision for script in scripts.walk_revisions()][::-1]


def test_an_empty_database_gets_everything_once(empty: str) -> None:
    assert migrate.current(empty) is None
    assert migrate.upgrade(empty) == migrate.revisions()
    assert migrate.current(empty) == migrate.revisions()[-1]
    assert migrate.upgrade(empty) == []


def test_two_who_migrate_at_once_leave_one_whole_schema(empty: str) -> None:
    script = f"from store import migrate; migrate.upgrade({empty!r})"
    both = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    assert migrate.pending(empty) == []


def test_a_database_that_went_back_misses_what_it_lost(urls: Urls) -> None:
    migrate.downgrade(urls.owner, "010")
    assert migrate.current(urls.owner) == "010"
    assert migrate.pending(urls.owner)[0] == "011"
