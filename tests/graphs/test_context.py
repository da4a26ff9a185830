"""Who a run acts for: the service's context, LangGraph Server's authenticated user, and nobody else ever."""

from typing import Any, cast

import pytest
from langgraph.runtime import Runtime, ServerInfo

from graphs.context import IdentityMissing, LearnerContext, learner, principal
from store.principal import Principal
from store.types import Role

ADA = LearnerContext(user_id="ada", role="instructor", courses=("c1",), course_id="c1", locale="es")


class User(dict[str, Any]):
    """A user as LangGraph Server's auth returns it."""

    @property
    def identity(self) -> str:
        return str(self.get("identity", ""))


def run_of(context: object = None, user: User | None = None, *, server: bool = False) -> Runtime[LearnerContext]:
    """A runtime as a node receives it."""
    info = ServerInfo(assistant_id="a", graph_id="g", user=cast(Any, user)) if server else None
    return Runtime(context=cast(LearnerContext, context), server_info=info)


def test_the_service_writes_the_context_itself() -> None:
    assert principal(run_of(ADA)) == Principal("ada", Role.INSTRUCTOR, ("c1",))


@pytest.mark.parametrize("context", [None, {}, {"user_id": "ada"}, LearnerContext(user_id=""), "ada"])
def test_a_run_without_a_context_is_refused(context: object) -> None:
    with pytest.raises(IdentityMissing):
        principal(run_of(context))


@pytest.mark.parametrize("role", ["service", "root", ""])
def test_a_run_cannot_act_in_a_role_of_the_machinery(role: str) -> None:
    with pytest.raises(IdentityMissing):
        principal(run_of(LearnerContext(user_id="ada", role=role)))


def test_on_langgraph_server_only_the_authenticated_user_counts() -> None:
    lying = LearnerContext(user_id="bob", role="admin", courses=("secret",), course_id="c2", locale="es")
    seen = run_of(lying, User(identity="ada"), server=True)
    assert principal(seen) == Principal("ada", Role.LEARNER)
    assert (learner(seen).locale, learner(seen).course_id) == ("es", "c2")


def test_on_langgraph_server_role_and_courses_come_from_the_user() -> None:
    user = User(identity="ada", role="instructor", courses=["c1"])
    assert principal(run_of(None, user, server=True)) == Principal("ada", Role.INSTRUCTOR, ("c1",))


@pytest.mark.parametrize("user", [None, User(), User(identity="")])
def test_on_langgraph_server_nobody_signed_in_is_refused_even_with_a_context(user: User | None) -> None:
    with pytest.raises(IdentityMissing):
        principal(run_of(ADA, user, server=True))
