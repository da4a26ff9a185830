"""The end of a suggestion: the learner decides, one transaction acts on it, a message reports."""

from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from agents.ranking import REVIEW_MINUTES
from graphs.approval import ActionRequest, ask
from graphs.calls import Call, once
from graphs.context import LearnerContext, learner
from graphs.deps import Deps
from graphs.narration import say
from graphs.suggestion_state import Request, Result, State, updated
from graphs.suggestion_texts import answer, sentence
from store import candidates, tasks
from store.candidates import Decided
from store.database import Transaction
from store.errors import IllegalTransition, NotFound
from store.event_types import JsonObject
from store.tasks import NewTask, Task
from store.types import TaskStatus, TaskType
from tools.context import ToolContext

SNOOZE = timedelta(days=1)
"""How long a suggestion stays away when nobody says."""


def offer(state: State) -> dict[str, Any]:
    """Ask whether to begin the best suggestion; nothing but an approval begins it."""
    request = Request.model_validate(state.get("request"))
    best = (state.get("offered") or [])[0]
    action = ActionRequest(
        name="start_task",
        args={"task_id": best["task_id"], "skill": best["skill"], "title": best["title"]},
        description=sentence(request.locale, "ask", title=best["title"]),
    )
    (decision,) = ask([action], ["approve", "reject"])
    return {"choice": decision.kind, "chosen": {"id": best["task_id"] or f"skill:{best['skill']}"}}


async def act(deps: Deps, state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Begin what was accepted, or note what was turned down, once, in one transaction with its event."""
    request = Request.model_validate(state.get("request"))
    wanted = _wanted(state, request)
    done = await once(
        deps,
        runtime,
        config,
        Call(state.get("attempt_id", ""), 0, f"suggestion_{wanted['decision']}", cast(JsonObject, wanted)),
        lambda context: _effect(context, wanted, request.locale),
    )
    before = state.get("result")
    if done.status == "error":
        # the task was ready when it was offered; now it is not, and the reason comes from the store
        why = sentence(request.locale, "stale", why=done.result.get("error", ""))
        return {"result": updated(before, status="stale", message=why, started=None)}
    return {"result": updated(before, **_told(done.result, wanted, request.locale))}


def _wanted(state: State, request: Request) -> dict[str, Any]:
    """Return the arguments of the call: no clock among them, for a call that is repeated must be the same call."""
    chosen = state.get("chosen")
    if chosen is not None:
        decision = Decided.ACCEPTED if state.get("choice") == "approve" else Decided.REJECTED
        return {"decision": decision.value, "id": chosen["id"], "asked": True}
    if request.accept:
        return {"decision": Decided.ACCEPTED.value, "id": request.accept}
    if request.reject:
        return {"decision": Decided.REJECTED.value, "id": str(request.reject)}
    until = request.until.isoformat() if request.until else None
    return {"decision": Decided.SNOOZED.value, "id": str(request.snooze), "until": until}


async def _effect(context: ToolContext, wanted: dict[str, Any], locale: str) -> JsonObject:
    decision, named = Decided(wanted["decision"]), str(wanted["id"])
    async with context.transaction() as tx:
        if decision is Decided.ACCEPTED:
            task = await _begin(tx, context, named, locale)
            await candidates.decide(tx, context.new_id(), task.id, decision, context.now)
            return {"task_id": str(task.id), "title": task.title, "status": task.status.value}
        if named.startswith("skill:"):
            return {"skill": named.removeprefix("skill:")}
        until = context.now + SNOOZE if decision is Decided.SNOOZED else None
        if wanted.get("until"):
            until = datetime.fromisoformat(wanted["until"])
        await candidates.decide(tx, context.new_id(), _as_id(named), decision, context.now, until)
        return {"task_id": named}


async def _begin(tx: Transaction, context: ToolContext, named: str, locale: str) -> Task:
    """Start the task if it is ready now, whatever was true when it was offered. Raises StoreError with the reason."""
    if named.startswith("skill:"):
        return await _begin_review(tx, context, named.removeprefix("skill:"), locale)
    task = await tasks.get(tx, _as_id(named))
    if task.user_id != tx.principal.user_id:
        raise NotFound("There is no task of that id here for you.")
    if task.status is TaskStatus.IN_PROGRESS:
        return task
    if task.status is not TaskStatus.PENDING:
        raise IllegalTransition(f"This task is {task.status.value}, so it cannot begin now.")
    # the store re-reads what it waits for, under a lock, and refuses by name
    return await tasks.update(tx, task.id, {"status": TaskStatus.IN_PROGRESS})


async def _begin_review(tx: Transaction, context: ToolContext, skill: str, locale: str) -> Task:
    home = (await candidates.load(tx)).goals_by_skill.get(skill)
    if home is None:
        raise NotFound(sentence(locale, "no_home"))
    new = NewTask(
        id=context.new_id(),
        goal_id=home,
        title=sentence(locale, "review_title", skill=skill)[:200],
        type=TaskType.REVIEW,
        estimated_minutes=REVIEW_MINUTES,
        skills=[skill],
        acceptance_criteria=[sentence(locale, "review_done", skill=skill)],
    )
    made = await tasks.create(tx, new)
    return await tasks.update(tx, made.id, {"status": TaskStatus.IN_PROGRESS})


def _as_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no task of that id here for you.") from None


def _told(done: JsonObject, wanted: dict[str, Any], locale: str) -> dict[str, Any]:
    match Decided(wanted["decision"]):
        case Decided.ACCEPTED:
            key = "reviewing" if str(wanted["id"]).startswith("skill:") else "started"
            started = {name: done[name] for name in ("task_id", "title", "status")}
            message = sentence(locale, key, title=done["title"])
            return {"status": "started", "started": started, "message": message, "decision": "accepted"}
        case Decided.REJECTED:
            key, status = ("declined", "declined") if wanted.get("asked") else ("rejected", "noted")
            return {"status": status, "message": sentence(locale, key), "decision": "rejected"}
        case Decided.SNOOZED:
            until = str(wanted.get("until") or "")[:10]
            return {"status": "noted", "message": sentence(locale, "snoozed", until=until), "decision": "snoozed"}


async def report(state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Tell the learner how it ended, word by word; the result stays for programs."""
    result = state.get("result") or Result(status="invalid_input", message="")
    locale = learner(runtime).locale
    text = answer(result, locale)
    return {"messages": [await say(text)], "result": updated(result, message=text)}
