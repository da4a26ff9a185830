"""The one factory of chat models, and structured answers from whatever server stands behind it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_function
from opentelemetry.trace import Span
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import to_json

from agents.failures import FailureKind, ModelFailure, translated
from agents.offline import OfflineChatModel, Rule, WordByWord
from store.spans import span

T = TypeVar("T", bound=BaseModel)

QUIET = ("nostream", "langsmith:nostream")
"""Tags of calls whose words are not for the learner: raw JSON of a structured answer never reaches a chat window."""


class ModelRole(StrEnum):
    """The three jobs a deployment may give to different models."""

    PLAN = "plan"
    REVIEW = "review"
    EXPLAIN = "explain"


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Where the models are. It comes from the server's configuration only, never from a request."""

    api_key: SecretStr | None = None
    base_url: str | None = None
    plan: str = "gpt-4.1"
    review: str = "gpt-4.1"
    explain: str = "gpt-4.1-mini"
    timeout: float = 60.0
    attempts: int = 3
    max_tokens: int | None = None

    @property
    def configured(self) -> bool:
        return bool(self.api_key or self.base_url)

    def name(self, role: ModelRole) -> str:
        return {ModelRole.PLAN: self.plan, ModelRole.REVIEW: self.review, ModelRole.EXPLAIN: self.explain}[role]


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls to models cost; added up per run."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


def usage_of(message: BaseMessage) -> Usage:
    """Read what one answer cost; zero tokens where the server does not say."""
    counted = message.usage_metadata if isinstance(message, AIMessage) else None
    if counted is None:
        return Usage(calls=1)
    return Usage(1, counted["input_tokens"], counted["output_tokens"])


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A structured answer, what it cost, and how often it had to be asked for again."""

    value: T
    usage: Usage
    repairs: int = 0


class Form(StrEnum):
    """How a server is asked for structure, best first; one that lacks a form is asked in the next."""

    JSON_SCHEMA = "json_schema"
    TOOL = "tool"
    PROMPT = "prompt"


_NEXT_FORM = {Form.JSON_SCHEMA: Form.TOOL, Form.TOOL: Form.PROMPT}


@dataclass(slots=True)
class Models:
    """The chat model of each role. Open it with `open_models`, close it with `aclose` or `async with`."""

    chat_models: Mapping[ModelRole, BaseChatModel]
    offline: bool = False
    """True when a rule-based model stands in; results must say so."""
    clients: tuple[httpx.Client | httpx.AsyncClient, ...] = ()
    forms: dict[ModelRole, Form] = field(default_factory=dict[ModelRole, Form])

    def chat(self, role: ModelRole) -> BaseChatModel:
        """Return the model of a role for free text and tool calls; wrap its use in `failures.translated`."""
        return self.chat_models[role]

    def name(self, role: ModelRole) -> str:
        """Return the name under which results record this model."""
        model = self.chat_models[role]
        return str(getattr(model, "model_name", type(model).__name__))

    async def structured(
        self, role: ModelRole, schema: type[T], messages: Sequence[BaseMessage], *, repairs: int = 1
    ) -> Answer[T]:
        """Ask for an instance of `schema`; show the model its mistakes at most `repairs` times.

        Raises ModelFailure. The words of these calls are not streamed to the learner.
        """
        conversation = list(messages)
        usage = Usage()
        cut = False
        for attempt in range(repairs + 1):
            message = await self._ask(role, schema, conversation)
            usage += usage_of(message)
            try:
                return Answer(_parsed(schema, message), usage, attempt)
            except ValueError as error:
                conversation = [*messages, *_correction(schema, message, error)]
                cut = message.response_metadata.get("finish_reason") == "length"
        raise ModelFailure(FailureKind.CUT_OFF if cut else FailureKind.MALFORMED)

    async def _ask(self, role: ModelRole, schema: type[BaseModel], messages: Sequence[BaseMessage]) -> AIMessage:
        model = self.chat_models[role]
        form = self.forms.get(role) or (Form.TOOL if isinstance(model, WordByWord) else Form.JSON_SCHEMA)
        while True:
            try:
                message = await _in_form(model, schema, form, messages)
            except ModelFailure as failure:
                lacking = getattr(failure.__cause__, "status_code", None) in (400, 422)
                if not lacking or form not in _NEXT_FORM:
                    raise
                form = _NEXT_FORM[form]
            else:
                self.forms[role] = form
                return message

    async def aclose(self) -> None:
        for client in self.clients:
            if isinstance(client, httpx.Client):
                client.close()
            else:
                await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def open_models(
    settings: ModelSettings, rules: Mapping[str, Rule], clients: tuple[httpx.Client, httpx.AsyncClient] | None = None
) -> Models:
    """Build the models of a deployment: an OpenAI-compatible server when one is configured, else the offline rules.

    `clients` lets a caller speak to the server through connections of its own; closing the models closes them.
    """
    if not settings.configured:
        offline = OfflineChatModel(rules=dict(rules))
        return Models(dict.fromkeys(ModelRole, offline), offline=True)
    blocking, plain = clients or (httpx.Client(), httpx.AsyncClient())
    streaming = plain if clients else _streaming_client()
    chat_models = {role: _chat_openai(settings, settings.name(role), blocking, plain, streaming) for role in ModelRole}
    return Models(chat_models, clients=(blocking, plain, streaming))


def _streaming_client() -> httpx.AsyncClient:
    """Return a client that reads HTTP with aiohttp's compiled parser: a third less CPU for a whole streamed run.

    For answers that stream well only: it takes a refused connection for a timeout, so the SDK keeps a client of its
    own, by which everything is asked again that did not begin to answer.
    """
    from httpx_aiohttp import HttpxAiohttpClient  # noqa: PLC0415 - offline nothing of it is needed

    return HttpxAiohttpClient()


def _chat_openai(
    settings: ModelSettings,
    name: str,
    blocking: httpx.Client,
    plain: httpx.AsyncClient,
    streaming: httpx.AsyncClient,
) -> BaseChatModel:
    # Imported here: the offline default need not pay the two seconds these take.
    from langchain_openai import ChatOpenAI  # noqa: PLC0415

    from agents import lean_completions  # noqa: PLC0415

    # The clients are given because the library's own ones speak through another HTTP package, which neither the
    # deployment's proxies nor the tests' fake server can see. A server without keys still wants the header.
    model = ChatOpenAI(
        model=name,
        api_key=settings.api_key or SecretStr("none"),
        base_url=settings.base_url,
        timeout=settings.timeout,
        max_retries=settings.attempts - 1,
        max_completion_tokens=settings.max_tokens,
        stream_usage=settings.base_url is None,
        http_client=blocking,
        http_async_client=plain,
    )
    return lean_completions.install(model, streaming)


async def _in_form(
    model: BaseChatModel, schema: type[BaseModel], form: Form, messages: Sequence[BaseMessage]
) -> AIMessage:
    if form is Form.JSON_SCHEMA:
        return await invoke(model.bind(response_format=_strict_format(schema)), messages, quiet=True)
    if form is Form.TOOL:
        return await invoke(model.bind_tools([schema], tool_choice=schema.__name__), messages, quiet=True)
    return await invoke(model, [*messages, HumanMessage(_schema_request(schema))], quiet=True)


async def invoke(
    model: Runnable[LanguageModelInput, AIMessage], messages: Sequence[BaseMessage], *, quiet: bool
) -> AIMessage:
    """Ask a model and return its whole answer. Raises ModelFailure.

    With `quiet` nothing of it is streamed, neither to the learner nor by the server.
    """
    try:
        with translated(), span("chat", gen_ai__operation__name="chat") as asked:
            if quiet:
                answer = await model.bind(stream=False).ainvoke(list(messages), {"tags": list(QUIET)})
            else:
                answer = await model.ainvoke(list(messages))
            _describe(asked, answer)
            return answer
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The client library stumbles over answers that are not what its protocol says: a proxy's page, for one.
        raise ModelFailure(FailureKind.MALFORMED) from error


def _describe(asked: Span, answer: AIMessage) -> None:
    if not asked.is_recording():
        return
    model = answer.response_metadata.get("model_name")
    if model:
        asked.set_attribute("gen_ai.response.model", str(model))
    if answer.usage_metadata:
        asked.set_attribute("gen_ai.usage.input_tokens", answer.usage_metadata["input_tokens"])
        asked.set_attribute("gen_ai.usage.output_tokens", answer.usage_metadata["output_tokens"])


def _strict_format(schema: type[BaseModel]) -> dict[str, Any]:
    # Not `with_structured_output`: that parses inside the client library, and a malformed answer is lost in there.
    strict = convert_to_openai_function(schema, strict=True)
    return {
        "type": "json_schema",
        "json_schema": {"name": strict["name"], "schema": strict["parameters"], "strict": True},
    }


def _schema_request(schema: type[BaseModel]) -> str:
    return f"Answer with one JSON object and nothing else. Its JSON schema:\n{json.dumps(schema.model_json_schema())}"


def _parsed(schema: type[T], message: AIMessage) -> T:
    """Find the answer in a tool call or in the text. Raises ValueError (pydantic's errors are ones)."""
    for call in message.tool_calls:
        if call["name"] == schema.__name__:
            # By way of JSON, as the text below: in Python's objects half a surrogate pair would pass.
            return schema.model_validate_json(to_json(call["args"]))
    text = message.text
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise ValueError("There was no JSON object in the answer.")
    return schema.model_validate_json(text[start : end + 1])


def _correction(schema: type[BaseModel], message: AIMessage, error: ValueError) -> list[BaseMessage]:
    """Show the model what it said and what is wrong with it, in plain text: no dangling tool calls."""
    said = message.text or json.dumps([call["args"] for call in message.tool_calls])[:20_000]
    reason = (
        "; ".join(f"{d['loc']}: {d['msg']}" for d in error.errors()) if isinstance(error, ValidationError) else error
    )
    return [AIMessage(said or "(nothing)"), HumanMessage(f"That does not fit: {reason}. {_schema_request(schema)}")]
