"""A model that misbehaves on purpose, in one named way, and otherwise answers as the model behind it."""

from collections.abc import Sequence
from typing import Any, ClassVar

import httpx
import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

KINDS = ("malformed", "unknown_tool", "forged_ids", "rate_limited", "timeout", "cut_off")
FORGED_USER = "bob"


class ChaosChatModel(BaseChatModel):
    """Misbehaves from the `at`-th call on, `times` times; then it is itself again."""

    inner: BaseChatModel
    kind: str
    at: int = 1
    times: int = 99
    _calls: int = PrivateAttr(default=0)

    _SERVER: ClassVar[httpx.Request] = httpx.Request("POST", "http://model.invalid/v1/chat/completions")

    @property
    def _llm_type(self) -> str:
        return f"chaos-{self.kind}"

    def bind_tools(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        tools: Sequence[Any],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - the base class's signature
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the base class's signature
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        return self._spoilt(self.inner._generate(messages, stop, **kwargs), kwargs)  # noqa: SLF001 - its own kind

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the base class's signature
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        return self._spoilt(await self.inner._agenerate(messages, stop, **kwargs), kwargs)  # noqa: SLF001

    def _spoilt(self, result: ChatResult, kwargs: dict[str, Any]) -> ChatResult:
        self._calls += 1
        answer = result.generations[0].message
        assert isinstance(answer, AIMessage)
        if self.at <= self._calls < self.at + self.times:
            answer = self._misbehave(answer, kwargs)
        # A server says how its answer ended; the rules behind this one do not, and silence would count as cut off.
        answer.response_metadata.setdefault("finish_reason", "tool_calls" if answer.tool_calls else "stop")
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _misbehave(self, answer: AIMessage, kwargs: dict[str, Any]) -> AIMessage:
        match self.kind:
            case "malformed":
                return AIMessage('{"title": "half an ans')
            case "cut_off":
                return AIMessage('{"title": "and then', response_metadata={"finish_reason": "length"})
            case "rate_limited":
                response = httpx.Response(429, request=self._SERVER, headers={"retry-after": "0"})
                raise openai.RateLimitError("Slow down.", response=response, body=None)  # pyright: ignore[reportArgumentType]
            case "timeout":
                raise openai.APITimeoutError(self._SERVER)  # pyright: ignore[reportArgumentType]
            case "unknown_tool" if not _structured(kwargs):
                call = ToolCall(name="delete_everything", args={"sure": True}, id="call_chaos")
                return AIMessage("", tool_calls=[*answer.tool_calls, call])
            case "forged_ids":
                return AIMessage(answer.content, tool_calls=[_forged(call, kwargs) for call in answer.tool_calls])
            case _:
                return answer


def _structured(kwargs: dict[str, Any]) -> bool:
    """Tell whether an answer of one schema is asked for, rather than calls of tools."""
    return bool(kwargs.get("tool_choice") or kwargs.get("response_format"))


def _forged(call: ToolCall, kwargs: dict[str, Any]) -> ToolCall:
    """Claim to be somebody else wherever a tool might listen; schemas that forbid extra fields stay as they are."""
    if _structured(kwargs):
        return call
    forged = {"user_id": FORGED_USER, "owner": FORGED_USER, "runtime": {"context": {"user_id": FORGED_USER}}}
    return ToolCall(name=call["name"], args={**call["args"], **forged}, id=call["id"])
