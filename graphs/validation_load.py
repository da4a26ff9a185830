"""The start of a validation: the request is read, the snapshot and its task are found, nothing is written."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.runtime import Runtime
from pydantic import ValidationError

from graphs.context import LearnerContext, learner, principal
from graphs.deps import Deps
from graphs.messages import Spent
from graphs.validation_state import Request, Result, State, Subject
from graphs.validation_texts import sentence
from store import snapshots, tasks
from store.database import Transaction
from store.errors import NotFound
from store.snapshots import CodeSnapshot, SnapshotFilter

_INPUTS = (
    "snapshot_id", "task_id", "code", "language", "hint_level", "finding", "previous_snapshot_id",
    "client_test_results", "offer_completion", "complete_task",
)  # fmt: skip
_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_FENCE = re.compile(r"```([\w+#-]*)[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_HINT = re.compile(r"(?i)\b(hints?|pistas?|help|ayuda|stuck|atascad[ao])\b(?:\s+(?:level|nivel))?\s*([0-4])?")
_COMPLETE = re.compile(
    r"(?i)\b(complete (the|this|my) task|mark .{0,30}(done|complete)|complet(a|ar) (la|esta|mi) tarea)\b"
)


async def load(deps: Deps, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Return the state at the start of a run. A request that cannot be served ends it at once, with the reason."""
    fresh: dict[str, Any] = {
        **dict.fromkeys(_INPUTS),
        "subject": None,
        "static": None,
        "evidence": [],
        "review": None,
        "reviewed_by": "",
        "repairs": 0,
        "complaints": [],
        "checked": {},
        "hint": None,
        "decision": "",
        "result": None,
        "attempt_id": f"validation-{uuid4()}",
        "spent": Spent(fresh=True),
    }
    locale = learner(runtime).locale
    try:
        request = _request(state, locale)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in error.errors()[:5])
        return {**fresh, "request": {}, "result": Result(status="invalid_input", message=wrong)}
    fresh["request"] = request.model_dump(mode="json")
    if request.code is not None:
        return {**fresh, "subject": _loose(request)}
    try:
        async with deps.database.transaction(principal(runtime)) as tx:
            snapshot = await _find(tx, request, state.get("focus") or "")
            if snapshot is None:
                return {**fresh, "result": Result(status="needs_input", message=sentence(locale, "needs_input"))}
            subject = await _subject(tx, snapshot)
    except NotFound as error:
        return {**fresh, "result": Result(status="not_found", message=str(error))}
    return {**fresh, "subject": subject, "focus": subject["snapshot_id"] or ""}


def _request(state: State, locale: str) -> Request:
    fields: dict[str, Any] = {name: state.get(name) for name in _INPUTS}
    given = {name: value for name, value in fields.items() if value is not None}
    if not given.keys() & {"snapshot_id", "task_id", "code"}:
        given |= {name: value for name, value in spoken(state.get("messages", [])).items() if name not in given}
        given["chat"] = True
    return Request.model_validate({**given, "locale": locale})


def spoken(messages: Sequence[BaseMessage]) -> Mapping[str, Any]:
    """Read a request from the last human message: an id, code between fences, a wish for a hint."""
    last = next((message for message in reversed(messages) if isinstance(message, HumanMessage)), None)
    if last is None:
        return {}
    text = last.text
    found: dict[str, Any] = {}
    fence = _FENCE.search(text)
    if fence is not None:
        found["code"] = fence.group(2)
        if fence.group(1):
            found["language"] = fence.group(1)
        text = text.replace(fence.group(0), " ")
    named = _ID.search(text)
    if named is not None and fence is None:
        found["snapshot_id"] = named.group(0)
    wish = _HINT.search(text)
    if wish is not None:
        # without a number the next level is meant; the ladder decides which one that is
        found["hint_level"] = int(wish.group(2) or 4)
    if _COMPLETE.search(text):
        found["complete_task"] = True
    return found


async def _find(tx: Transaction, request: Request, focus: str) -> CodeSnapshot | None:
    if request.snapshot_id is not None:
        try:
            return _own(tx, await snapshots.get(tx, request.snapshot_id))
        except NotFound:
            if not request.chat:
                raise
            # in a chat the id may well be the task's
            return await snapshots.latest(tx, request.snapshot_id)
    if request.task_id is not None:
        return await snapshots.latest(tx, request.task_id)
    if focus:
        try:
            latest = _own(tx, await snapshots.get(tx, UUID(focus)))
            return await snapshots.latest(tx, latest.task_id, latest.file_path)
        except NotFound:
            pass
    page = await snapshots.list(tx, SnapshotFilter(limit=1))
    return page.items[0] if page.items else None


def _own(tx: Transaction, snapshot: CodeSnapshot) -> CodeSnapshot:
    if snapshot.user_id != tx.principal.user_id:
        # shared code can be read by others, but only its author has it validated
        raise NotFound("There is no code snapshot of that id here for you.")
    return snapshot


async def _subject(tx: Transaction, snapshot: CodeSnapshot) -> Subject:
    task = await tasks.get(tx, snapshot.task_id)
    return Subject(
        snapshot_id=str(snapshot.id),
        task_id=str(task.id),
        goal_id=str(task.goal_id),
        course_id=snapshot.course_id,
        file_path=snapshot.file_path,
        language=snapshot.language,
        snapshot_version=snapshot.snapshot_version,
        row_version=snapshot.version,
        first_try=snapshot.snapshot_version == 1,
        title=task.title,
        description=task.description,
        criteria=task.acceptance_criteria[:20],
        skills=task.skills[:20],
        task_status=task.status.value,
    )


def _loose(request: Request) -> Subject:
    return Subject(
        snapshot_id=None,
        task_id=None,
        goal_id=None,
        course_id=None,
        file_path="",
        language=request.language or "text",
        snapshot_version=0,
        row_version=0,
        first_try=True,
        title="",
        description="",
        criteria=[],
        skills=[],
        task_status="",
    )
