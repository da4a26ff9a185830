"""Every search leaves a line that says who asked what scope when, and nothing of what was asked or found."""

import logging

import pytest

from agents.embedders_hash import HashEmbedder
from store.courses import Course
from store.database import Database
from store.errors import Forbidden
from store.principal import Principal
from store.search import Scope, SearchRequest, retrieve
from store.search_audit import LOGGER, Searched
from store.types import EntityType
from tests.store.conftest import GoalFactory
from tests.store.searching import index_everything


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The audit's log, listened to."""
    caplog.set_level(logging.INFO, logger=LOGGER)
    return caplog


def lines(told: pytest.LogCaptureFixture) -> list[Searched]:
    return [vars(record)["search"] for record in told.records if record.name == LOGGER]


async def test_a_search_is_told_with_its_caller_scope_and_hits(
    database: Database, learner: Principal, make_goal: GoalFactory, told: pytest.LogCaptureFixture
) -> None:
    goal = await make_goal(title="Learn secret sailing", description="with Ariadne")
    await index_everything(database, HashEmbedder())
    for _ in range(2):
        await retrieve(lambda: database.transaction(learner), HashEmbedder(), SearchRequest("secret sailing"))
    first, second = lines(told)
    assert (first["user_id"], first["scope"], first["outcome"]) == (learner.user_id, "user", "found")
    assert first["hits"] == [f"goal:{goal.id}#0"]
    assert first["question"] == second["question"], "who knows a question can look for it"
    assert first["seconds"] > 0


async def test_neither_the_question_nor_what_was_found_is_told(
    database: Database, learner: Principal, make_goal: GoalFactory, told: pytest.LogCaptureFixture
) -> None:
    await make_goal(title="Learn secret sailing", description="with Ariadne")
    await index_everything(database, HashEmbedder())
    await retrieve(lambda: database.transaction(learner), HashEmbedder(), SearchRequest("secret sailing"))
    written = str([vars(record) for record in told.records if record.name == LOGGER]).lower()
    assert not [word for word in ("secret", "sailing", "ariadne") if word in written]


async def test_a_refused_search_is_told_too(
    database: Database, admin: Principal, course: Course, told: pytest.LogCaptureFixture
) -> None:
    request = SearchRequest("anything", Scope.COURSE, (EntityType.GOAL,), course_id=course.id)
    with pytest.raises(Forbidden):
        await retrieve(lambda: database.transaction(admin), HashEmbedder(), request)
    (line,) = lines(told)
    assert (line["user_id"], line["course_id"], line["outcome"], line["hits"]) == (
        admin.user_id, course.id, "refused", [],
    )  # fmt: skip
