"""The child process: limits itself, reads one request from standard input, answers one JSON document."""

import json
import resource
import sys
from dataclasses import asdict
from typing import cast

from typing_extensions import TypedDict

from . import languages, python_code
from .hits import Report


class Request(TypedDict):
    code: str
    language: str
    cpu_seconds: int
    memory_bytes: int


def limit(cpu_seconds: int, memory_bytes: int) -> None:
    """Bound what this process and its children may take; called before a byte of learner code is read as code."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def check(code: str, language: str) -> Report:
    if language == "python":
        return python_code.check(code)
    if language in languages.GRAMMARS:
        return languages.check(code, language)
    return Report()


def main() -> None:
    request = cast("Request", json.loads(sys.stdin.buffer.read()))
    limit(request["cpu_seconds"], request["memory_bytes"])
    json.dump(asdict(check(request["code"], request["language"])), sys.stdout)
