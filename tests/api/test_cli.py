"""The goals command: what it prints, what it refuses, and that it starts and stops the real service."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import psutil
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from api.auth.keys import load
from api.cli import build
from api.cli.cards import duration
from api.cli.console import Trouble, speaking_plainly
from api.cli.tokens import mint
from api.settings import Settings, given
from store import embedded
from store.types import Role
from tests.postgres import Urls
from tests.rabbitmq import free_port

PATIENCE_SECONDS = 100


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data directory of the test's own, and none of the developer's settings."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PORT", str(free_port()))
    return tmp_path / "data"


def goals(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


def findings(result: Result) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in json.loads(result.stdout)}


@contextmanager
def serving(data_dir: Path, *options: str, **environment: str) -> Generator[tuple["subprocess.Popen[str]", str]]:
    """`goals serve` in a process of its own, answering; whatever is left of it is gone afterwards."""
    port = free_port()
    settings = {"DATA_DIR": str(data_dir), "PORT": str(port), "COLUMNS": "200", **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", "from api.cli import main; main()", "serve", *options],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=data_dir.parent,
    )
    try:
        yield process, answering(process, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        embedded.start(data_dir).close()  # joins what a kill left running, and stops it as its last holder


def answering(process: "subprocess.Popen[str]", url: str) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the service ended: {process.communicate()[0]}")
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return url
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail("the service does not answer")


def test_help_names_every_command() -> None:
    shown = goals("--help").stdout
    assert all(name in shown for name in ("serve", "plan", "migrate", "doctor", "openapi", "token", "evals", "events"))


def test_doctor_on_a_fresh_machine_finds_nothing_broken_and_starts_nothing(alone: Path) -> None:
    result = goals("doctor", "--json")
    assert result.exit_code == 0
    found = findings(result)
    assert found["postgres"]["detail"] == "embedded, not running"
    assert found["model"]["detail"] == "offline, rule-based"
    assert "make run" in found["service"]["remedy"]
    assert not alone.exists()


def test_doctor_sees_a_running_database_and_leaves_it_running(alone: Path) -> None:
    with embedded.start(alone) as server:
        result = goals("doctor", "--json")
        assert server.pid is not None
    assert "pgvector" in findings(result)["postgres"]["detail"]
    assert findings(result)["schema"]["remedy"] == "Run `goals migrate`."
    assert result.exit_code == 1


def test_doctor_tells_an_unreachable_database_and_never_its_password(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://goals:hunter2@127.0.0.1:{free_port()}/goals")
    monkeypatch.setenv("RABBITMQ_URL", f"amqp://goals:hunter2@127.0.0.1:{free_port()}/")
    result = goals("doctor", "--json")
    assert result.exit_code == 1
    assert findings(result)["postgres"]["state"] == "fail"
    assert findings(result)["rabbitmq"]["state"] == "fail"
    assert "hunter2" not in result.output


def test_doctor_warns_of_a_login_that_row_level_security_does_not_bind(
    urls: Urls, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", urls.owner)
    assert "superuser" in findings(goals("doctor", "--json"))["postgres"]["detail"]
    monkeypatch.setenv("DATABASE_URL", urls.login)
    assert findings(goals("doctor", "--json"))["postgres"]["state"] == "ok"


def test_doctor_recognises_a_foreign_program_on_our_port(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", port := str(free_port()), "--bind", "127.0.0.1"],
        stderr=subprocess.DEVNULL,
        cwd=alone.parent,
    ) as stranger:
        monkeypatch.setenv("PORT", port)
        try:
            until_listening(int(port))
            assert "another program" in findings(goals("doctor", "--json"))["service"]["detail"]
        finally:
            stranger.kill()


def until_listening(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nothing listens on {port}")


def test_migrate_goes_forward_back_and_checks(urls: Urls, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", urls.owner)
    assert goals("migrate", "--check").exit_code == 0
    back = json.loads(goals("migrate", "--to", "010", "--json").stdout)
    assert back["after"] == "010"
    behind = goals("migrate", "--check", "--json")
    assert behind.exit_code == 1
    assert json.loads(behind.stdout)["pending"][0] == "011"
    forward = json.loads(goals("migrate", "--json").stdout)
    assert forward == {"before": "010", "after": back["before"]}


def test_openapi_prints_the_document_without_starting_anything(alone: Path) -> None:
    document = json.loads(goals("openapi").stdout)
    assert "/goals/{goal_id}" in document["paths"]
    assert not (alone / "postgres").exists()


def test_token_is_refused_where_users_live_elsewhere(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/goals")
    result = goals("token", "--user", "ada")
    assert isinstance(result.exception, Trouble)
    assert "key the service signs with" in result.exception.problem


def test_a_token_the_service_would_refuse_is_not_printed(alone: Path) -> None:
    result = goals("token", "--user", "worker", "--role", "service")
    assert isinstance(result.exception, Trouble)
    assert "background work" in result.exception.problem
    assert not result.stdout


def test_the_first_admin_of_a_database_elsewhere_is_made_where_the_key_is(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone / "keys").mkdir(parents=True)
    load(Settings())
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/goals")
    assert goals("token", "--user", "root", "--role", "admin").exit_code == 0
    assert isinstance(goals("token", "--user", "root", "--link").exception, Trouble)


@pytest.mark.parametrize("url", ["mysql://ada:hush@there/goals", "hush"])  # pragma: allowlist secret
def test_a_database_url_that_is_none_is_refused_unquoted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "hush" not in str(refused.value)
    assert "postgresql://" in str(refused.value)


@pytest.mark.parametrize("command", [["serve"], ["worker"], ["migrate"]])
def test_an_absent_database_is_told_in_words(alone: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setattr("api.cli.serve.PATIENCE_SECONDS", 0)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://127.0.0.1:{free_port()}/goals")
    with pytest.raises(SystemExit) as left, speaking_plainly():
        raise cast("BaseException", goals(*command).exception)
    assert left.value.code == 1


def test_a_data_directory_that_cannot_be_made_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(SystemExit) as left, speaking_plainly():
        raise cast("BaseException", goals("token", "--user", "ada").exception)
    assert left.value.code == 1
    assert "DATA_DIR" in capsys.readouterr().err


def test_serve_refuses_an_unusable_key_unquoted(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_PRIVATE_KEY", "hush")
    refused = goals("serve").exception
    assert isinstance(refused, Trouble)
    assert "hush" not in refused.problem + refused.remedy
    assert not alone.exists()


def test_a_revision_nobody_knows_is_refused(alone: Path) -> None:
    result = goals("migrate", "--to", "999")
    assert isinstance(result.exception, Trouble)
    assert "head" in result.exception.remedy
    assert not alone.exists()


def test_plan_without_a_service_says_how_to_start_one(alone: Path) -> None:
    result = goals("plan", "Learn Rust")
    assert isinstance(result.exception, Trouble)
    assert "make run" in result.exception.remedy


def test_serve_refuses_a_port_in_use_before_it_starts_anything(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("PORT", str(taken.getsockname()[1]))
        result = goals("serve")
    assert isinstance(result.exception, Trouble)
    assert "PORT=" in result.exception.remedy
    assert not alone.exists()


@pytest.mark.timeout(300)
def test_a_killed_service_comes_back_with_its_plan_and_stops_with_its_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = tmp_path / "data"
    monkeypatch.setenv("DATA_DIR", str(data_dir))
    with serving(data_dir) as (process, url):
        token = sign_in_token(process)
        assert httpx.post(f"{url}/auth/sign-in", json={"token": token}).status_code == 200
        assert httpx.post(f"{url}/auth/sign-in", json={"token": token}).status_code == 401
        monkeypatch.setenv("PUBLIC_URL", url)
        another = goals("token", "--user", "you", "--link").stdout.strip()
        assert another.startswith(f"{url}/#sign-in=")
        signed_in = httpx.post(f"{url}/auth/sign-in", json={"token": another.partition("#sign-in=")[2]})
        assert signed_in.json()["user_id"] == "you"
        planned = goals("plan", "Learn to juggle", "--approve", "--json")
        assert planned.exit_code == 0, planned.output
        server = embedded.look(data_dir)
        assert server is not None
        assert server.pid is not None
        process.kill()
        os.kill(server.pid, signal.SIGKILL)
        with serving(data_dir) as (again, new_url):
            assert_planned(json.loads(planned.stdout), data_dir, new_url)
            assert_stops(again, data_dir, signal.SIGINT)


def assert_planned(outcome: dict[str, Any], data_dir: Path, url: str) -> None:
    token, _ = mint(given(data_dir=data_dir), "you", Role.INSTRUCTOR)
    headers = {"Authorization": f"Bearer {token}"}
    goal = httpx.get(f"{url}/goals/{outcome['goal_id']}", headers=headers).json()
    tasks = httpx.get(f"{url}/tasks", params={"goal_id": outcome["goal_id"]}, headers=headers).json()
    assert "juggle" in goal["title"].lower()
    assert {task["id"] for task in tasks["items"]} == set(outcome["task_ids"].values())


def assert_stops(process: "subprocess.Popen[str]", data_dir: Path, kind: signal.Signals) -> None:
    server = embedded.look(data_dir)
    assert server is not None
    pid = server.pid
    process.send_signal(kind)
    shown, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "Stopped" in shown
    assert pid is not None
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def sign_in_token(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"#sign-in=(\S+)", line):
            return found[1]
    pytest.fail("no sign-in link was shown")


@pytest.mark.parametrize(("minutes", "shown"), [(20, "20 min"), (60, "1 h"), (95, "1 h 35"), (None, "")])
def test_durations_are_short(minutes: int | None, shown: str) -> None:
    assert duration(minutes) == shown
