"""A chat model that follows a script: for tests and evaluations, down to obeying orders planted in what it reads."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from pydantic import BaseModel, PrivateAttr

from agents.offline import ToolRequest, WordByWord

Step: TypeAlias = (
    "str | BaseModel | dict[str, Any] | list[ToolRequest] | Exception | Callable[[Sequence[BaseMessage]], Any]"
)
"""A text, a structured answer, tool calls, an error to raise, or a function of the messages that gives one of them."""


class ScriptEnded(AssertionError):
    """The graph asked the scripted model more often than the script foresees."""


class ScriptedChatModel(WordByWord):
    """Answers with the next step of its script and remembers what it was shown."""

    script: list[Any]
    _seen: list[list[BaseMessage]] = PrivateAttr(default_factory=list[list[BaseMessage]])

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def seen(self) -> list[list[BaseMessage]]:
        """The messages of every call so far."""
        return self._seen

    def answer(self, messages: Sequence[BaseMessage], wanted: str | None) -> AIMessage:
        place = len(self._seen)
        self._seen.append(list(messages))
        if place >= len(self.script):
            raise ScriptEnded(f"The script has {len(self.script)} steps; the model was asked once more.")
        return as_message(self.script[place], messages, wanted, f"s{place}")


def as_message(step: Any, messages: Sequence[BaseMessage], wanted: str | None, mark: str) -> AIMessage:  # noqa: ANN401
    """Turn one step of a script into the answer it stands for."""
    if isinstance(step, Exception):
        raise step
    if isinstance(step, str):
        return AIMessage(step)
    if isinstance(step, AIMessage):
        return step
    if isinstance(step, BaseModel):
        step = step.model_dump(mode="json")
    if isinstance(step, dict):
        step = [ToolRequest(wanted or "answer", step)]
    if isinstance(step, list):
        requests = cast("list[ToolRequest]", step)
        calls = [
            ToolCall(name=request.name, args=request.args, id=f"call_{mark}_{number}")
            for number, request in enumerate(requests)
        ]
        return AIMessage("", tool_calls=calls)
    return as_message(step(messages), messages, wanted, mark)


_ORDER = re.compile(r"\[\[call (\w+) (\{.*?\})\]\]")


def orders_in(messages: Sequence[BaseMessage]) -> Iterator[ToolRequest]:
    """Find orders like `[[call tool {"arg": 1}]]` anywhere in what the model reads, JSON-escaped ones included."""
    for message in messages:
        for name, args in _ORDER.findall(message.text.replace('\\"', '"')):
            try:
                yield ToolRequest(name, json.loads(args))
            except ValueError:
                continue


class ObedientChatModel(ScriptedChatModel):
    """Follows its script, but whenever what it reads contains orders, it first does exactly as it was told."""

    def answer(self, messages: Sequence[BaseMessage], wanted: str | None) -> AIMessage:
        told = list(dict.fromkeys((order.name, json.dumps(order.args)) for order in orders_in(messages)))
        done = {call["name"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls}
        fresh = [ToolRequest(name, json.loads(args)) for name, args in told if name not in done]
        if fresh and wanted is None:
            self._seen.append(list(messages))
            return as_message(fresh, messages, None, f"o{len(self._seen)}")
        return super().answer(messages, wanted)
