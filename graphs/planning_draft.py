"""The middle of goal planning: material is looked up, a plan is proposed from it, and code checks the proposal."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Send

from agents import planner
from agents.failures import ModelFailure
from agents.models import ModelRole
from agents.plan import PlanDraft
from agents.plan_checks import check, schedule
from graphs import planning_commit, planning_load
from graphs.calls import PendingCall, Toolset, fan_out
from graphs.context import LearnerContext, learner
from graphs.deps import Deps
from graphs.managing import this_turn
from graphs.messages import orderly
from graphs.model_calls import structured, with_tools
from graphs.narration import progress, say
from graphs.planning_state import Plan, Result, State, collect, failed, request_of
from graphs.planning_texts import found, violations_as_text
from graphs.planning_texts import say as sentence
from tools import courses, goals, rag, tasks

RESEARCH_TOOLS = (
    courses.list_courses,
    courses.get_course,
    rag.get_course_documentation,
    rag.get_similar_goals,
    rag.search_knowledge_base,
    goals.list_goals,
    goals.get_goal,
    tasks.list_tasks,
)
ROUNDS = 3
REPAIRS = 2


class Drafting:
    """The nodes `research`, `look_up`, `collect`, `draft` and `check`."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
        self.research_tools = Toolset(deps, RESEARCH_TOOLS)

    async def research(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        """Let the model look for material with reading tools; its own words are neither streamed nor kept."""
        request = request_of(state)
        so_far = this_turn(state)
        if sum(isinstance(message, AIMessage) and bool(message.tool_calls) for message in so_far) >= ROUNDS:
            return {"decision": "enough"}
        progress(runtime, "research", sentence(request.locale, "search"))
        messages = planner.research(
            objective=request.objective,
            course_id=request.course_id,
            locale=request.locale,
            level=request.level,
            so_far=orderly(so_far),
        )
        try:
            message, cost = await with_tools(
                self.deps, state.get("spent") or {}, ModelRole.PLAN, RESEARCH_TOOLS, messages, quiet=True
            )
        except ModelFailure as failure:
            return failed(failure)
        if not message.tool_calls:
            return {"decision": "enough", "spent": cost}
        kept = AIMessage("", id=message.id, tool_calls=message.tool_calls, name="research")
        return {"messages": [kept], "spent": cost, "decision": "look_up"}

    def after_research(self, state: State) -> list[Send] | str:
        if state.get("result"):
            return "report"
        if state.get("decision") == "enough":
            return "collect"
        limit = self.deps.budget.tool_calls
        return fan_out(state.get("messages", []), state.get("spent") or {}, limit, "look_up") or "collect"

    async def look_up(
        self, call: PendingCall, config: RunnableConfig, runtime: Runtime[LearnerContext]
    ) -> dict[str, Any]:
        """Execute one reading call."""
        return dict(await self.research_tools.run(call, config, runtime))

    async def collect(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        """Number the material found, so that a plan can cite it and code can check the citation; say what it is."""
        evidence, locale = collect(this_turn(state)), request_of(state).locale
        progress(runtime, "collect", sentence(locale, "found", count=len(evidence)), found=len(evidence))
        return {"evidence": evidence, "messages": [await say(found(evidence, locale))]}

    async def draft(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        """Have a plan proposed, or repaired."""
        request = request_of(state)
        violations = state.get("violations") or []
        text = sentence(request.locale, "repair", what=violations_as_text(violations)) if violations else None
        progress(runtime, "draft", text or sentence(request.locale, "draft"), attempt=state.get("attempts", 0) + 1)
        facts = await planning_load.facts(self.deps, state, request, runtime)
        try:
            proposal, cost = await structured(
                self.deps, state.get("spent") or {}, ModelRole.PLAN, PlanDraft, planner.draft(facts)
            )
        except ModelFailure as failure:
            return failed(failure)
        base = state.get("base")
        cleaned = planning_commit.restored(proposal.cleaned(), base)
        if base:
            cleaned = cleaned.model_copy(update={"title": base["title"]})
        return {"draft": cleaned.model_dump(), "attempts": state.get("attempts", 0) + 1, "spent": cost}

    def check(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        """Check the proposal in code, and compute what no model may state."""
        if state.get("result"):
            return {}
        request = request_of(state)
        draft = PlanDraft.model_validate(state.get("draft"))
        frame = request.frame(state.get("evidence", []), state.get("base"))
        found = check(draft, frame)
        if found and state.get("attempts", 0) <= REPAIRS and not self.deps.models.offline:
            return {"violations": found, "decision": "repair"}
        if any(violation["fatal"] for violation in found):
            return {"violations": found, "result": Result(status="invalid_plan", message=violations_as_text(found))}
        figures = schedule(draft, frame)
        progress(
            runtime,
            "check",
            sentence(request.locale, "checked", tasks=len(draft.tasks), minutes=figures["total_minutes"]),
            tasks=len(draft.tasks),
            minutes=figures["total_minutes"],
        )
        draft = draft.model_copy(update={"assumptions": [*draft.assumptions, *request.notes]})
        plan = Plan(
            plan_id=str(uuid4()),
            made_at=self._now(runtime).isoformat(),
            draft=draft.model_dump(),
            schedule=figures,
            warnings=found,
        )
        return {"violations": [], "plan": plan, "decision": "sound"}

    def after_check(self, state: State) -> str:
        if state.get("result"):
            return "report"
        if state.get("decision") == "repair":
            return "draft"
        return "present" if state.get("base") else "twin"

    def _now(self, runtime: Runtime[LearnerContext]) -> datetime:
        return learner(runtime).now or self.deps.clock()
