"""Further processes that serve on the socket of the first: started again when they die, gone when the first one is."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from typing_extensions import override

GRACE_SECONDS = 20
RESTART_SECONDS = 1.0
"""The pause before a dead process is replaced; it doubles for those that do not live for long."""
LONGEST_PAUSE_SECONDS = 30.0
PARENT_SECONDS = 0.5
_FILES = "PROMETHEUS_MULTIPROC_DIR"

log = logging.getLogger(__name__)


@contextmanager
def helpers(count: int, listening: socket.socket, login_url: str | None) -> Generator[None]:
    """Keep `count` further processes serving for the length of the block.

    With any, all of them keep what they measure in files, for whichever is asked for metrics. That is decided when
    prometheus_client is imported, so nothing may have imported it before.
    """
    if not count:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="goals-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault(_FILES, folder)
        environment = {**os.environ, **({"DATABASE_URL": login_url} if login_url is not None else {})}
        seats = [_Seat(number, listening.fileno(), environment) for number in range(count)]
        for seat in seats:
            seat.start()
        try:
            yield
        finally:
            for seat in seats:
                seat.ask_to_stop()
            for seat in seats:
                seat.wait()


class _Seat(threading.Thread):
    """A place for one process. Whoever sits there and dies is replaced."""

    def __init__(self, number: int, descriptor: int, environment: Mapping[str, str]) -> None:
        super().__init__(name=f"helper-{number}", daemon=True)
        self._command = [sys.executable, "-c", "from api.cli import main; main()", "worker"]
        self._command += ["--listen-fd", str(descriptor), "--parent", str(os.getpid())]
        self._descriptor = descriptor
        self._environment = environment
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    @override
    def run(self) -> None:
        pause = RESTART_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            self._process = subprocess.Popen(self._command, pass_fds=[self._descriptor], env=self._environment)
            if self._stopping.is_set():
                self._process.terminate()
            code = self._process.wait()
            _forget(self._process.pid)
            if not self._stopping.is_set():
                lived = time.monotonic() - began
                pause = RESTART_SECONDS if lived > LONGEST_PAUSE_SECONDS else min(pause * 2, LONGEST_PAUSE_SECONDS)
                log.error("process %d ended with code %d; another one takes its place", self._process.pid, code)
            self._stopping.wait(pause)

    def ask_to_stop(self) -> None:
        """End the process politely, and replace it no more."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        """Return once the process has ended, by force after the grace time."""
        self.join(GRACE_SECONDS)
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        self.join()


def _forget(pid: int) -> None:
    """Take the gauges of a dead process out of the sums. Its counters stay, or totals would fall."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)


async def parent_gone(parent: int) -> None:
    """Return when the process that started this one has died: nobody would stop it any more, and it holds the port."""
    while os.getppid() == parent:  # noqa: ASYNC110 - the system offers nothing to wait for
        await asyncio.sleep(PARENT_SECONDS)
