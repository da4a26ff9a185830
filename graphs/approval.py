"""Asking the learner, in the shape LangChain's human-in-the-loop clients draw: action requests out, decisions back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, cast

from langgraph.types import interrupt
from typing_extensions import TypedDict


class ActionRequest(TypedDict):
    """One thing that will happen if it is approved."""

    name: str
    args: dict[str, Any]
    description: str


class ReviewConfig(TypedDict):
    """Which answers a client may offer for an action."""

    action_name: str
    allowed_decisions: list[str]


class HITLRequest(TypedDict):
    """The value of the interrupt."""

    action_requests: list[ActionRequest]
    review_configs: list[ReviewConfig]
    error: NotRequired[str]
    """Why the previous answer could not be used, when the question is asked again."""


DecisionKind = Literal["approve", "edit", "reject", "respond"]

_OLDER_NAMES: dict[str, DecisionKind] = {"accept": "approve", "ignore": "reject", "response": "respond"}
"""Clients of the earlier inbox schema say these."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the learner decided about one action."""

    kind: DecisionKind
    message: str = ""
    args: dict[str, Any] | None = None
    """The edited arguments; only with `edit`."""


def ask(
    actions: Sequence[ActionRequest],
    allowed: Sequence[DecisionKind],
    check: Callable[[Sequence[Decision]], object] = bool,
) -> list[Decision]:
    """Pause the run until every action has a decision, and return one per action, in order.

    An answer that cannot be read, or that makes `check` raise ValueError, pauses again with the reason in `error`; it
    never counts as consent.
    The node that calls this is executed again from its start on resume: it must have no effect before this line.
    """
    request = HITLRequest(
        action_requests=list(actions),
        review_configs=[ReviewConfig(action_name=name, allowed_decisions=list(allowed)) for name in _names(actions)],
    )
    while True:
        answer = interrupt(request)
        try:
            decisions = _read(answer, len(actions), allowed)
            check(decisions)
            return decisions
        except ValueError as error:
            request = HITLRequest(
                action_requests=request["action_requests"],
                review_configs=request["review_configs"],
                error=str(error),
            )


def _names(actions: Sequence[ActionRequest]) -> list[str]:
    return list(dict.fromkeys(action["name"] for action in actions))


def _read(answer: object, expected: int, allowed: Sequence[DecisionKind]) -> list[Decision]:
    given = answer
    if isinstance(answer, Mapping):
        fields = cast("Mapping[str, object]", answer)
        given = [fields] if "type" in fields else fields.get("decisions")
    if not isinstance(given, list):
        raise ValueError('Answer with {"decisions": [{"type": "approve"}]}.')
    decisions = [_decision(item, allowed) for item in cast("list[object]", given)]
    if len(decisions) != expected:
        raise ValueError(f"{expected} decisions are needed, {len(decisions)} came.")
    return decisions


def _decision(item: object, allowed: Sequence[DecisionKind]) -> Decision:
    if not isinstance(item, Mapping):
        raise ValueError(f"A decision is an object with a type: one of {', '.join(allowed)}.")
    fields = cast("Mapping[str, Any]", item)
    named = str(fields.get("type", ""))
    kind = cast(DecisionKind, _OLDER_NAMES.get(named, named))
    if kind not in allowed:
        raise ValueError(f"A decision's type is one of {', '.join(allowed)}.")
    if kind == "edit":
        return Decision(kind, args=_edited(fields))
    message = fields.get("message") or fields.get("args") or ""
    return Decision(kind, message=message if isinstance(message, str) else "")


def _edited(fields: Mapping[str, Any]) -> dict[str, Any]:
    action = fields.get("edited_action") or fields.get("args")
    args = cast("Mapping[str, Any]", action).get("args") if isinstance(action, Mapping) else None
    if not isinstance(args, dict):
        raise ValueError('An edit carries {"edited_action": {"name": …, "args": {…}}}.')
    return cast("dict[str, Any]", args)
