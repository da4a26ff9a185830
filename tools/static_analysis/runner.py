"""Runs the checks in a child process that may not write, may not grow, and may not last."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path
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
        report = await _answer(code, language, limits)
        return report, time.perf_counter() - started


async def _answer(code: str, language: str, limits: Limits) -> Report:
    request: dict[str, Any] = {
        "code": code,
        "language": language,
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_bytes,
    }
    # -I: neither the environment nor the working directory decides what is imported. A session of its own lets one
    # signal end ruff together with the child. Nothing of this process's environment, keys included, is handed on.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-B", "-c", _BOOT, str(Path(__file__).parent),
        stdin=PIPE, stdout=PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True, cwd="/",
        env={"PATH": os.defpath, "LANG": "C.UTF-8"}, limit=MAX_ANSWER,
    )  # fmt: skip
    try:
        async with asyncio.timeout(limits.seconds):
            answer = await _talk(process, orjson.dumps(request))
    except TimeoutError:
        return Report(depth="syntax", hits=[Hit("analysis-timeout", 1, 1)])
    finally:
        await _end(process)
    try:
        return _REPORT.validate_json(answer)
    except ValidationError:
        return Report(depth="syntax", hits=[Hit("analysis-aborted", 1, 1)])


async def _talk(process: Process, request: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(request)
        await process.stdin.drain()
        process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return b""
    answer = await process.stdout.read(MAX_ANSWER + 1)
    while len(answer) <= MAX_ANSWER and (more := await process.stdout.read(MAX_ANSWER)):
        answer += more
    return answer if len(answer) <= MAX_ANSWER else b""


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _gate(at_once: int) -> asyncio.Semaphore:
    loop = asyncio.get_running_loop()
    if loop not in _gates:
        _gates[loop] = asyncio.Semaphore(at_once)
    return _gates[loop]
