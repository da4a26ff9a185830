"""The message channel of the graphs: how it is stored, what a model may see of it, and what it may spend."""

from collections.abc import Sequence
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


ANSWERS = "answers"
"""Key in a tool message's additional_kwargs: which call of which message it answers, as "<message id>:<place>"."""


def place_of(message_id: str | None, index: int) -> str:
    """Return the name under which a call's answer refers to it."""
    return f"{message_id}:{index}"


def unanswered(messages: Sequence[BaseMessage]) -> list[tuple[AIMessage, int]]:
    """Return every tool call without an answer, as its message and its place there."""
    answered = _answers(messages)
    return [
        (message, index)
        for message in messages
        if isinstance(message, AIMessage)
        for index in range(len(message.tool_calls))
        if place_of(message.id, index) not in answered
    ]


def orderly(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the messages as a model's server accepts them: each answer directly behind its call.

    Calls that never got an answer and answers that belong to no call are left out.
    """
    answers = _answers(messages)
    ordered: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            continue
        if not (isinstance(message, AIMessage) and message.tool_calls):
            ordered.append(message)
            continue
        places = [(i, answers.get(place_of(message.id, i))) for i in range(len(message.tool_calls))]
        kept = [message.tool_calls[i] for i, answer in places if answer]
        ordered.append(message.model_copy(update={"tool_calls": kept, "additional_kwargs": {}}))
        ordered.extend(answer for _, answer in places if answer)
    return ordered


def _answers(messages: Sequence[BaseMessage]) -> dict[str, ToolMessage]:
    """Match answers to calls: by the place they name, else in order among equal call ids, which some servers repeat."""
    named: dict[str, ToolMessage] = {}
    loose: dict[str, list[ToolMessage]] = {}
    for message in messages:
        if isinstance(message, ToolMessage):
            place = message.additional_kwargs.get(ANSWERS)
            if place:
                named[place] = message
            else:
                loose.setdefault(message.tool_call_id, []).append(message)
    for message in messages:
        for index, call in enumerate(message.tool_calls if isinstance(message, AIMessage) else []):
            place, waiting = place_of(message.id, index), loose.get(call["id"] or "", [])
            if place not in named and waiting:
                named[place] = waiting.pop(0)
    return named
