"""What goal planning reads before it thinks: the input, what an abandoned turn left, the learner's goals and habits."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from pydantic import ValidationError

from agents.plan_rules import typical
from graphs import planning_commit
from graphs.context import LearnerContext, learner, principal
from graphs.deps import Deps
from graphs.messages import ANSWERS, Spent, place_of, unanswered
from graphs.planning_state import PlanRequest, Result, State
from store import ledger, tasks
from store.errors import StoreError, Unavailable
from store.goals import Goal
from store.ledger import CallKey
from store.tasks import TaskFilter
from store.types import TaskStatus
from store.vectors import EmbedderUnavailable, TextRefused
from tools.goals import normalised, open_goals
from tools.replies import as_text, problem

NEAR = 0.93
"""Cosine above which two titles mean the same; below it, similar goals are often different on purpose."""

_INPUTS = ("objective", "deadline", "hours_per_week", "level", "constraints", "course_id", "mode", "goal_id")


async def load(deps: Deps, state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Return the state at the start of a run. A bad input ends it at once, with the reason."""
    messages = state.get("messages", [])
    settled = await reconciled(deps, messages, config, runtime)
    spoken, added = _spoken(state, messages)
    fresh: dict[str, Any] = {
        **dict.fromkeys(_INPUTS),
        "base": None,
        "evidence": [],
        "draft": None,
        "violations": [],
        "attempts": 0,
        "feedback": [],
        "plan": None,
        "decision": "",
        "result": None,
        "spent": Spent(fresh=True),
        "turn": str(spoken.id) if spoken else "",
        "messages": [*settled, *added],
    }
    try:
        request = _request(deps, state, spoken.text if spoken else "", runtime)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in error.errors()[:5])
        return {**fresh, "request": {}, "result": Result(status="invalid_input", message=wrong)}
    return {**fresh, "request": request.model_dump(mode="json")}


async def reconciled(
    deps: Deps, messages: Sequence[AnyMessage], config: RunnableConfig, runtime: Runtime[LearnerContext]
) -> list[BaseMessage]:
    """Answer the calls an abandoned turn left open: with their stored result, or by saying they never happened."""
    who = principal(runtime)
    open_calls = unanswered(messages)
    if not open_calls:
        return []
    thread = str(config.get("configurable", {}).get("thread_id", ""))
    answers: list[BaseMessage] = []
    async with deps.database.transaction(who) as tx:
        for message, index in open_calls:
            call = message.tool_calls[index]
            known = await ledger.find(tx, CallKey(thread, str(message.id), index))
            body = known.result if known else problem("This call was abandoned and did nothing.", "Call it again.")
            answers.append(
                ToolMessage(
                    as_text(body),
                    name=call["name"],
                    tool_call_id=call["id"] or "",
                    status="success" if known and known.status == "done" else "error",
                    additional_kwargs={ANSWERS: place_of(message.id, index)},
                )
            )
    return answers


async def base(deps: Deps, request: PlanRequest, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Return the goal to revise, or the reason why it cannot be."""
    if request.goal_id is None:
        return {
            "result": Result(status="invalid_input", message="To revise a goal, say which one: goal_id is missing.")
        }
    try:
        async with deps.database.transaction(principal(runtime)) as tx:
            return {"base": await planning_commit.base_of(tx, request.goal_id), "decision": "research"}
    except Unavailable:
        raise
    except StoreError as error:
        return {"result": Result(status="invalid_input", message=str(error))}


async def near_twin(
    deps: Deps, title: str, course_id: str | None, runtime: Runtime[LearnerContext]
) -> dict[str, Any] | None:
    """Return the open goal of the learner that means the same as `title`, if there is one."""
    async with deps.database.transaction(principal(runtime)) as tx:
        rows = [g for g in await open_goals(tx) if g.course_id == course_id or None in (g.course_id, course_id)]
    twin = next((goal for goal in rows if _alike(goal.title, title)), None) or await _closest(deps, title, rows[:30])
    return {"extend_goal_id": str(twin.id), "message": twin.title} if twin else None


async def facts(deps: Deps, state: State, request: PlanRequest, runtime: Runtime[LearnerContext]) -> Mapping[str, Any]:
    """Return everything a plan is made from; other people's text is only in `evidence`."""
    base_ = state.get("base")
    frame = request.frame(state.get("evidence", []), base_)
    violations = state.get("violations") or []
    return {
        "mode": request.mode,
        "objective": request.objective,
        "course_id": request.course_id,
        "locale": request.locale,
        "today": request.today.isoformat(),
        "level": request.level,
        "constraints": request.constraints,
        "deadline": request.deadline.isoformat() if request.deadline else None,
        "hours_per_week": frame.hours_per_week,
        "available_minutes": frame.available_minutes,
        "typical_minutes": await _typical(deps, runtime),
        "existing": [task for task in base_["tasks"] if task["key"] not in frame.finished] if base_ else [],
        "finished": dict(frame.finished),
        "evidence": state.get("evidence", []),
        "feedback": state.get("feedback", []),
        "previous": state.get("draft") if violations or state.get("feedback") else None,
        "violations": violations,
    }


def _spoken(state: State, messages: Sequence[AnyMessage]) -> tuple[HumanMessage | None, list[BaseMessage]]:
    """Return the message this run answers, and what has to be added to the thread for it."""
    objective = state.get("objective")
    if objective is not None:
        spoken = HumanMessage(str(objective), id=str(uuid4()))
        return spoken, [spoken]
    last = messages[-1] if messages else None
    return (last, []) if isinstance(last, HumanMessage) else (None, [])


def _request(deps: Deps, state: State, text: str, runtime: Runtime[LearnerContext]) -> PlanRequest:
    who = learner(runtime)
    given: dict[str, Any] = {name: state.get(name) for name in _INPUTS if name != "objective"}
    given = {name: value for name, value in given.items() if value is not None}
    given.setdefault("course_id", who.course_id)
    return PlanRequest(
        text=text,
        locale=who.locale,
        today=(who.now or deps.clock()).date(),
        structured=state.get("objective") is not None,
        **given,
    )


async def _typical(deps: Deps, runtime: Runtime[LearnerContext]) -> dict[str, int]:
    async with deps.database.transaction(principal(runtime)) as tx:
        done = await tasks.list(tx, TaskFilter(status=TaskStatus.COMPLETED, limit=200))
    minutes: dict[str, list[int]] = {}
    for task in done.items:
        if task.actual_minutes:
            minutes.setdefault(task.type.value, []).append(task.actual_minutes)
    return typical(minutes)


def _alike(one: str, other: str) -> bool:
    left, right = set(normalised(one).split()), set(normalised(other).split())
    return bool(left) and len(left & right) >= 0.8 * len(left | right)


async def _closest(deps: Deps, title: str, rows: Sequence[Goal]) -> Goal | None:
    if deps.embedder.degraded or not rows:
        return None
    try:
        vectors = await deps.embedder.embed([title, *(goal.title for goal in rows)])
    except (EmbedderUnavailable, TextRefused):
        return None
    near = [float(np.dot(vectors[0], vector)) for vector in vectors[1:]]
    best = max(range(len(rows)), key=near.__getitem__)
    return rows[best] if near[best] >= NEAR else None
