"""The end of a validation: one transaction records it, a question may complete the task, a message reports."""

from typing import Any, cast
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from agents.hints_ladder import fingerprint
from agents.models import ModelRole
from graphs.approval import ActionRequest, ask
from graphs.calls import Call, once
from graphs.context import LearnerContext
from graphs.deps import Deps
from graphs.narration import progress, say
from graphs.validation_review import code_of
from graphs.validation_state import Result, State, Subject, request_of, static_of, subject_of
from graphs.validation_texts import feedback, reply, sentence
from store import hint_grants, mastery, snapshots, tasks
from store.database import Transaction
from store.errors import StoreError, Unavailable
from store.event_types import JsonObject
from store.hint_grants import Grant
from store.mastery import Evidence
from store.snapshots import Validation
from store.types import TaskStatus, ValidationStatus
from tools.context import ToolContext

OPEN = ("pending", "in_progress", "blocked")


async def commit(deps: Deps, state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Record verdict, findings, mastery evidence and hint together, once per attempt, however often this step runs."""
    request, subject = request_of(state), subject_of(state)
    checked = state.get("checked", {})
    status = {True: "passed", False: "failed", None: "not_checked"}[cast("bool | None", checked.get("passed"))]
    result = _result(deps, state, status)
    if subject["snapshot_id"] is None or status == "not_checked":
        return {"result": result}
    progress(runtime, "commit", sentence(request.locale, "commit"))
    code = await code_of(deps, state, runtime)
    call = Call(
        state.get("attempt_id", ""), 0, "save_validation", {"snapshot_id": subject["snapshot_id"], "status": status}
    )
    validation = Validation(
        status=ValidationStatus.PASSED if status == "passed" else ValidationStatus.FAILED,
        score=float(checked.get("score") or 0.0),
        feedback=result.get("message", ""),
        issues=checked.get("findings", []),
    )
    done = await once(deps, runtime, config, call, lambda context: _save(context, state, validation, code))
    if done.status == "error":
        stale = sentence(request.locale, "stale")
        return {"result": Result(status="stale", message=stale, snapshot_id=subject["snapshot_id"], recorded=False)}
    result["recorded"] = True
    result["task_completed"] = bool(done.result.get("task_completed"))
    proposal = result.get("proposal")
    if done.result.get("refused") and proposal is not None:
        result["proposal"] = {**proposal, "refused": done.result["refused"]}
    return {"result": result}


async def _save(context: ToolContext, state: State, validation: Validation, code: str) -> JsonObject:
    request, subject = request_of(state), subject_of(state)
    snapshot_id = UUID(str(subject["snapshot_id"]))
    passed = validation.status is ValidationStatus.PASSED
    answer: dict[str, Any] = {"snapshot_id": str(snapshot_id)}
    async with context.transaction() as tx:
        now = await snapshots.get(tx, snapshot_id)
        same = (now.validation_status, now.validation_score, now.validation_feedback, now.validation_issues) == (
            validation.status, validation.score, validation.feedback, list(validation.issues),
        )  # fmt: skip
        if not same:
            # asking for a hint checks the code again; what comes out the same is not recorded twice
            saved = await snapshots.record_validation(
                tx, snapshot_id, validation, expected_version=subject["row_version"]
            )
            answer["version"] = saved.version
        hint = state.get("hint")
        level = hint["level"] if hint else 0
        await _learn(tx, context, subject, passed, level)
        if hint is not None and hint["level"] and not hint["repeated"]:
            here = fingerprint(code, subject["language"])
            await hint_grants.give(
                tx,
                Grant(
                    UUID(str(subject["task_id"])),
                    snapshot_id,
                    hint["hint_key"],
                    level,
                    here,
                    hint["words"],
                    context.now,
                ),
            )
    if passed and request.complete_task and subject["task_status"] in OPEN:
        answer |= await complete(context, subject)
    return answer


async def _learn(tx: Transaction, context: ToolContext, subject: Subject, passed: bool, level: int) -> None:
    taken = await hint_grants.of_task(tx, UUID(str(subject["task_id"])))
    highest = max([level, *(grant.level for grant in taken)])
    for skill in sorted(subject["skills"]):  # locked in one order, or two outcomes at once could wait for each other
        evidence = Evidence(skill, UUID(str(subject["snapshot_id"])), passed, highest, subject["first_try"])
        await mastery.record(tx, evidence, context.now)


async def complete(context: ToolContext, subject: Subject) -> dict[str, Any]:
    """Complete the task in a savepoint of its own: a refusal must not take the validation with it."""
    try:
        async with context.transaction() as tx:
            task = await tasks.get(tx, UUID(str(subject["task_id"])))
            if task.status is not TaskStatus.COMPLETED:
                await tasks.update(tx, task.id, {"status": TaskStatus.COMPLETED})
    except Unavailable:
        raise
    except StoreError as error:
        return {"task_completed": False, "refused": str(error)}
    return {"task_completed": True}


def after_commit(state: State) -> str:
    """Ask about the task only if the client wants to be asked and there is something to complete."""
    result = state.get("result") or Result(status="error")
    wanted = request_of(state).offer_completion if state.get("request") else False
    return "offer" if wanted and result.get("proposal") and not result.get("task_completed") else "report"


def offer(state: State) -> dict[str, Any]:
    """Ask whether the task is done; nothing else than an approval completes it."""
    request, subject = request_of(state), subject_of(state)
    result = cast(Result, dict(state.get("result") or {}))
    action = ActionRequest(
        name="complete_task",
        args={"task_id": subject["task_id"], "title": subject["title"]},
        description=sentence(request.locale, "ask", score=result.get("score") or 0.0, title=subject["title"]),
    )
    (decision,) = ask([action], ["approve", "reject"])
    result["proposal"] = {**(result.get("proposal") or {}), "decision": decision.kind}
    return {"decision": decision.kind, "result": result}


async def finish(deps: Deps, state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Complete the task the learner approved, once."""
    subject = subject_of(state)
    result = cast(Result, dict(state.get("result") or {}))
    call = Call(state.get("attempt_id", ""), 1, "complete_task", {"task_id": subject["task_id"]})

    async def effect(context: ToolContext) -> JsonObject:
        return await complete(context, subject)

    done = await once(deps, runtime, config, call, effect)
    result["task_completed"] = bool(done.result.get("task_completed"))
    refused = done.result.get("refused") or done.result.get("error")
    if refused:
        result["proposal"] = {**(result.get("proposal") or {}), "refused": refused}
    return {"result": result}


async def report(state: State) -> dict[str, Any]:
    """Tell the learner how it ended, word by word, and leave the result for programs."""
    result = state.get("result") or Result(status="error", message="")
    locale = request_of(state).locale if state.get("request") else "en"
    return {"messages": [await say(reply(result, locale))]}


def _result(deps: Deps, state: State, status: str) -> Result:
    request, subject = request_of(state), subject_of(state)
    checked = state.get("checked", {})
    tests = request.client_test_results.tests if request.client_test_results else None
    return Result(
        status=cast(Any, status),
        message=feedback(state, status, request.locale),
        recorded=False,
        snapshot_id=subject["snapshot_id"],
        task_id=subject["task_id"],
        score=checked.get("score"),
        findings=checked.get("findings", []),
        shown=checked.get("shown", []),
        fixed=checked.get("fixed", []),
        rubric=checked.get("rubric", []),
        summary=checked.get("summary", ""),
        hint=state.get("hint"),
        tests=None
        if tests is None
        else {
            "source": "learner_machine",
            "verified": False,
            "total": len(tests),
            "passed": sum(each.status == "pass" for each in tests),
        },
        evidence=state.get("evidence", []),
        proposal=_proposal(state, status),
        task_completed=False,
        provenance={
            "language_model": state.get("reviewed_by") == "model",
            "model": None if deps.models.offline else deps.models.name(ModelRole.REVIEW),
            "reviewed_by": state.get("reviewed_by", ""),
            "static": {key: static_of(state)[key] for key in ("depth", "parsed", "seconds")},
            "dropped": checked.get("dropped", []),
            "embedder": deps.embedder.model,
            "spent": dict(state.get("spent") or {}),
        },
    )


def _proposal(state: State, status: str) -> dict[str, Any] | None:
    """Propose completing the task when the code passed and no criterion is unmet; never more than a proposal."""
    subject = subject_of(state)
    rubric = cast("list[dict[str, Any]]", state.get("checked", {}).get("rubric", []))
    if status != "passed" or subject["task_id"] is None or subject["task_status"] not in OPEN:
        return None
    if any(each["met"] == "no" for each in rubric):
        return None
    left = [str(each["text"]) for each in rubric if each["met"] != "yes"]
    return {"action": "complete_task", "task_id": subject["task_id"], "left_to_judge": left}
