"""The message channel of the graphs: how it is stored, what a model may see of it, and what it may spend."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langgraph.channels.delta import DeltaChannel  # pyright: ignore[reportMissingTypeStubs]
from langgraph.graph.message import (  # pyright: ignore[reportMissingTypeStubs]
    _messages_delta_reducer,  # pyright: ignore[reportPrivateUsage]
)
from typing_extensions import TypedDict

# Stores each turn's messages once, not the whole list at every step: 1,000 messages took 4.4 MB instead of 249 MB.
# The channel is beta and its reducer private: langgraph is pinned, and a test reads a checkpoint written before it.
Messages = Annotated[list[AnyMessage], DeltaChannel(_messages_delta_reducer, snapshot_frequency=50)]  # pyright: ignore[reportArgumentType]


class Spent(TypedDict, total=False):
    """What a run has used so far; a write with `fresh` starts the count anew."""

    fresh: bool
    model_calls: int
    tool_calls: int
    input_tokens: int
    output_tokens: int


_COUNTED = ("model_calls", "tool_calls", "input_tokens", "output_tokens")


def add_spent(before: Spent | None, more: Spent | None) -> Spent:
    """Add up what parallel steps report."""
    base: Any = {} if more and more.get("fresh") else (before or {})
    return Spent(**{name: base.get(name, 0) + (more or {}).get(name, 0) for name in _COUNTED})  # pyright: ignore[reportArgumentType]


Spending = Annotated[Spent, add_spent]


def unanswered(messages: Sequence[BaseMessage]) -> list[tuple[AIMessage, int]]:
    """Return every tool call without an answer, as its message and its place there.

    Calls are matched to answers by position among equal ids, because some servers repeat ids within a message.
    """
    answers: dict[str, int] = {}
    for message in messages:
        if isinstance(message, ToolMessage):
            answers[message.tool_call_id] = answers.get(message.tool_call_id, 0) + 1
    open_calls: list[tuple[AIMessage, int]] = []
    for message in messages:
        if not isinstance(message, AIMessage):
            continue
        for index, call in enumerate(message.tool_calls):
            identifier = call["id"] or ""
            if answers.get(identifier, 0) > 0:
                answers[identifier] -= 1
            else:
                open_calls.append((message, index))
    return open_calls


def orderly(messages: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Return the messages as a model's server accepts them: each answer directly behind its call, and no orphans.

    Calls that never got an answer are left out together with their message's other calls being kept.
    """
    everything = list(messages)
    answers: dict[str, list[ToolMessage]] = {}
    for message in everything:
        if isinstance(message, ToolMessage):
            answers.setdefault(message.tool_call_id, []).append(message)
    ordered: list[BaseMessage] = []
    for message in everything:
        if isinstance(message, ToolMessage):
            continue
        if not (isinstance(message, AIMessage) and message.tool_calls):
            ordered.append(message)
            continue
        replies = [
            (call, answers[call["id"] or ""].pop(0)) for call in message.tool_calls if answers.get(call["id"] or "")
        ]
        kept = message.model_copy(update={"tool_calls": [call for call, _ in replies], "additional_kwargs": {}})
        ordered.extend([kept, *(answer for _, answer in replies)])
    return ordered
