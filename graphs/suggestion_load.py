"""The start of a suggestion: the request is read from fields or words, and nothing is written."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.runtime import Runtime
from pydantic import ValidationError

from graphs.context import LearnerContext, learner
from graphs.deps import Deps
from graphs.messages import Spent
from graphs.suggestion_state import Request, Result, State, Suggestion

_INPUTS = ("available_minutes", "goal_id", "mood", "limit", "offer_start", "accept", "reject", "snooze", "until")
_NUMBER = r"(\d{1,4}|an?|half an|un|una|media)"
_TIME = re.compile(rf"(?i)\b{_NUMBER}\s*(minutes?|mins?|minutos?|hours?|h|horas?)\b")
_WORDS = {"a": 1.0, "an": 1.0, "un": 1.0, "una": 1.0, "half an": 0.5, "media": 0.5}
_MOODS = {
    "challenge": re.compile(r"(?i)\b(challeng\w*|hard(er)?|difficult|ret[oa]\w*|dif[ií]cil|desaf[ií]\w*)\b"),
    "review": re.compile(r"(?i)\b(review\w*|refresh\w*|repas\w*|revis\w*|practi[cs]e again)\b"),
    "unblock": re.compile(r"(?i)\b(unblock\w*|block(ed|ing)|desbloque\w*|bloque\w*)\b"),
}
_START = re.compile(
    r"(?i)^\W*(start|begin|accept|ok(ay)?|yes|let'?s go|empez\w*|empiez\w*|acept\w*|s[ií]|vale|de acuerdo)\b"
)
_NO = re.compile(r"(?i)^\W*(no\b|not\b|reject\w*|another|something else|skip|rechaz\w*|otr[ao]\b|esa? no)")
_LATER = re.compile(r"(?i)\b(later|tomorrow|snooze|ma[nñ]ana|m[aá]s tarde|luego)\b")
_WHICH = (
    re.compile(r"(?i)\b(1|first|one|primer\w*)\b"),
    re.compile(r"(?i)\b(2|second|two|segund\w*)\b"),
    re.compile(r"(?i)\b(3|third|three|tercer\w*)\b"),
)


def load(deps: Deps, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Return the state at the start of a run. A bad input ends it at once, with the reason."""
    who = learner(runtime)
    fresh: dict[str, Any] = {
        **dict.fromkeys(_INPUTS),
        "chosen": None,
        "explained_by": "",
        "choice": "",
        "result": None,
        "attempt_id": f"suggestion-{uuid4()}",
        "spent": Spent(fresh=True),
    }
    given: dict[str, Any] = {name: state.get(name) for name in _INPUTS}
    fields = {name: value for name, value in given.items() if value is not None}
    if not fields:
        fields = dict(spoken(state.get("messages", []), state.get("offered") or [], who.now or deps.clock()))
    try:
        request = Request.model_validate({**fields, "locale": who.locale})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in error.errors()[:5])
        return {**fresh, "request": {}, "result": Result(status="invalid_input", message=wrong)}
    return {**fresh, "request": request.model_dump(mode="json")}


def spoken(messages: Sequence[BaseMessage], offered: Sequence[Suggestion], now: datetime) -> Mapping[str, Any]:
    """Read wishes, or a decision about what was offered before, from the last human message."""
    last = next((message for message in reversed(messages) if isinstance(message, HumanMessage)), None)
    if last is None:
        return {}
    text = last.text
    if offered:
        which = next((place for place, pattern in enumerate(_WHICH) if pattern.search(text)), 0)
        chosen = offered[min(which, len(offered) - 1)]
        if _LATER.search(text) and chosen["task_id"]:
            return {"snooze": chosen["task_id"], "until": (now + timedelta(days=1)).isoformat()}
        if _NO.match(text) and chosen["task_id"]:
            return {"reject": chosen["task_id"]}
        if _START.match(text):
            return {"accept": chosen["task_id"] or f"skill:{chosen['skill']}"}
    found: dict[str, Any] = {}
    time = _TIME.search(text)
    if time is not None:
        amount = _WORDS.get(time.group(1).lower()) or float(time.group(1))
        minutes = amount * 60 if time.group(2).lower().startswith("h") else amount
        found["available_minutes"] = min(1440, max(1, round(minutes)))
    mood = next((name for name, pattern in _MOODS.items() if pattern.search(text)), None)
    if mood is not None:
        found["mood"] = mood
    return found
