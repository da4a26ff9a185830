"""Recorded model traffic: keyed by the exact request, one file per case and trial; a miss is an error, never a call."""

import difflib
import hashlib
import json
import re
from pathlib import Path
from typing import Any, cast

import httpx

from evals.samples import Strict

_CALL_ID = re.compile(r"\bcall_[A-Za-z0-9_]+")
_SECRET = re.compile(r"(sk-|Bearer\s+)[A-Za-z0-9_\-.]{8,}")
_KEPT_FIELDS = ("model", "messages", "tools", "tool_choice", "response_format", "temperature", "stream",
                "parallel_tool_calls", "max_completion_tokens")  # fmt: skip


class Taped(Strict):
    """One answer of a model's server, and what it answered."""

    key: str
    request: dict[str, Any]
    status: int
    content_type: str
    body: str


class Miss(Exception):
    """The graph asked something that was not recorded; the message shows how it differs from what was."""


def canonical(body: bytes) -> dict[str, Any]:
    """Return what a request asks for, without what changes by chance: ids of tool calls become numbers."""
    sent = cast("dict[str, Any]", json.loads(body))
    kept = {name: sent[name] for name in _KEPT_FIELDS if name in sent}
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return numbers.setdefault(found[0], f"call_{len(numbers) + 1}")

    text = _SECRET.sub(r"\1…", _CALL_ID.sub(number, json.dumps(kept, sort_keys=True, ensure_ascii=False)))
    return cast("dict[str, Any]", json.loads(text))


def key_of(request: dict[str, Any]) -> str:
    """Return the name of a canonical request."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:24]


def path_of(folder: Path, model: str, sample: str, trial: int) -> Path:
    """Return where the traffic of one trial of one case lies. Trials differ, so each has a recording of its own."""
    return folder / re.sub(r"[^\w.-]", "_", model) / f"{sample}.{trial}.jsonl"


class Replaying(httpx.AsyncBaseTransport):
    """Answers from a recording. The same request asked twice gets its two answers in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.misses: list[str] = []
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._tapes = [Taped.model_validate_json(line) for line in lines]
        self._unused = list(self._tapes)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = canonical(await request.aread())
        tape = next((tape for tape in self._unused if tape.key == key_of(asked)), None)
        if tape is None:
            self.misses.append(self._difference(asked))
            raise Miss(self.misses[-1])
        self._unused.remove(tape)
        return httpx.Response(tape.status, headers={"content-type": tape.content_type}, content=tape.body.encode())

    def _difference(self, asked: dict[str, Any]) -> str:
        if not self._tapes:
            return f"Nothing is recorded in {self.path.name}. Run `goals evals record` for this case."
        wanted = json.dumps(asked, indent=1, sort_keys=True, ensure_ascii=False).splitlines()
        texts = [json.dumps(t.request, indent=1, sort_keys=True, ensure_ascii=False).splitlines() for t in self._tapes]
        nearest = max(texts, key=lambda text: difflib.SequenceMatcher(None, text, wanted, autojunk=False).quick_ratio())
        lines = difflib.unified_diff(nearest, wanted, "recorded", "asked now", lineterm="", n=1)
        return f"Not recorded in {self.path.name}; nearest request:\n" + "\n".join(list(lines)[:60])


class Recording(httpx.AsyncBaseTransport):
    """Passes requests on to the real server and writes down what came back; credentials never reach the file."""

    def __init__(self, path: Path, behind: httpx.AsyncBaseTransport) -> None:
        self.path = path
        self._behind = behind
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = canonical(await request.aread())
        response = await self._behind.handle_async_request(request)
        body = (await response.aread()).decode("utf-8", "replace")
        content_type = response.headers.get("content-type", "application/json")
        tape = Taped(
            key=key_of(asked),
            request=asked,
            status=response.status_code,
            content_type=content_type,
            body=_SECRET.sub(r"\1…", body),
        )
        with self.path.open("a", encoding="utf-8") as file:
            file.write(tape.model_dump_json() + "\n")
        return httpx.Response(response.status_code, headers={"content-type": content_type}, content=body.encode())

    async def aclose(self) -> None:
        await self._behind.aclose()
