"""Looking after goals and tasks by conversation: a model with writing tools that never sees other people's text."""

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Send

from agents import planner
from agents.failures import ModelFailure
from agents.models import ModelRole
from graphs.approval import ActionRequest, Decision, ask
from graphs.calls import PendingCall, Toolset, fan_out
from graphs.context import LearnerContext, learner
from graphs.deps import Deps
from graphs.messages import ANSWERS, orderly, place_of, unanswered
from graphs.model_calls import with_tools
from graphs.planning_state import Result, State, failed, request_of
from store.event_types import JsonObject
from tools import courses, goals, history, snapshots, tasks
from tools.context import Effect, effect_of
from tools.replies import as_text, problem

VOICE = "assistant"
"""Name of the messages spoken here. Only they and the learner's own words are shown to this step again."""

_ALL = (*goals.TOOLS, *tasks.TOOLS, *courses.TOOLS, *history.TOOLS, *snapshots.TOOLS)
ALLOWED = tuple(tool for tool in _ALL if effect_of(tool) is not Effect.FOREIGN_READ)


class Managing:
    """The nodes `assist`, `gate` and `act`."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
        self.toolset = Toolset(deps, ALLOWED)

    async def assist(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        """Let the model act on the learner's words, or answer."""
        request = request_of(state)
        who = learner(runtime)
        messages = planner.manage(
            text=request.text,
            locale=request.locale,
            today=request.today.isoformat(),
            course_id=who.course_id,
            earlier=_earlier(state.get("messages", []), state.get("turn", "")),
            so_far=orderly(this_turn(state)),
        )
        try:
            spent = state.get("spent") or {}
            message, cost = await with_tools(self.deps, spent, ModelRole.EXPLAIN, ALLOWED, messages, quiet=False)
        except ModelFailure as failure:
            return failed(failure)
        message.name = VOICE
        update: dict[str, Any] = {"messages": [message], "spent": cost}
        if not message.tool_calls:
            update["result"] = Result(status="answered", message=message.text)
        return update

    def gate(self, state: State) -> dict[str, Any]:
        """Ask the learner about calls that cannot be undone, and about any write that foreign text may have caused."""
        calls = unanswered(this_turn(state))
        doubtful = not self.deps.models.offline and _read_foreign(this_turn(state))
        risky = [
            (message, index) for message, index in calls if self._asks(message.tool_calls[index]["name"], doubtful)
        ]
        if not risky:
            return {}
        actions = [_action(message, index) for message, index in risky]
        decisions = ask(actions, ["approve", "edit", "reject"])
        return {"messages": _decided(risky, decisions)}

    def _asks(self, name: str, doubtful: bool) -> bool:
        effect = next((effect_of(tool) for tool in ALLOWED if tool.name == name), None)
        return effect is Effect.DESTROY or (doubtful and effect is Effect.WRITE)

    async def act(self, call: PendingCall, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        """Execute one call."""
        return dict(await self.toolset.run(call, config, runtime))

    def after_assist(self, state: State) -> str:
        """Go to the gate with calls, else end."""
        return "report" if state.get("result") else "gate"

    def after_gate(self, state: State) -> list[Send] | str:
        """Send every call that is still open; when all were rejected, let the model answer."""
        limit = self.deps.budget.tool_calls
        return fan_out(state.get("messages", []), state.get("spent") or {}, limit, "act") or "assist"


def this_turn(state: State) -> list[AnyMessage]:
    """Return the calls and answers of this run, without the message that started it."""
    messages = state.get("messages", [])
    place = next((i for i, message in enumerate(messages) if message.id == state.get("turn")), -1)
    return [message for message in messages[place + 1 :] if isinstance(message, AIMessage | ToolMessage)]


def _earlier(messages: Sequence[AnyMessage], turn: str) -> list[dict[str, str]]:
    said: list[dict[str, str]] = []
    for message in messages:
        if message.id == turn:
            break
        if isinstance(message, HumanMessage):
            said.append({"learner": message.text[:500]})
        elif isinstance(message, AIMessage) and message.name == VOICE and message.text:
            said.append({"assistant": message.text[:500]})
    return said[-6:]


def _read_foreign(messages: Sequence[BaseMessage]) -> bool:
    return any(isinstance(message, ToolMessage) and '"foreign":true' in message.text for message in messages)


def _action(message: AIMessage, index: int) -> ActionRequest:
    call = message.tool_calls[index]
    described = ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in call["args"].items())
    return ActionRequest(name=call["name"], args=call["args"], description=f"{call['name']}: {described}")


def _decided(risky: Sequence[tuple[AIMessage, int]], decisions: Sequence[Decision]) -> list[BaseMessage]:
    """Return the message with edited calls, and an answer for each rejected one."""
    changed: dict[str | None, AIMessage] = {}
    answers: list[BaseMessage] = []
    for (message, index), decision in zip(risky, decisions, strict=True):
        call = message.tool_calls[index]
        if decision.kind == "reject":
            hint = decision.message or "Do not try it again; ask what they want."
            said: JsonObject = {**problem("The learner refused this.", hint), "refused": True}
            answers.append(
                ToolMessage(
                    as_text(said),
                    name=call["name"],
                    tool_call_id=call["id"] or "",
                    status="error",
                    additional_kwargs={ANSWERS: place_of(message.id, index)},
                )
            )
        elif decision.args is not None:
            latest = changed.get(message.id, message)
            calls = [{**other} for other in latest.tool_calls]
            calls[index] = {**call, "args": decision.args}
            changed[message.id] = latest.model_copy(update={"tool_calls": calls, "additional_kwargs": {}})
    return [*changed.values(), *answers]
