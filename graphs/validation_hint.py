"""The hint of a validation: given only when asked for, as far as the attempts allow, and never with the solution."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from langgraph.runtime import Runtime

from agents import hints
from agents.failures import ModelFailure
from agents.hints import HintDraft
from agents.hints_ladder import Step, fingerprint, step
from agents.hints_leak import leaks
from agents.models import ModelRole
from agents.wording import in_language
from graphs.context import LearnerContext, principal
from graphs.deps import Deps
from graphs.messages import Spent
from graphs.model_calls import structured
from graphs.validation_review import code_of, known_solutions
from graphs.validation_state import Hint, Request, State, checked_findings, request_of, static_of, subject_of
from store import hint_grants
from store.findings import Finding, Severity
from store.hint_grants import Grant


async def give(deps: Deps, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Decide whether a hint may be given and find its words; it is remembered by the commit."""
    request, subject = request_of(state), subject_of(state)
    if not request.hint_level:
        return {"hint": None}
    problem = _problem(checked_findings(state), cast("list[str]", state.get("checked", {}).get("shown", [])), request)
    code = await code_of(deps, state, runtime)
    taken = await _taken(deps, subject["task_id"], runtime)
    allowed = step(request.hint_level, problem, fingerprint(code, subject["language"]), taken)
    if problem is None or allowed.level == 0:
        return {"hint": _hint(allowed, problem, "", "prepared")}
    if allowed.words:
        return {"hint": _hint(allowed, problem, allowed.words, "prepared")}
    place = hints.place(problem, request.locale)
    if allowed.level == 1:
        return {"hint": _hint(allowed, problem, place, "prepared")}
    words, by, cost = await _words(deps, state, problem, allowed, code, taken, runtime)
    return {"hint": _hint(allowed, problem, f"{place} {words}", by), "spent": cost}


def _problem(findings: Sequence[Finding], shown: Sequence[str], request: Request) -> Finding | None:
    """The finding a hint is about: the one named, else the most important of those shown."""
    open_ = [each for each in findings if each.severity is not Severity.CELEBRATORY and each.hint_key != "none"]
    if request.finding:
        return next((each for each in open_ if each.identity == request.finding), None)
    return next((each for each in open_ if each.identity in shown), open_[0] if open_ else None)


async def _taken(deps: Deps, task_id: str | None, runtime: Runtime[LearnerContext]) -> Sequence[Grant]:
    if task_id is None:
        return []
    async with deps.database.transaction(principal(runtime)) as tx:
        return await hint_grants.of_task(tx, UUID(task_id))


async def _words(  # the words of level 2 and up
    deps: Deps, state: State, problem: Finding, allowed: Step, code: str, taken: Sequence[Grant],
    runtime: Runtime[LearnerContext],
) -> tuple[str, str, Spent]:  # fmt: skip
    request, subject = request_of(state), subject_of(state)
    # in a thread, because the words are read from a file the first time
    prepared = await asyncio.to_thread(hints.prepared, problem.hint_key, allowed.level, request.locale)
    if deps.models.offline:
        return prepared, "prepared", Spent()
    task = {"title": subject["title"], "criteria": subject["criteria"]} if subject["title"] else None
    messages = hints.messages(request.locale, allowed.level, problem, code, task)
    try:
        draft, cost = await structured(deps, state.get("spent") or {}, ModelRole.EXPLAIN, HintDraft, messages)
    except ModelFailure as failure:
        return prepared, failure.kind.value, Spent()
    fault = leaks(
        allowed.level,
        draft.text,
        draft.code,
        subject["language"],
        references=(await known_solutions(deps, state, runtime)).values(),
        defined=[str(each["name"]) for each in static_of(state)["outline"].get("functions", [])],
        before=[grant.words for grant in taken],
    )
    if not fault and not in_language(draft.text, request.locale):
        fault = "another language"
    if fault or not draft.text.strip():
        return prepared, fault or "empty", cost
    block = f"\n```{subject['language']}\n{draft.code.strip()}\n```" if draft.code.strip() else ""
    return draft.text.strip() + block, "model", cost


def _hint(allowed: Step, problem: Finding | None, words: str, by: str) -> Hint:
    return Hint(
        level=allowed.level,
        asked=allowed.asked or 0,
        held_back=allowed.held_back and allowed.level > 0,
        repeated=bool(allowed.words),
        words=words,
        finding=problem.identity if problem else "",
        hint_key=problem.hint_key if problem else "",
        by=by,
    )
