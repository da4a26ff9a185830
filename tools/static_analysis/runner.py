"""Runs the checks in a child process that may not write, may not grow, and may not last."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson
from pydantic import TypeAdapter, ValidationError

from .child_checks.hits import Hit, Report

MAX_ANSWER: Final = 1 << 20
_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from child_checks.main import main; main()"
_REPORT: Final = TypeAdapter(Report)
_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one analysis may take; the parser of a hostile file is the one thing here that can run away."""

    seconds: float = 5.0
    cpu_seconds: int = 5
    memory_bytes: int = 1 << 30
    at_once: int = 2


async def run(code: str, language: str, limits: Limits) -> tuple[Report, float]:
    """Return what the child found and how long it took; a child that dies or overruns is itself a finding."""
    async with _gate(limits.at_once):
        started = time.perf_counter()
        report = await asyncio.to_thread(_answer, code, language, limits)
        return report, time.perf_counter() - started


def _answer(code: str, language: str, limits: Limits) -> Report:
    request: dict[str, Any] = {
        "code": code,
        "language": language,
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_bytes,
    }
    late = threading.Event()

    def cut_off() -> None:
        late.set()
        _kill(process)

    # In a thread, and not by the event loop: uvloop forks, which hangs this process for good when another thread is in
    # a matrix product of OpenBLAS just then, as the embedder's is. Popen uses vfork, which runs no handlers.
    # -I: neither the environment nor the working directory decides what is imported. A session of its own lets one
    # signal end ruff together with the child. Nothing of this process's environment, keys included, is handed on.
    with subprocess.Popen(
        [sys.executable, "-I", "-B", "-c", _BOOT, str(Path(__file__).parent)],
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True, cwd="/",
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
    ) as process:  # fmt: skip
        alarm = threading.Timer(limits.seconds, cut_off)
        alarm.start()
        try:
            answer = _talk(process, orjson.dumps(request))
        finally:
            alarm.cancel()
            alarm.join()
            _kill(process)
    if late.is_set():
        return Report(depth="syntax", hits=[Hit("analysis-timeout", 1, 1)])
    try:
        return _REPORT.validate_json(answer)
    except ValidationError:
        return Report(depth="syntax", hits=[Hit("analysis-aborted", 1, 1)])


def _talk(process: "subprocess.Popen[bytes]", request: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        with process.stdin:
            process.stdin.write(request)
        return process.stdout.read(MAX_ANSWER)
    return b""


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _gate(at_once: int) -> asyncio.Semaphore:
    loop = asyncio.get_running_loop()
    if loop not in _gates:
        _gates[loop] = asyncio.Semaphore(at_once)
    return _gates[loop]
