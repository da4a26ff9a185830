"""`goals index` tells how the index stands, finds what it misses, and moves it to another model."""

import asyncio
import json

import psycopg
import pytest
from typer.testing import CliRunner, Result

from api.cli.index import app
from api.settings import Settings
from store import goals
from store.database import Database
from store.goals import NewGoal
from store.principal import Principal
from store.types import Role
from tests.postgres import Urls


@pytest.fixture
def with_a_goal(urls: Urls, monkeypatch: pytest.MonkeyPatch) -> Urls:
    """A database the command is pointed at, with one goal the index has not heard of."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", urls.login)
    monkeypatch.setenv("MIGRATION_DATABASE_URL", urls.owner)

    async def make() -> None:
        ada = Principal("ada", Role.LEARNER)
        async with Database(urls.login, max_size=1) as database, database.transaction(ada) as tx:
            await goals.create(tx, NewGoal(title="Learn Go"))

    asyncio.run(make())
    return urls


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_status_verify_and_rebuild_tell_one_story(with_a_goal: Urls) -> None:
    before = json.loads(run("status", "--json").stdout)
    assert (before["models"], before["preferred"]) == ([], "all-minilm-l6-v2")

    missing = run("verify", "--json")
    assert missing.exit_code == 1
    assert [each["kind"] for each in json.loads(missing.stdout)["differences"]] == ["missing"]

    built = json.loads(run("rebuild", "--model", "hash-v1", "--json").stdout)
    assert [(m["model"], m["state"], m["chunks"]) for m in built["models"]] == [("hash-v1", "current", 1)]
    assert run("verify").exit_code == 0
    assert "rebuild --model all-minilm-l6-v2" in " ".join(run("status").stdout.split())


def test_verify_repairs_when_told_to(with_a_goal: Urls) -> None:
    run("rebuild", "--model", "hash-v1")
    with psycopg.connect(with_a_goal.owner) as connection:
        connection.execute("DELETE FROM indexed_entities")
    assert run("verify").exit_code == 1
    assert run("verify", "--repair").exit_code == 0
    assert run("verify").exit_code == 0


def test_a_model_that_is_not_there_is_refused_with_a_way_out(with_a_goal: Urls) -> None:
    result = run("rebuild", "--model", "text-embedding-3-small")
    assert result.exit_code == 1
    assert "text-embedding-3-small" in str(result.exception)
