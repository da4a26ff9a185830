"""The middle of a suggestion: candidates from the database, an order computed in code, words put to it."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from langgraph.runtime import Runtime

from agents import suggester
from agents.failures import ModelFailure
from agents.models import ModelRole
from agents.ranking import Ranked, Wish, rank
from agents.ranking_reasons import Obstacle, WhyNot, obstacle_of, smallest_step, why_not
from agents.suggester import Explanations
from agents.suggester_checks import check
from graphs.context import LearnerContext, learner, principal
from graphs.deps import Deps
from graphs.model_calls import structured
from graphs.narration import progress
from graphs.suggestion_state import Request, Result, State, Suggestion, updated
from graphs.suggestion_texts import blocked_message, obstacle_text, sentence
from store import candidates, mastery
from store.candidates import Candidates
from store.errors import NotFound


async def choose(deps: Deps, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Load what could be done and rank it. When nothing can begin, say what would change that."""
    request = Request.model_validate(state.get("request"))
    now = learner(runtime).now or deps.clock()
    progress(runtime, "rank", sentence(request.locale, "rank"))
    try:
        async with deps.database.transaction(principal(runtime)) as tx:
            found = await candidates.load(tx, request.goal_id)
            skills = await mastery.all_of_caller(tx)
    except NotFound as error:
        return {"result": Result(status="not_found", message=str(error))}
    ranked = rank(found, skills, Wish(now, request.available_minutes, request.mood))
    if not ranked:
        return {"offered": [], "result": _nothing(found, request.locale, now)}
    reasons = [_left_out(each, request.locale) for each in why_not(found, ranked, request.limit, now)]
    offered = [_suggestion(place, each) for place, each in enumerate(ranked[: request.limit])]
    return {"offered": offered, "result": Result(status="suggested", suggestions=offered, why_not=reasons)}


async def explain(deps: Deps, state: State) -> dict[str, Any]:
    """Have the choice put into words; words that say more than the facts are replaced by prepared ones."""
    request = Request.model_validate(state.get("request"))
    offered = state.get("offered") or []
    given = [
        {key: each[key] for key in ("label", "kind", "title", "factors", "facts")}
        | {"unlocks": [item["title"] for item in each["unlocks"]]}
        for each in offered
    ]
    by = "rules" if deps.models.offline else "model"
    answer: Explanations | None = None
    update: dict[str, Any] = {}
    try:
        answer, update["spent"] = await structured(
            deps, state.get("spent") or {}, ModelRole.EXPLAIN, Explanations, suggester.messages(request.locale, given)
        )
    except ModelFailure as failure:
        by = failure.kind.value
    words = check(answer, given, request.locale)
    told = [
        cast(Suggestion, {**each, "reason": said.reason, "first_step": said.first_step})
        for each, said in zip(offered, words, strict=True)
    ]
    provenance = {
        "language_model": by == "model" and any(not each.replaced for each in words),
        "model": None if deps.models.offline else deps.models.name(ModelRole.EXPLAIN),
        "explained_by": by,
        "replaced": [each.replaced for each in words if each.replaced],
        "spent": dict(update.get("spent") or {}),
    }
    result = updated(state.get("result"), suggestions=told, provenance=provenance)
    return {**update, "offered": told, "result": result, "explained_by": by}


def _suggestion(place: int, each: Ranked) -> Suggestion:
    return Suggestion(
        label=f"S{place + 1}",
        kind=each.kind.value,
        task_id=str(each.task_id) if each.task_id else None,
        skill=each.skill,
        goal_id=str(each.goal_id) if each.goal_id else None,
        title=each.title,
        best=place == 0,
        score=each.score,
        factors=dict(each.factors),
        facts=dict(each.facts),
        estimated_minutes=each.estimated_minutes,
        unlocks=[{"id": str(task.id), "title": task.title} for task in each.unlocks],
        reason="",
        first_step="",
    )


def _left_out(why: WhyNot, locale: str) -> dict[str, Any]:
    return {**_plain(why), "reason": obstacle_text(why, locale)}


def _plain(why: WhyNot) -> dict[str, Any]:
    fields = asdict(why)
    return {
        "task_id": str(why.task_id) if why.task_id else None,
        "title": why.title,
        "obstacle": why.obstacle.value,
        "waits_for": list(why.waits_for),
        "factor": fields["factor"],
        "until": why.until.isoformat() if why.until else None,
    }


def _nothing(found: Candidates, locale: str, now: datetime) -> Result:
    step = smallest_step(found, now)
    others: Sequence[WhyNot] = [
        why
        for task in found.tasks
        if (why := obstacle_of(task, found, now)) is not None and why.task_id != step.task_id
    ]
    listed = [] if step.obstacle is Obstacle.NO_TASKS else [step, *others[:4]]
    return Result(
        status="nothing_ready",
        message=blocked_message(step, found.resting_goals, locale),
        suggestions=[],
        why_not=[_left_out(why, locale) for why in others[:5]],
        blocked_by=[_left_out(why, locale) for why in listed]
        or [{"obstacle": step.obstacle.value, "reason": blocked_message(step, found.resting_goals, locale)}],
        provenance={"language_model": False, "explained_by": "rules"},
    )
