"""Who a run acts for: read from the run, never from a message, and never guessed."""

from collections.abc import Iterable
from typing import cast

from langgraph.runtime import BaseUser, Runtime

from store.principal import Principal
from store.types import Role
from tools.context import IdentityMissing, LearnerContext

__all__ = ["IdentityMissing", "LearnerContext", "learner", "principal"]

_RUN_ROLES = (Role.LEARNER, Role.INSTRUCTOR, Role.ADMIN)


def learner(runtime: Runtime[LearnerContext]) -> LearnerContext:
    """Return the run's context with a trusted identity.

    The service writes the context itself, from the caller's token. On LangGraph Server the client writes it, so there
    identity comes from the authenticated user alone, and the context adds only preferences (locale, course, hints).
    Raises IdentityMissing instead of falling back to anybody.
    """
    context = cast("LearnerContext | None", runtime.context)
    if runtime.server_info is None:
        if not isinstance(context, LearnerContext) or not context.user_id:
            raise IdentityMissing
        return context
    user = runtime.server_info.user
    if user is None or not user.identity:
        raise IdentityMissing
    wishes = context if isinstance(context, LearnerContext) else LearnerContext(user_id=user.identity)
    return LearnerContext(
        user_id=user.identity,
        role=str(_claim(user, "role") or Role.LEARNER.value),
        courses=_texts(_claim(user, "courses")),
        course_id=wishes.course_id,
        locale=wishes.locale,
        hint_policy=wishes.hint_policy,
    )


def principal(runtime: Runtime[LearnerContext]) -> Principal:
    """Return the identity this run's transactions use. Raises IdentityMissing."""
    who = learner(runtime)
    if who.role not in _RUN_ROLES:
        raise IdentityMissing(f"A run cannot act as {who.role!r}; sign in as a person.")
    return Principal(who.user_id, Role(who.role), tuple(who.courses))


def _claim(user: BaseUser, name: str) -> object:
    try:
        return user[name]
    except (KeyError, TypeError, AttributeError):
        return None


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return ()
    return tuple(str(item) for item in cast("Iterable[object]", value))
