"""Follows a run through the API with the LangGraph SDK and shows it in the terminal as it happens."""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.schema import StreamPart
from rich.console import Console
from rich.markup import escape

from api.cli.console import Trouble
from api.cli.typewriter import Typewriter

Json = Mapping[str, Any]
Decide = Callable[[list[Json], bool], Awaitable[object | None]]
"""Given what waits for approval, and whether it was told in words just now, the answer to resume with.

None leaves it waiting."""

GRAPH = "goal_planning"
MODES = ["messages-tuple", "custom", "updates"]


@dataclass
class Scribe:
    """Turns stream parts into lines."""

    console: Console
    interrupts: list[Json] = field(default_factory=list[Json])
    run_id: str = ""
    told: bool = False
    """Whether the run has said anything in words."""
    _progress: str = ""

    def __post_init__(self) -> None:
        self._typewriter = Typewriter(self.console)
        self._speaking = ""

    def show(self, part: StreamPart) -> None:
        """Show one part of the stream; raises Trouble when the run has failed."""
        kind = part.event.split("|", 1)[0]
        data = cast("Any", part.data)
        if kind == "metadata":
            self.run_id = str(data.get("run_id", ""))
        elif kind == "messages":
            self._message(cast("list[Json]", data))
        elif kind == "custom":
            self._custom(cast("Json", data))
        elif kind == "updates":
            self._update(cast("Json", data))
        elif kind == "error":
            self._typewriter.end()
            problem = cast("Json", data)
            raise Trouble(f"The run failed: {problem.get('message') or problem.get('detail') or problem}")

    def finish(self) -> None:
        """Close whatever line is open."""
        self._typewriter.end()

    def line(self, text: str) -> None:
        """Print a line of its own, in markup."""
        self._typewriter.end()
        self.console.print(text)

    def _message(self, data: list[Json]) -> None:
        message = data[0]
        if message.get("type") == "tool":
            self._tool_result(message)
            return
        for call in cast("list[Json]", message.get("tool_calls") or []):
            if call.get("name"):
                given = cast("Json", call.get("args") or {})
                arguments = " ".join(f"{name}={_short(value)}" for name, value in given.items())
                self.line(f"  [tool]→ {call['name']}[/tool] [quiet]{escape(arguments)}[/quiet]")
        words = _text(message.get("content"))
        if words:
            self.told = True
            if self._speaking and self._speaking != message.get("id"):
                self._typewriter.end()
            self._speaking = str(message.get("id") or "")
            self._typewriter.write(words)

    def _tool_result(self, message: Json) -> None:
        mark = "[fail]✗[/fail]" if message.get("status") == "error" else "[ok]←[/ok]"
        answer = _result(_text(message.get("content")))
        self.line(f"  {mark} [tool]{message.get('name')}[/tool] [quiet]{escape(answer)}[/quiet]")

    def _custom(self, data: Json) -> None:
        text = str(data.get("text") or "")
        if data.get("type") == "progress" and text and text != self._progress:
            self._progress = text
            self.line(f"[step]●[/step] {escape(text)}")

    def _update(self, data: Json) -> None:
        self.interrupts += cast("list[Json]", data.get("__interrupt__") or [])


async def converse(
    client: LangGraphClient,
    thread_id: str,
    question: Json | None,
    decide: Decide,
    console: Console,
    *,
    course_id: str | None = None,
) -> bool:
    """Stream a run to its end, asking `decide` at every pause; False when it was left waiting."""
    graph_input: Json | None = question
    command: Json | None = None
    while True:
        scribe = Scribe(console)
        try:
            if question is not None or command is not None:
                async for part in client.runs.stream(
                    thread_id,
                    GRAPH,
                    input=graph_input,
                    command=cast("Any", command),
                    context={"course_id": course_id} if course_id else None,
                    stream_mode=cast("Any", MODES),
                    stream_resumable=True,
                ):
                    scribe.show(part)
        except BaseException:
            scribe.finish()
            await _cancel(client, thread_id, scribe.run_id)
            raise
        scribe.finish()
        waiting = scribe.interrupts or await _waiting(client, thread_id)
        if not waiting:
            return True
        answer = await decide([cast("Json", interrupt["value"]) for interrupt in waiting], scribe.told)
        if answer is None:
            return False
        graph_input, command = None, {"resume": answer}


async def _waiting(client: LangGraphClient, thread_id: str) -> list[Json]:
    """What the thread itself says is waiting: a resumed conversation begins with it."""
    state = await client.threads.get_state(thread_id)
    tasks = cast("list[Json]", state.get("tasks") or [])
    return [interrupt for task in tasks for interrupt in cast("list[Json]", task.get("interrupts") or [])]


async def _cancel(client: LangGraphClient, thread_id: str, run_id: str) -> None:
    """Leaving means stopping: nobody would see what the run goes on to say."""
    if run_id:
        with suppress(Exception):  # it may have ended already, and the first failure matters more
            await client.runs.cancel(thread_id, run_id)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        blocks = cast("list[object]", content)
        return "".join(str(cast("Json", block).get("text", "")) for block in blocks if isinstance(block, Mapping))
    return ""


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _result(text: str) -> str:
    """A tool's answer in a few words: how many of what it brought, else its beginning."""
    try:
        answer = json.loads(text)
    except ValueError:
        return _short(text)
    if isinstance(answer, dict):
        fields = cast("dict[str, object]", answer)
        counts = [
            f"{len(cast('list[object]', value))} {name}" for name, value in fields.items() if isinstance(value, list)
        ]
        return ", ".join(counts) or _short(str(fields.get("problem") or text))
    return _short(text)
