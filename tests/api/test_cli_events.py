"""`goals events`: every command against a real database and lake, as an operator would use them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from api.cli.console import Trouble
from api.cli.events import app
from store import goals
from store.database import Database
from store.goals import NewGoal
from store.lake import Lake
from store.principal import Principal
from tests.events import write_many
from tests.postgres import Urls

Goals = Callable[..., Result]


@pytest.fixture
def lake_folder(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def events(urls: Urls, lake_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Goals:
    """Run a command of `goals events` and return its outcome."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", urls.login)
    monkeypatch.setenv("LAKE_URI", str(lake_folder))
    monkeypatch.delenv("RABBITMQ_URL", raising=False)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, list(arguments), catch_exceptions=False)


@pytest.fixture
def goal_id(urls: Urls, learner: Principal) -> str:
    """A goal with two events."""

    async def make() -> str:
        async with Database(urls.login, max_size=2) as database, database.transaction(learner) as tx:
            goal = await goals.create(tx, NewGoal(title="secret"))
            await goals.update(tx, goal.id, {"title": "renamed"})
            return str(goal.id)

    return asyncio.run(make())


def lines(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def test_history_and_replay(events: Goals, goal_id: str) -> None:
    shown = events("history", "goal", goal_id).output
    assert "goal.created" in shown
    assert "renamed" in shown
    assert [line["entity_version"] for line in lines(events("history", "goal", goal_id, "--json"))] == [1, 2]
    (replayed,) = lines(events("replay", "goal", goal_id, "--version", "1"))
    assert replayed["version"] == 1
    (now,) = lines(events("replay", "goal", goal_id, "--user", "ada", "--at", "2099-01-01T00:00:00Z"))
    assert now["version"] == 2


@pytest.mark.parametrize("command", ["history", "replay"])
def test_an_entity_type_that_is_none_is_refused_with_those_that_are(events: Goals, command: str) -> None:
    with pytest.raises(Trouble, match="'cat'") as refused:
        events(command, "cat", "1")
    assert "code_snapshot, course, enrollment, goal" in refused.value.remedy


def test_flush_verify_and_status(events: Goals, goal_id: str, lake_folder: Path) -> None:
    assert "in the lake" in events("flush").output
    assert [file.last for file in Lake(str(lake_folder)).files()] == [2]
    assert "All places hold the same events" in events("verify").output
    (status,) = lines(events("status", "--json"))
    assert status["position"] == 2
    assert "lake" in events("status").output
    assert len(lines(events("system", "2099-01-01"))) == 1


def test_verify_fails_and_repair_mends(events: Goals, goal_id: str, lake_folder: Path) -> None:
    events("flush")
    (lake_folder / Lake(str(lake_folder)).files()[0].path).unlink()
    broken = events("verify")
    assert broken.exit_code == 1
    assert "lake at 1" in broken.output
    assert "written" in events("repair").output
    assert events("verify").exit_code == 0
    assert "Nothing to repair" in events("repair").output


def test_prune_keeps_the_past_readable(events: Goals, goal_id: str, urls: Urls) -> None:
    events("flush")
    with psycopg.connect(urls.owner) as connection:
        connection.execute("UPDATE event_batches SET sequenced_at = sequenced_at - interval '100 days'")
    assert "0 events pruned" in events("prune").output
    assert "held back by the sink broker" in events("prune").output
    assert "2 events pruned" in events("prune", "--ignore", "broker").output
    assert [line["entity_version"] for line in lines(events("history", "goal", goal_id, "--json"))] == [1, 2]


def test_parked_events_are_listed_and_given_back(events: Goals, urls: Urls) -> None:
    with psycopg.connect(urls.owner) as connection:
        connection.execute("INSERT INTO sink_parked (sink, position, attempts, error) VALUES ('index', 7, 3, 'odd')")
    assert "odd" in events("parked").output
    assert "1 will be delivered again" in events("unpark", "index").output
    (row,) = lines(events("parked", "--json"))
    assert row["retry"] is True
    with pytest.raises(Trouble, match="Nothing is parked"):
        events("unpark", "broker")


def test_a_person_is_erased(events: Goals, goal_id: str) -> None:
    events("flush")
    assert "1 files" in events("erase-user", "ada", "--yes").output
    assert "secret" not in events("history", "goal", goal_id).output
    assert events("verify").exit_code == 0


def test_a_restored_database_is_adopted(events: Goals, goal_id: str, urls: Urls) -> None:
    events("flush")
    with psycopg.connect(urls.owner) as connection:
        connection.execute("UPDATE event_head SET system_identifier = 1")
    assert "Epoch 2 begins" in events("adopt", "--yes").output
    write_many(urls.owner, "new", range(1, 3))
    assert "in the lake" in events("flush").output
    assert events("verify").exit_code == 0


def test_a_sink_can_receive_events_again(events: Goals, goal_id: str, urls: Urls) -> None:
    events("flush")
    with psycopg.connect(urls.owner) as connection:
        connection.execute("UPDATE sinks SET position = 2 WHERE name = 'broker'")
    assert "behind position 1 again" in events("redeliver", "broker", "--after", "1").output
    with psycopg.connect(urls.owner) as connection:
        assert connection.execute("SELECT position FROM sinks WHERE name = 'broker'").fetchone() == (1,)
    with pytest.raises(Trouble, match="holds these events once"):
        events("redeliver", "lake", "--after", "0")


def test_a_time_that_is_none_is_refused(events: Goals, goal_id: str) -> None:
    with pytest.raises(Trouble, match="is not a time"):
        events("replay", "goal", goal_id, "--at", "yesterday")
