"""The four retrieval tools: what comes back, what never does, and errors a model can act upon."""

import json
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolRuntime
from pydantic import ValidationError

from agents.embedders_hash import HashEmbedder
from store import courses, goals, snapshots, tasks
from store.courses import Course, NewCourse
from store.database import Database
from store.errors import Forbidden
from store.goals import NewGoal
from store.principal import Principal
from store.snapshots import NewSnapshot, Validation
from store.tasks import NewTask
from store.types import Role, ValidationStatus
from tests.store.searching import index_everything
from tools.context import Effect, LearnerContext, ToolContext, effect_of
from tools.rag import (
    NOTICE,
    get_course_documentation,
    get_similar_code,
    get_similar_goals,
    rag_tools,
    search_knowledge_base,
)
from tools.replies import ToolProblem

ADA, BOB, INES = Principal("ada", Role.LEARNER), Principal("bob", Role.LEARNER), Principal("ines", Role.INSTRUCTOR)


def context_of(database: Database, who: Principal, course_id: str | None = None) -> ToolContext:
    return ToolContext(
        learner=LearnerContext(who.user_id, who.role, course_id=course_id),
        principal=who,
        embedder=HashEmbedder(),
        now=datetime.now(UTC),
        transaction=lambda: database.transaction(who),
        new_id=uuid4,
    )


async def call(tool: BaseTool, context: ToolContext, **args: Any) -> dict[str, Any]:
    runtime = ToolRuntime[ToolContext, Any](
        state=None, context=context, config={}, stream_writer=lambda _: None, tool_call_id="c", store=None
    )
    request = {"type": "tool_call", "name": tool.name, "args": {**args, "runtime": runtime}, "id": "c"}
    return json.loads(cast(ToolMessage, await tool.ainvoke(request)).text)


@pytest.fixture
async def world(database: Database) -> Course:
    """A course of Ines's with documentation; Ada and Bob are in it, and Bob shares a goal and code that passed.

    So do two more, since what fewer than three share is not shown.
    """
    async with database.transaction(INES) as tx:
        documentation = "# Routing\n\nPaths map to handlers.\n\n# Testing\n\nUse table driven tests.\n"
        course = await courses.create(tx, NewCourse(id="apis", title="Web APIs", documentation=documentation))
        course = await courses.publish(tx, course.id)
    others = [Principal(name, Role.LEARNER) for name in ("cleo", "dan")]
    for member in (ADA, BOB, *others):
        async with database.transaction(member) as tx:
            await courses.enroll(tx, course.id)
    for member in others:
        async with database.transaction(member) as tx:
            goal = await goals.create(tx, NewGoal(title="Grow tomatoes", course_id=course.id))
            await tasks.create(tx, NewTask(goal_id=goal.id, title="Sow them"))
    async with database.transaction(ADA) as tx:
        await goals.create(tx, NewGoal(title="Build a REST API", description="with FastAPI"))
    async with database.transaction(BOB) as tx:
        goal = await goals.create(tx, NewGoal(title="Ship a REST API", description="x" * 900, course_id=course.id))
        task = await tasks.create(tx, NewTask(goal_id=goal.id, title="Write the router"))
        code = await snapshots.create(
            tx,
            NewSnapshot(
                task_id=task.id, file_path="router.py", content="def route(path):\n    return HANDLERS[path]\n"
            ),
        )
        await snapshots.record_validation(tx, code.id, Validation(status=ValidationStatus.PASSED, score=1.0))
        await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="draft.py", content="def route(path): ..."))
    await index_everything(database, HashEmbedder())
    return course


async def test_similar_goals_are_the_learners_own_unless_asked_otherwise(database: Database, world: Course) -> None:
    answer = await call(get_similar_goals, context_of(database, ADA), query="REST API")
    (hit,) = answer["hits"]
    assert (hit["title"], hit["text"], hit["mine"], hit["scope"]) == ("Build a REST API", "with FastAPI", True, "user")
    assert hit["cite"] == f"goal:{hit['entity_id']}#0"
    assert "notice" not in answer
    assert answer["embedding"] == {"model": "hash-v1", "degraded": True}
    assert answer["fewer_than_asked"] is True


async def test_goals_of_others_come_short_marked_as_data_and_without_a_name(database: Database, world: Course) -> None:
    answer = await call(get_similar_goals, context_of(database, ADA, world.id), query="REST API", scope="course")
    hit = answer["hits"][0]
    assert (hit["title"], hit["mine"], answer["notice"]) == ("Ship a REST API", False, NOTICE)
    assert len(hit["text"]) <= 400
    assert "bob" not in json.dumps(answer)


async def test_similar_code_of_others_has_passed_and_is_cited_by_its_lines(database: Database, world: Course) -> None:
    answer = await call(
        get_similar_code, context_of(database, ADA), code="def route", scope="course", only_validated=False
    )
    (hit,) = answer["hits"]
    assert (hit["title"], hit["lines"], hit["validated"], hit["language"]) == ("router.py", "1-2", True, "python")
    own = await call(get_similar_code, context_of(database, BOB), code="def route", only_validated=False)
    assert {hit["title"] for hit in own["hits"]} == {"router.py", "draft.py"}
    passed = await call(get_similar_code, context_of(database, BOB), code="def route")
    assert {hit["title"] for hit in passed["hits"]} == {"router.py"}


async def test_documentation_is_cited_by_heading_and_lines(database: Database, world: Course) -> None:
    for course_id in (world.id, None):
        answer = await call(
            get_course_documentation, context_of(database, ADA), query="table driven tests", course_id=course_id
        )
        best = answer["hits"][0]
        assert (best["heading"], best["lines"], best["entity_id"]) == ("Web APIs > Testing", "7-7", "apis")


async def test_documentation_of_a_published_course_is_open_to_those_outside(database: Database, world: Course) -> None:
    stranger = Principal("stranger", Role.LEARNER)
    answer = await call(get_course_documentation, context_of(database, stranger), query="routing", course_id=world.id)
    assert answer["hits"][0]["heading"] == "Web APIs > Routing"
    with pytest.raises(ToolProblem, match="no documentation") as caught:
        await call(get_course_documentation, context_of(database, stranger), query="routing", course_id="nowhere")
    assert "Leave course_id out" in str(caught.value)


async def test_the_knowledge_base_mixes_kinds_and_keeps_those_asked_for(database: Database, world: Course) -> None:
    everything = await call(
        search_knowledge_base, context_of(database, ADA), query="REST API routing", scope="course", k=10
    )
    assert {hit["entity_type"] for hit in everything["hits"]} == {"goal", "task", "code_snapshot", "course"}
    some = await call(
        search_knowledge_base, context_of(database, ADA), query="route", scope="course", entity_types=["task"]
    )
    assert {hit["entity_type"] for hit in some["hits"]} == {"task"}


@pytest.mark.parametrize("tool", rag_tools(), ids=lambda tool: tool.name)
async def test_no_vector_and_no_identity_ever_come_back(database: Database, world: Course, tool: BaseTool) -> None:
    text = {"code": "def route REST API"} if tool is get_similar_code else {"query": "def route REST API"}
    for who in (ADA, BOB, INES):
        context = context_of(database, who, world.id)
        scoped = {} if tool is get_course_documentation else {"scope": "course"}
        for hit in (await call(tool, context, **text, **scoped))["hits"]:
            assert set(hit) <= {
                "cite", "entity_type", "entity_id", "title", "heading", "lines", "text", "language", "validated",
                "score", "scope", "mine",
            }  # fmt: skip
            assert not {"ada", "bob", "ines"} & set(json.dumps(hit).replace('"', " ").split())


@pytest.mark.parametrize("tool", rag_tools(), ids=lambda tool: tool.name)
async def test_an_identity_forged_in_the_arguments_changes_nothing(
    database: Database, world: Course, tool: BaseTool
) -> None:
    assert effect_of(tool) is Effect.FOREIGN_READ
    assert not {"user_id", "runtime", "principal"} & set(cast(Any, tool.tool_call_schema).model_fields)
    text = {"code": "REST API"} if tool is get_similar_code else {"query": "REST API"}
    plain = await call(tool, context_of(database, ADA), **text)
    forged = await call(tool, context_of(database, ADA), **text, user_id="bob", principal={"user_id": "bob"})
    assert forged == plain


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"query": " "}, "empty"),
        ({"query": "x" * 1_000_000}, "characters"),
        ({"query": "x", "k": 0}, "between 1 and 50"),
    ],
)
async def test_bad_arguments_tell_the_model_what_to_correct(
    database: Database, world: Course, args: dict[str, Any], says: str
) -> None:
    with pytest.raises(ToolProblem, match=says) as caught:
        await call(get_similar_goals, context_of(database, ADA), **args)
    assert str(caught.value)


async def test_an_unknown_language_names_the_known_ones(database: Database, world: Course) -> None:
    with pytest.raises(ToolProblem, match="klingon") as caught:
        await call(get_similar_code, context_of(database, ADA), code="x", language="klingon")
    assert "python" in str(caught.value)


async def test_an_unknown_scope_is_refused_by_the_schema(database: Database, world: Course) -> None:
    with pytest.raises(ValidationError, match="scope"):
        await call(get_similar_goals, context_of(database, ADA), query="x", scope="everyone")


async def test_a_course_of_others_says_which_scopes_are_left(database: Database, world: Course) -> None:
    with pytest.raises(Forbidden, match="scope user"):
        await call(
            search_knowledge_base, context_of(database, Principal("eve", Role.LEARNER)),
            query="x", scope="course", course_id=world.id,
        )  # fmt: skip
