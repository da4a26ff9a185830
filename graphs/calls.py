"""Tool calls whose effects happen exactly once: claim, effect, event and result commit in one transaction.

A call is known by (thread, AI message, place in it): the only name that a crash, a resume, a retry and a fork all keep.
`tool_call_id` does not do, because some servers repeat it; task and checkpoint ids do not, because a fork changes them.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import NAMESPACE_URL, UUID, uuid5

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolRuntime
from langgraph.runtime import Runtime
from langgraph.types import Send
from opentelemetry.trace import StatusCode
from pydantic import BaseModel, ValidationError
from typing_extensions import TypedDict

from graphs import durability
from graphs.context import LearnerContext, learner, principal
from graphs.deps import Deps
from graphs.messages import ANSWERS, Spent, place_of, unanswered
from store import ledger
from store.database import Transaction
from store.errors import Conflict, StoreError, Unavailable
from store.event_types import JsonObject
from store.ledger import CallKey, LedgerResult
from store.principal import Origin
from store.spans import span
from tools.context import Effect, ToolContext, effect_of
from tools.replies import as_text, bad_arguments, problem

THREADS = uuid5(NAMESPACE_URL, "ai-goals-tracker/threads")


class PendingCall(TypedDict):
    """What one `Send` carries: a call, where it stands, and whether the budget still covers it."""

    message_id: str
    index: int
    name: str
    args: dict[str, Any]
    call_id: str
    affordable: bool


class CallOutcome(TypedDict):
    """What a call adds to the state."""

    messages: list[ToolMessage]
    spent: Spent


def fan_out(messages: Sequence[BaseMessage], spent: Mapping[str, Any], limit: int, node: str) -> list[Send]:
    """Send every call of the last AI message that has no answer yet to `node`, one task each.

    With one task per call, the siblings of a call that crashed or paused are not executed again.
    """
    left = limit - int(spent.get("tool_calls", 0))
    last = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    calls = [index for message, index in unanswered(messages) if message is last]
    return [Send(node, _pending(cast(AIMessage, last), index, place < left)) for place, index in enumerate(calls)]


def _pending(message: AIMessage, index: int, affordable: bool) -> PendingCall:
    call = message.tool_calls[index]
    return PendingCall(
        message_id=str(message.id),
        index=index,
        name=call["name"],
        args=call["args"],
        call_id=call["id"] or "",
        affordable=affordable,
    )


@dataclass(frozen=True, slots=True)
class Toolset:
    """The tools a step may use; everything else a model asks for is refused by name."""

    deps: Deps
    tools: tuple[BaseTool, ...]

    def __post_init__(self) -> None:
        effects = {effect_of(tool) for tool in self.tools}
        if Effect.FOREIGN_READ in effects and effects & {Effect.WRITE, Effect.DESTROY}:
            raise ValueError("A step that reads other people's text must not be able to write; split the tools.")

    @property
    def destructive(self) -> frozenset[str]:
        """Names of the tools that may only run once the learner has agreed."""
        return frozenset(tool.name for tool in self.tools if effect_of(tool) is Effect.DESTROY)

    async def run(self, call: PendingCall, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> CallOutcome:
        """Execute one call (the body of a graph's tool node) and answer it, whatever happens."""
        with span(
            f"execute_tool {call['name'][:80]}",
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name=call["name"][:80],
            gen_ai__tool__call__id=call["call_id"],
        ) as executed:
            answer, failed = await self._answer(call, config, runtime)
            if failed:
                executed.set_status(StatusCode.ERROR)
        thread = str(config.get("configurable", {}).get("thread_id", ""))
        message = ToolMessage(
            content=as_text(answer),
            name=call["name"],
            tool_call_id=call["call_id"],
            status="error" if failed else "success",
            additional_kwargs={ANSWERS: place_of(call["message_id"], call["index"])},
            id=str(uuid5(THREADS, f"{thread}:{call['message_id']}:{call['index']}:answer")),
        )
        return CallOutcome(messages=[message], spent=Spent(tool_calls=1))

    async def _answer(
        self, call: PendingCall, config: RunnableConfig, runtime: Runtime[LearnerContext]
    ) -> tuple[JsonObject, bool]:
        tool = next((tool for tool in self.tools if tool.name == call["name"]), None)
        if tool is None:
            names = ", ".join(sorted(tool.name for tool in self.tools))
            return problem(f"There is no tool {call['name'][:80]!r} in this step.", f"Use one of: {names}."), True
        if not call["affordable"]:
            return problem("This run has used up its tool calls.", "Answer with what you have."), True
        try:
            args = _visible_args(tool, call["args"])
        except ValidationError as error:
            return bad_arguments(tool.name, error), True
        if effect_of(tool) in (Effect.READ, Effect.FOREIGN_READ):
            return await self._read(tool, args, call, config, runtime)
        try:
            result = await once(
                self.deps,
                runtime,
                config,
                Call(call["message_id"], call["index"], tool.name, args, call["call_id"]),
                lambda context: _invoke(tool, args, call["call_id"], context, config, runtime),
            )
        except Conflict as error:
            return _hinted({"error": str(error)}), True
        failed = result.status == "error"
        return _hinted(result.result) if failed else result.result, failed

    async def _read(
        self,
        tool: BaseTool,
        args: JsonObject,
        call: PendingCall,
        config: RunnableConfig,
        runtime: Runtime[LearnerContext],
    ) -> tuple[JsonObject, bool]:
        origin = _origin(runtime, config, call["call_id"])
        who = principal(runtime)
        context = _tool_context(self.deps, runtime, lambda: self.deps.database.transaction(who, origin), iter(()))
        try:
            return await _invoke(tool, args, call["call_id"], context, config, runtime), False
        except Unavailable:
            raise
        except StoreError as error:
            return _hinted({"error": str(error)}), True


@dataclass(frozen=True, slots=True)
class Call:
    """The lasting name of an effect, and what it was asked to do.

    For a node that writes without a tool call, `message_id` is an id minted in an earlier, checkpointed step.
    """

    message_id: str
    index: int
    tool: str
    args: JsonObject
    call_id: str = ""


async def once(
    deps: Deps,
    runtime: Runtime[LearnerContext],
    config: RunnableConfig,
    call: Call,
    effect: Callable[[ToolContext], Awaitable[JsonObject]],
) -> LedgerResult:
    """Perform `effect` in one transaction with its ledger row, or return what it returned the first time.

    An effect that raises StoreError is undone to the savepoint and its refusal is recorded as the result.
    Anything else undoes the whole transaction and is raised. `effect` must not call a model or the network.
    Raises durability.NotDurable when the call's checkpoint cannot be found: a repetition could not be recognised.
    """
    thread = config.get("configurable", {}).get("thread_id")
    if not thread:
        raise durability.NotDurable("This step changes data, so it needs a thread. Run it on one.")
    await durability.wait(config)
    who = principal(runtime)
    key = CallKey(thread_id=str(thread), ai_message_id=call.message_id, call_index=call.index)
    origin = replace(_origin(runtime, config, call.call_id), command_key=":".join(str(part) for part in key))
    async with deps.database.transaction(who, origin) as tx:
        context = _tool_context(deps, runtime, lambda: _same(tx), _ids(key))
        return await ledger.once(
            tx,
            key,
            tool=call.tool,
            args=call.args,
            effect=lambda: effect(context),
        )


@asynccontextmanager
async def _same(tx: Transaction) -> AsyncGenerator[Transaction]:
    async with tx.savepoint():
        yield tx


async def _invoke(
    tool: BaseTool,
    args: JsonObject,
    call_id: str,
    context: ToolContext,
    config: RunnableConfig,
    runtime: Runtime[LearnerContext],
) -> JsonObject:
    given = ToolRuntime[ToolContext, Any](
        state=None,
        context=context,
        config=config,
        stream_writer=runtime.stream_writer,
        tool_call_id=call_id,
        store=None,
    )
    request = {"type": "tool_call", "name": tool.name, "args": {**args, "runtime": given}, "id": call_id}
    message = cast(ToolMessage, await tool.ainvoke(request, config))
    return cast(JsonObject, json.loads(message.text))


def _visible_args(tool: BaseTool, args: Mapping[str, Any]) -> JsonObject:
    """Keep only arguments of the schema the model was shown: no hidden one can be forged. Raises ValidationError."""
    schema = cast("type[BaseModel]", tool.tool_call_schema)
    kept = {name: value for name, value in args.items() if name in schema.model_fields}
    schema.model_validate(kept)
    return kept


def _tool_context(
    deps: Deps,
    runtime: Runtime[LearnerContext],
    transaction: Callable[[], AbstractAsyncContextManager[Transaction]],
    ids: Iterator[UUID],
) -> ToolContext:
    who = learner(runtime)
    return ToolContext(
        learner=who,
        principal=principal(runtime),
        embedder=deps.embedder,
        now=who.now or deps.clock(),
        transaction=transaction,
        new_id=lambda: next(ids),
    )


def _ids(key: CallKey) -> Iterator[UUID]:
    number = 0
    while True:
        yield uuid5(THREADS, f"{key.thread_id}:{key.ai_message_id}:{key.call_index}:{number}")
        number += 1


def _origin(runtime: Runtime[LearnerContext], config: RunnableConfig, call_id: str) -> Origin:
    info = runtime.execution_info
    thread = str(config.get("configurable", {}).get("thread_id", ""))
    run = (info.run_id if info else None) or config.get("configurable", {}).get("run_id") or config.get("run_id")
    return Origin(
        correlation_id=_as_uuid(run) or uuid5(THREADS, thread),
        thread_id=thread or None,
        run_id=str(run) if run else None,
        checkpoint_id=info.checkpoint_id if info else None,
        tool_call_id=call_id or None,
        channel="tool",
    )


def _as_uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _hinted(answer: JsonObject) -> JsonObject:
    """Give a refusal a way on, for models that would otherwise repeat themselves."""
    return {"try": "Look ids up with a list tool, read the current state, then correct the call.", **answer}
