"""The offline chat model: rules that answer in a model's place and say so. It is not a language model.

An agent puts its facts as one JSON object into a human message, with a `step` that names the job. A language model
reads that object as text; here the rule registered for the step computes the answer from the very same object. A rule
returns an instance of the schema that was asked for, a list of tool calls, or plain text.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast
from uuid import uuid4

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolCall
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

Facts: TypeAlias = Mapping[str, Any]


class ToolRequest(NamedTuple):
    """A tool call a rule asks for."""

    name: str
    args: dict[str, Any]


Rule: TypeAlias = Callable[[Facts, Sequence[BaseMessage]], "BaseModel | str | list[ToolRequest]"]

NOT_A_MODEL = {
    "en": "I am the offline assistant: fixed rules, not a language model. I can plan a goal, check code and suggest "
    "the next task; for free conversation the service needs a model.",
    "es": "Soy el asistente sin conexión: reglas fijas, no un modelo de lenguaje. Puedo planificar una meta, revisar "
    "código y sugerir la siguiente tarea; para conversar libremente el servicio necesita un modelo.",
}


class WordByWord(BaseChatModel):
    """A chat model whose whole answer is computed by `answer`; it streams word by word."""

    def answer(self, messages: Sequence[BaseMessage], wanted: str | None) -> AIMessage:
        """Compute the answer; `wanted` names the schema the caller insists on."""
        raise NotImplementedError

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - the base class's signature
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - the base class's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.answer(messages, kwargs.get("tool_choice")))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - the base class's signature
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        answer = self.answer(messages, kwargs.get("tool_choice"))
        for piece in _pieces(answer):
            if run_manager is not None:
                run_manager.on_llm_new_token(cast(str, piece.message.content), chunk=piece)
            yield piece


class OfflineChatModel(WordByWord):
    """Answers by the rule of the step it is asked for; without one, it says what it is."""

    rules: dict[str, Any]

    @property
    def _llm_type(self) -> str:
        return "offline-rules"

    def answer(self, messages: Sequence[BaseMessage], wanted: str | None) -> AIMessage:
        facts = facts_in(messages)
        rule = cast("Rule | None", self.rules.get(str(facts.get("step", ""))))
        if rule is None:
            return AIMessage(NOT_A_MODEL.get(language(facts.get("locale")), NOT_A_MODEL["en"]))
        outcome = rule(facts, messages)
        match outcome:
            case str():
                return AIMessage(outcome)
            case BaseModel():
                call = ToolRequest(wanted or type(outcome).__name__, outcome.model_dump(mode="json"))
                return AIMessage("", tool_calls=_calls([call]))
            case _:
                return AIMessage("", tool_calls=_calls(outcome))


class Speaker(WordByWord):
    """Speaks a text the service composed itself, so that it streams like every other message."""

    words: str

    @property
    def _llm_type(self) -> str:
        return "narration"

    def answer(self, messages: Sequence[BaseMessage], wanted: str | None) -> AIMessage:  # noqa: ARG002
        return AIMessage(self.words)


def facts_message(step: str, **facts: object) -> HumanMessage:
    """Put an agent's facts into the one message that both a language model and the rules can read."""
    return HumanMessage(json.dumps({"step": step, **facts}, ensure_ascii=False, default=str))


def facts_in(messages: Sequence[BaseMessage]) -> Facts:
    """Return the latest facts object among the human messages, or an empty one."""
    for message in reversed(messages):
        if isinstance(message, HumanMessage) and message.text.startswith('{"step"'):
            return cast("dict[str, Any]", json.loads(message.text))
    return {}


def language(locale: object) -> str:
    """Reduce a locale to one of the languages spoken here."""
    return "es" if str(locale or "").lower().startswith("es") else "en"


def _calls(requests: Sequence[ToolRequest]) -> list[ToolCall]:
    return [ToolCall(name=request.name, args=request.args, id=f"call_{uuid4().hex[:24]}") for request in requests]


def _pieces(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    for word in re.findall(r"\s*\S+\s*?(?=\s|$)|\s+", message.text):
        yield ChatGenerationChunk(message=AIMessageChunk(content=word))
    for index, call in enumerate(message.tool_calls):
        chunk = tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))
    yield ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last"))
