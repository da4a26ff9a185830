"""Calls of models from graphs: within the run's budget, counted, and with typed failures."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import orjson
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool
from pydantic import BaseModel

from agents.failures import FailureKind, ModelFailure
from agents.models import ModelRole, Usage, invoke, usage_of
from agents.offline import WordByWord
from graphs.deps import Deps
from graphs.messages import Spent

T = TypeVar("T", bound=BaseModel)


def check_budget(deps: Deps, spent: Mapping[str, Any]) -> None:
    """Raise ModelFailure when the run has used up its model calls or tokens."""
    tokens = spent.get("input_tokens", 0) + spent.get("output_tokens", 0)
    if spent.get("model_calls", 0) >= deps.budget.model_calls or tokens >= deps.budget.tokens:
        raise ModelFailure(FailureKind.BUDGET)


def as_spent(usage: Usage) -> Spent:
    """Return what model calls cost as an addition to the state."""
    return Spent(model_calls=usage.calls, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)


async def structured(
    deps: Deps, spent: Mapping[str, Any], role: ModelRole, schema: type[T], messages: Sequence[BaseMessage]
) -> tuple[T, Spent]:
    """Ask for a structured answer. Raises ModelFailure."""
    check_budget(deps, spent)
    answer = await deps.models.structured(role, schema, messages)
    return answer.value, as_spent(answer.usage)


async def with_tools(
    deps: Deps,
    spent: Mapping[str, Any],
    role: ModelRole,
    tools: Sequence[BaseTool],
    messages: Sequence[BaseMessage],
    *,
    quiet: bool,
) -> tuple[AIMessage, Spent]:
    """Let a model talk or call tools. With `quiet` its words are not streamed. Raises ModelFailure.

    An answer that was cut off is a failure: half a call must not be executed, half a sentence is no answer. So is one
    that no checkpoint could hold.
    """
    check_budget(deps, spent)
    model = deps.models.chat(role)
    message = await invoke(model.bind_tools(tools), messages, quiet=quiet)
    ending = "stop" if isinstance(model, WordByWord) else message.response_metadata.get("finish_reason")
    if ending in (None, "length"):
        raise ModelFailure(FailureKind.CUT_OFF)
    if (message.invalid_tool_calls and not message.tool_calls) or not _can_be_stored(message):
        raise ModelFailure(FailureKind.MALFORMED)
    return message, as_spent(usage_of(message))


def _can_be_stored(message: AIMessage) -> bool:
    """Models write any JSON into their calls: halves of surrogate pairs, integers of a hundred digits."""
    try:
        orjson.dumps([message.content, message.tool_calls])
    except TypeError:
        return False
    return True
