"""The first half of goal planning: what is asked for, and whether such a goal exists already."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from agents import planner
from agents.failures import ModelFailure
from agents.models import ModelRole
from agents.plan import Understanding
from agents.plan_checks import DEFAULT_HOURS
from agents.requests import Wish, read_wish, usable
from graphs import planning_load
from graphs.approval import ActionRequest, ask
from graphs.context import LearnerContext
from graphs.deps import Deps
from graphs.model_calls import structured
from graphs.narration import progress
from graphs.planning_state import PlanRequest, Result, State, failed, request_of
from graphs.planning_texts import say as sentence

CLARIFICATIONS = 2


class Aiming:
    """The nodes `load`, `understand`, `clarify`, `twin` and `extend`."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    async def load(self, state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        """Read the input, answer what an abandoned turn left open, and start counting anew."""
        return await planning_load.load(self.deps, state, config, runtime)

    def after_load(self, state: State) -> str:
        return "report" if state.get("result") else "understand"

    async def understand(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        """Find out what is asked for; a structured objective needs no model for that."""
        request = request_of(state)
        progress(runtime, "understand", sentence(request.locale, "read"))
        wish = read_wish(request.text, request.today)
        if request.structured:
            found: dict[str, Any] = {
                "objective": wish.objective if usable(wish.objective) else "",
                "deadline": request.deadline or wish.deadline,
                "hours_per_week": request.hours_per_week or wish.hours_per_week,
                "level": request.level or wish.level,
            }
            kind = "plan" if found["objective"] else "clarify"
            return {"request": _dumped(request, {**found, "notes": _notes(request, found, wish)}), "decision": kind}
        messages = planner.understand(text=request.text[:4000], locale=request.locale, today=request.today.isoformat())
        try:
            heard, cost = await structured(
                self.deps, state.get("spent") or {}, ModelRole.EXPLAIN, Understanding, messages
            )
        except ModelFailure as failure:
            return failed(failure)
        objective = heard.objective.strip()[:2000]
        kind = "clarify" if heard.kind == "unusable" or (heard.kind == "plan" and not usable(objective)) else heard.kind
        hours = heard.hours_per_week if heard.hours_per_week and 0 < heard.hours_per_week <= 100 else None
        found = {
            "objective": objective,
            "deadline": _day(heard.deadline, request.today) or wish.deadline,
            "hours_per_week": hours or wish.hours_per_week,
            "level": heard.level or wish.level,
            "constraints": [*request.constraints, *heard.constraints][:20],
        }
        found["notes"] = _notes(request, found, wish)
        return {"request": _dumped(request, found), "decision": kind, "spent": cost}

    def after_understand(self, state: State) -> str:
        if state.get("result"):
            return "report"
        decision = state.get("decision")
        return "assist" if decision == "manage" else "clarify" if decision == "clarify" else "twin"

    def clarify(self, state: State) -> dict[str, Any]:
        """Ask for the objective when there is none to be found; everything else is assumed and listed."""
        request = request_of(state)
        if request.clarified >= CLARIFICATIONS:
            return {"result": Result(status="needs_input")}
        question = sentence(request.locale, "clarify")
        action = ActionRequest(name="state_objective", args={"text": request.text[:500]}, description=question)
        (decision,) = ask([action], ["respond", "reject"])
        if decision.kind == "reject" or not decision.message.strip():
            return {"result": Result(status="needs_input")}
        return {"request": _dumped(request, {"text": decision.message[:4000], "clarified": request.clarified + 1})}

    def after_clarify(self, state: State) -> str:
        return "report" if state.get("result") else "understand"

    async def twin(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        """Look for an open goal that is nearly this one, and for the goal to revise."""
        request = request_of(state)
        if request.mode == "revise" and state.get("base") is None:
            return await planning_load.base(self.deps, request, runtime)
        if request.mode == "revise":
            return {"decision": "research"}
        draft = state.get("draft")
        title = draft["title"] if draft else request.objective
        found = await planning_load.near_twin(self.deps, title, request.course_id, runtime)
        if found is None:
            return {"decision": "present" if draft else "research"}
        return {"decision": "extend", "result": Result(status="duplicate", **found)}

    def after_twin(self, state: State) -> str:
        result = state.get("result")
        if state.get("decision") == "extend":
            return "extend"
        return "report" if result else str(state.get("decision"))

    def extend(self, state: State) -> dict[str, Any]:
        """Offer to extend the goal that is there instead of making its twin."""
        request = request_of(state)
        twin = state.get("result") or Result(status="duplicate")
        title, goal_id = twin.get("message", ""), twin.get("extend_goal_id", "")
        question = sentence(request.locale, "extend", title=title)
        action = ActionRequest(name="extend_goal", args={"goal_id": goal_id, "title": title}, description=question)
        (decision,) = ask([action], ["approve", "reject"])
        if decision.kind == "reject":
            return {"decision": "stop"}
        return {
            "result": None,
            "draft": None,
            "attempts": 0,
            "decision": "revise",
            "request": _dumped(request, {"mode": "revise", "goal_id": UUID(goal_id)}),
        }

    def after_extend(self, state: State) -> str:
        return "report" if state.get("decision") == "stop" else "twin"


def _notes(request: PlanRequest, found: Mapping[str, Any], wish: Wish) -> list[str]:
    """Return what code had to assume, to be listed with what the plan's author assumed."""
    clipped = [sentence(request.locale, "clipped")] if wish.clipped else []
    hours = [] if found["hours_per_week"] else [sentence(request.locale, "hours", hours=f"{DEFAULT_HOURS:g}")]
    return [*clipped, *hours]


def _dumped(request: PlanRequest, changes: dict[str, Any]) -> dict[str, Any]:
    return request.model_copy(update=changes).model_dump(mode="json")


def _day(text: str | None, today: date) -> date | None:
    """Read a date a model gave; one that is no date or lies in the past is none."""
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return None
    return day if day > today else None
