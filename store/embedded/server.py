"""Starts, shares and stops the embedded PostgreSQL, and heals what a crash leaves behind.

Locks decide, not process ids: the server's processes inherit one file lock and its users share another. Process ids are
reused, most of all in containers; a lock is gone exactly when its last holder is.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psutil
import psycopg

from store.embedded import account as accounts
from store.embedded import cluster, locks
from store.embedded.account import Account
from store.embedded.errors import EmbeddedError
from store.embedded.layout import PORT, SOCKET, Layout, socket_folder

DATABASE = "goals"
LOGIN = "goals_login"
POLL_SECONDS = 0.02
# Fast shutdown waits for nobody; a minute covers a last checkpoint on a slow disk.
STOP_SECONDS = 60.0
LOG_BYTES_MAX = 10_000_000

Report = Callable[[str], None]


def quiet(_message: str) -> None:
    """The report of somebody who does not want one."""


class Server:
    """One holder's share of a running server. Closing the last share stops it."""

    def __init__(self, layout: Layout, sockets: Path, holder: int | None, *, attached: bool) -> None:
        self._layout = layout
        self._holder = holder
        self.sockets = sockets
        self.attached = attached

    @property
    def owner_url(self) -> str:
        """For migrations and maintenance: the superuser."""
        return url(self.sockets, cluster.OWNER)

    @property
    def login_url(self) -> str:
        """For the service: a login without rights of its own. Migrations create it."""
        return url(self.sockets, LOGIN)

    @property
    def pid(self) -> int | None:
        """The server's process id, None when it is not running."""
        return running_pid(self._layout)

    def close(self) -> None:
        """Gives this share back; stops the server when it was the last. Safe to call twice."""
        holder, self._holder = self._holder, None
        if holder is None:
            return
        with locks.held(self._layout.start_lock, lambda: None):
            os.close(holder)
            if locks.free(self._layout.holders_lock):
                stop(self._layout)
                if not self.sockets.is_relative_to(self._layout.home):
                    with suppress(OSError):
                        self.sockets.rmdir()  # it was made for this server alone, in the temporary folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start(data_dir: Path, report: Report = quiet, *, settings: Mapping[str, str] | None = None) -> Server:
    """Returns once the server answers, started or joined; `report` is told what takes time.

    `settings` are PostgreSQL's own and apply only when this call is the one that starts it.
    Crash recovery takes as long as it takes: there is no deadline while the server lives.
    Raises EmbeddedError with the server's last words when it cannot run.
    """
    layout = Layout(data_dir.expanduser().resolve())
    account = _own_folder(layout)
    with locks.held(layout.start_lock, lambda: report("Waiting for another process that is starting PostgreSQL")):
        holder = locks.take(layout.holders_lock, shared=True)
        if holder is None:  # only ever held exclusively under the start lock, which is ours
            raise EmbeddedError(f"{layout.holders_lock} is locked by a foreign program.")
        try:
            sockets, attached = _ensure_running(layout, account, report, settings or {})
        except BaseException:
            os.close(holder)
            raise
    return Server(layout, sockets, holder, attached=attached)


def look(data_dir: Path) -> Server | None:
    """The server that runs now, looked at without holding it; None when none runs."""
    layout = Layout(data_dir.expanduser().resolve())
    sockets = _written_sockets(layout) if running_pid(layout) is not None else None
    return Server(layout, sockets, None, attached=True) if sockets is not None else None


def stop(layout: Layout) -> None:
    """Stops the server cleanly, then less so. The caller holds the start lock."""
    for kind, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, STOP_SECONDS / 4)):
        pid = running_pid(layout)
        if pid is None and locks.free(layout.server_lock):
            return
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, kind)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if locks.free(layout.server_lock):
                return
            time.sleep(POLL_SECONDS)
    raise EmbeddedError(f"PostgreSQL in {layout.cluster} does not stop; see {layout.log}.")


def running_pid(layout: Layout) -> int | None:
    """The pid of this cluster's server. A pid that now belongs to somebody else is never returned."""
    pid = _written_pid(layout)
    if pid is None:
        return None
    try:
        command = psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return None
    ours = len(command) > 2 and Path(command[0]).name == "postgres" and str(layout.cluster) in command
    return pid if ours else None


def url(sockets: Path, user: str, database: str = DATABASE) -> str:
    """A libpq URL through the socket. The port is part of it: PGPORT must not decide."""
    return f"postgresql://{user}@/{database}?host={quote(str(sockets), safe='')}&port={PORT}"


def _own_folder(layout: Layout) -> Account:
    made = not layout.root.exists()
    layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(layout.root, os.W_OK | os.X_OK):
        raise EmbeddedError(f"{layout.root} is not yours to write to. Set DATA_DIR to another folder.")
    account = accounts.choose(layout.home if layout.home.exists() else layout.root)
    if made and account.foreign:
        # Just made by us: its group may walk through, nobody else may.
        os.chown(layout.root, -1, account.gid)
        layout.root.chmod(0o710)
    cluster.prepare_folders(layout, account)
    return account


def _ensure_running(layout: Layout, account: Account, report: Report, settings: Mapping[str, str]) -> tuple[Path, bool]:
    lock = locks.take(layout.server_lock)
    if lock is None:
        sockets = _join(layout, report)
        if sockets is not None:
            return sockets, True
        lock = locks.take(layout.server_lock, wait=True)
        assert lock is not None
    try:
        sockets = _launch(layout, account, report, settings, lock)
    finally:
        os.close(lock)  # the server's processes hold their own copies
    if not _wait_until_ready(layout, sockets, report):
        raise EmbeddedError(f"PostgreSQL did not start. Its last words, from {layout.log}:\n{_last_words(layout)}")
    _create_database(sockets)
    return sockets, False


def _join(layout: Layout, report: Report) -> Path | None:
    """The socket folder of a server of ours which lives; None once its last process is gone."""
    reported = False
    while not locks.free(layout.server_lock):
        sockets = _written_sockets(layout) if running_pid(layout) is not None else None
        if sockets is not None and _wait_until_ready(layout, sockets, report):
            _create_database(sockets)
            return sockets
        if not reported:
            report("Waiting for what is left of a killed PostgreSQL to end")
            reported = True
        time.sleep(POLL_SECONDS)
    return None


def _launch(layout: Layout, account: Account, report: Report, settings: Mapping[str, str], lock: int) -> Path:
    if running_pid(layout) is not None:
        raise EmbeddedError(f"A PostgreSQL that was not started by this program uses {layout.cluster}. Stop it first.")
    if not (layout.cluster / "PG_VERSION").exists():
        report("Creating the database")
        cluster.initialise(layout, account)
    sockets = socket_folder(layout, account)
    # The lock says that no server lives, so these are leftovers, whoever owns the process ids in them by now.
    for leftover in (layout.pid_file, sockets / SOCKET, sockets / f"{SOCKET}.lock"):
        leftover.unlink(missing_ok=True)
    cluster.admit(layout, account)
    if layout.log.exists() and layout.log.stat().st_size > LOG_BYTES_MAX:
        layout.log.replace(layout.log.with_suffix(".log.1"))
    log = os.open(layout.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        cluster.launch(layout, account, sockets=sockets, lock=lock, settings=settings, log=log)
    finally:
        os.close(log)
    return sockets


def _wait_until_ready(layout: Layout, sockets: Path, report: Report) -> bool:
    """True when the server answers, False when it ends first."""
    began = told = time.monotonic()
    while not locks.free(layout.server_lock):
        try:
            psycopg.connect(url(sockets, cluster.OWNER, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "authentication failed" in str(error):
                raise EmbeddedError(f"PostgreSQL runs but does not know you: {error}") from error
        else:
            return True
        now = time.monotonic()
        if now - told >= 1:
            told = now
            report(f"PostgreSQL is getting ready, {now - began:.0f} s: {_last_words(layout, lines=1)}")
        time.sleep(POLL_SECONDS)
    return False


def _create_database(sockets: Path) -> None:
    with psycopg.connect(url(sockets, cluster.OWNER, "postgres"), autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
        if found is None:
            connection.execute("CREATE DATABASE goals")


def _pid_file_lines(layout: Layout) -> list[str]:
    try:
        return layout.pid_file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _written_pid(layout: Layout) -> int | None:
    lines = _pid_file_lines(layout)
    return int(lines[0]) if lines and lines[0].strip().isdigit() and int(lines[0]) > 1 else None


def _written_sockets(layout: Layout) -> Path | None:
    lines = _pid_file_lines(layout)
    return Path(lines[4]) if len(lines) > 4 and lines[4] else None


def _last_words(layout: Layout, lines: int = 12) -> str:
    try:
        return "\n".join(layout.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
