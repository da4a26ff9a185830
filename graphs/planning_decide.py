"""The last part of goal planning: the learner decides, code writes, and the outcome is told."""

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from pydantic import ValidationError

from agents.models import ModelRole
from agents.plan import PlanDraft
from agents.plan_checks import check, schedule
from graphs import planning_commit
from graphs.approval import ActionRequest, Decision, ask
from graphs.calls import Call, once
from graphs.context import LearnerContext
from graphs.deps import Deps
from graphs.messages import Spent
from graphs.narration import progress, say
from graphs.planning_state import Plan, Result, State, request_of
from graphs.planning_texts import described, ended, violations_as_text
from graphs.planning_texts import say as sentence
from store.errors import StoreError, Unavailable


class Deciding:
    """The nodes `present`, `approve`, `commit` and `report`."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    async def present(self, state: State) -> dict[str, Any]:
        """Speak the plan; approving is a step of its own, because an interrupted step is executed again."""
        return {"messages": [await say(self._described(state))]}

    def approve(self, state: State) -> dict[str, Any]:
        """Ask the learner. An edited plan is checked again before it counts."""
        plan = state.get("plan")
        assert plan is not None
        args = {**plan["draft"]}
        action = ActionRequest(name="commit_plan", args=args, description=self._described(state))

        def usable_edit(decisions: Sequence[Decision]) -> None:
            if decisions[0].kind == "edit":
                self._edited(state, decisions[0])

        (decision,) = ask([action], ["approve", "edit", "reject", "respond"], usable_edit)
        match decision.kind:
            case "approve":
                return {"decision": "approve"}
            case "edit":
                return {"decision": "approve", "plan": self._edited(state, decision)}
            case "respond" if decision.message.strip():
                feedback = [*state.get("feedback", []), decision.message[:1000]]
                return {"decision": "respond", "feedback": feedback[-5:], "attempts": 0, "violations": []}
            case _:
                return {"decision": "reject", "result": Result(status="rejected", message=decision.message[:500])}

    def after_approve(self, state: State) -> str:
        return {"approve": "commit", "respond": "draft"}.get(str(state.get("decision")), "report")

    async def commit(self, state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        """Write goal and tasks in one transaction, exactly once."""
        request, plan, base = request_of(state), state.get("plan"), state.get("base")
        assert plan is not None
        progress(runtime, "commit", sentence(request.locale, "commit"))
        evidence, model = state.get("evidence", []), self.deps.models.name(ModelRole.PLAN)
        call = Call(plan["plan_id"], 0, "commit_plan", {"plan": plan["draft"], "goal_id": base and base["goal_id"]})
        try:
            written = await once(
                self.deps,
                runtime,
                config,
                call,
                lambda context: planning_commit.commit(context, request, plan, base, evidence, model),
            )
        except Unavailable:  # whether it was written is not known: the run fails and is continued, and the ledger tells
            raise
        except StoreError as error:
            return {"result": Result(status="stale", message=str(error))}
        if written.status == "error":
            return {"result": Result(status="stale", message=str(written.result.get("error", "")))}
        body: Any = written.result
        return {
            "result": Result(
                status="committed",
                goal_id=body["goal_id"],
                task_ids=body["task_ids"],
                diff=body.get("diff") or {},
            )
        }

    async def report(self, state: State) -> dict[str, Any]:
        """Say how it ended, and leave the outcome as data."""
        request = request_of(state) if state.get("request") else None
        result: Result = {**(state.get("result") or Result(status="answered"))}
        plan = state.get("plan")
        status = result.get("status")
        if status == "answered":
            return {"result": result}
        title, first = result.get("message", ""), ""
        if plan is not None and status in ("committed", "rejected", "stale"):
            tasks_by_key = {task["key"]: task["title"] for task in plan["draft"]["tasks"]}
            title = plan["draft"]["title"]
            first = tasks_by_key[plan["schedule"]["order"][0]]
            result = {**result, **self._outcome(state, plan)}
        words = ended(result, request.locale if request else "en", title, first)
        return {"result": {**result, "message": words}, "messages": [await say(words)]}

    def _outcome(self, state: State, plan: Plan) -> Result:
        evidence = state.get("evidence", [])
        figures = plan["schedule"]
        return Result(
            plan={**plan["draft"], **figures, "plan_id": plan["plan_id"], "warnings": plan["warnings"]},
            evidence=evidence,
            low_evidence=not any(task["sources"] for task in plan["draft"]["tasks"]),
            provenance={
                "model": self.deps.models.name(ModelRole.PLAN),
                "language_model": not self.deps.models.offline,
                "embedder": self.deps.embedder.model,
                "spent": state.get("spent") or Spent(),
            },
        )

    def _described(self, state: State) -> str:
        plan, base = state.get("plan"), state.get("base")
        assert plan is not None
        diff = planning_commit.difference(PlanDraft.model_validate(plan["draft"]), base)
        return described(plan, state.get("evidence", []), base, diff, request_of(state).locale)

    def _edited(self, state: State, decision: Decision) -> Plan:
        """Return the plan as the learner edited it. Raises ValueError, saying what is wrong with it."""
        plan, request = state.get("plan"), request_of(state)
        assert plan is not None
        try:
            draft = planning_commit.restored(PlanDraft.model_validate(decision.args).cleaned(), state.get("base"))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in error.errors()[:5])
            raise ValueError(f"The edited plan has another shape: {wrong}") from error
        frame = request.frame(state.get("evidence", []), state.get("base"))
        found = check(draft, frame)
        if any(violation["fatal"] for violation in found):
            raise ValueError(violations_as_text([violation for violation in found if violation["fatal"]]))
        edited: Plan = {**plan, "draft": draft.model_dump(), "schedule": schedule(draft, frame), "warnings": found}
        return edited
