"""Every verb for goals, tasks, courses and history: what it does, what it refuses, and whom it shows nothing."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolRuntime

from agents.embedders_hash import HashEmbedder
from store import courses, goals, tasks
from store.courses import NewCourse
from store.database import Database
from store.errors import StoreError
from store.goals import NewGoal
from store.principal import Principal
from store.tasks import NewTask
from store.types import Visibility
from tools import courses as course_tools
from tools import goals as goal_tools
from tools import history as history_tools
from tools import tasks as task_tools
from tools.context import LearnerContext, ToolContext
from tools.replies import clip, json_ready

Say = Callable[..., Any]


@pytest.fixture
def say(database: Database, learner: Principal) -> Say:
    """Call a tool as its graph would, for Ada or for whoever is named."""

    async def call(tool: BaseTool, who: Principal = learner, **args: Any) -> Any:
        context = ToolContext(
            learner=LearnerContext(who.user_id),
            principal=who,
            embedder=HashEmbedder(),
            now=datetime.now(UTC),
            transaction=lambda: database.transaction(who),
            new_id=uuid4,
        )
        runtime: Any = ToolRuntime(
            state=None, context=context, config={}, stream_writer=lambda _: None, tool_call_id="c", store=None
        )
        request = {"type": "tool_call", "name": tool.name, "args": {**args, "runtime": runtime}, "id": "c"}
        return json.loads((await tool.ainvoke(request)).text)

    return call


async def goal_with_tasks(database: Database, who: Principal, *titles: str) -> tuple[UUID, list[UUID]]:
    async with database.transaction(who) as tx:
        goal = await goals.create(tx, NewGoal(title="Learn Rust", description="long " * 200))
        made = [
            (await tasks.create(tx, NewTask(goal_id=goal.id, title=title, acceptance_criteria=["x"]))).id
            for title in titles
        ]
    return goal.id, made


async def test_goals_are_made_found_changed_and_deleted(say: Say) -> None:
    made = (await say(goal_tools.create_goal, title="Learn Rust", due="2027-01-31"))["created"]
    assert made["due_at"] == "2027-01-31T23:59:59Z"
    assert [g["id"] for g in (await say(goal_tools.list_goals, words="RUST learn"))["goals"]] == [made["id"]]
    assert (await say(goal_tools.list_goals, words="cooking")) == {"goals": [], "total": 0}
    moved = await say(goal_tools.set_goal_progress, goal_id=made["id"], percentage=40)
    assert (moved["updated"]["status"], moved["updated"]["progress"]) == ("in_progress", 40.0)
    paused = await say(goal_tools.update_goal, goal_id=made["id"], status="paused", priority="high")
    assert (paused["updated"]["status"], paused["updated"]["priority"]) == ("paused", "high")
    assert (await say(goal_tools.delete_goal, goal_id=made["id"]))["deleted"]["title"] == "Learn Rust"
    assert (await say(goal_tools.list_goals))["total"] == 0


@pytest.mark.parametrize("twin", ["learn rust", "LEARN, RUST!", "Learn  Rüst"])
async def test_a_second_open_goal_of_the_same_name_is_refused_with_the_way_on(say: Say, twin: str) -> None:
    await say(goal_tools.create_goal, title="Learn Rust")
    with pytest.raises(StoreError, match=r"open goal of this title.*Extend that one"):
        await say(goal_tools.create_goal, title=twin)


async def test_reading_a_goal_counts_its_tasks_and_cuts_long_text(
    database: Database, learner: Principal, say: Say
) -> None:
    goal_id, _ = await goal_with_tasks(database, learner, "A", "B")
    read = await say(goal_tools.get_goal, goal_id=str(goal_id))
    assert read["tasks"] == {"pending": 2}
    assert read["goal"]["description"].endswith("more characters]")


async def test_tasks_are_made_ordered_and_completed(database: Database, learner: Principal, say: Say) -> None:
    goal_id, (a, b) = await goal_with_tasks(database, learner, "A", "B")
    made = await say(
        task_tools.create_task, goal_id=str(goal_id), title="C", done_when=["it runs"], depends_on=[str(b)]
    )
    linked = await say(task_tools.add_dependency, task_id=str(b), depends_on=str(a))
    assert linked["updated"]["depends_on"] == [str(a)]
    assert "unchanged" in await say(task_tools.add_dependency, task_id=str(b), depends_on=str(a))
    with pytest.raises(StoreError, match="circle"):
        await say(task_tools.add_dependency, task_id=str(a), depends_on=made["created"]["id"])
    with pytest.raises(StoreError, match="waits for"):
        await say(task_tools.complete_task, task_id=str(b))
    done = await say(task_tools.complete_task, task_id=str(a), actual_minutes=25)
    assert (done["updated"]["status"], done["freed"]) == ("completed", ["B"])
    loose = await say(task_tools.remove_dependency, task_id=made["created"]["id"], depends_on=str(b))
    assert "depends_on" not in loose["updated"]
    listed = await say(task_tools.list_tasks, goal_id=str(goal_id), status="pending")
    assert [t["title"] for t in listed["tasks"]] == ["B", "C"]
    assert (await say(task_tools.get_task, task_id=made["created"]["id"]))["task"]["done_when"] == ["it runs"]
    assert (await say(task_tools.delete_task, task_id=str(b)))["deleted"]["title"] == "B"


async def test_a_task_needs_something_one_can_see(database: Database, learner: Principal, say: Say) -> None:
    goal_id, _ = await goal_with_tasks(database, learner)
    with pytest.raises(StoreError, match="done_when"):
        await say(task_tools.create_task, goal_id=str(goal_id), title="C", done_when=["  "])


async def test_nothing_to_change_is_said(database: Database, learner: Principal, say: Say) -> None:
    _, (task_id,) = await goal_with_tasks(database, learner, "A")
    with pytest.raises(StoreError, match="Nothing to change"):
        await say(task_tools.update_task, task_id=str(task_id))


async def test_others_see_and_change_nothing(
    database: Database, learner: Principal, other_learner: Principal, say: Say
) -> None:
    goal_id, (task_id,) = await goal_with_tasks(database, learner, "A")
    goal, task = {"goal_id": str(goal_id)}, {"task_id": str(task_id)}
    attempts: list[tuple[BaseTool, dict[str, Any]]] = [
        (goal_tools.get_goal, goal),
        (goal_tools.update_goal, {**goal, "title": "x"}),
        (goal_tools.set_goal_progress, {**goal, "percentage": 1}),
        (goal_tools.delete_goal, goal),
        (task_tools.get_task, task),
        (task_tools.update_task, {**task, "title": "x"}),
        (task_tools.complete_task, task),
        (task_tools.create_task, {**goal, "title": "x", "done_when": ["y"]}),
        (task_tools.add_dependency, {**task, "depends_on": str(uuid4())}),
        (task_tools.delete_task, task),
        (history_tools.entity_history, {"entity": "goal", "entity_id": str(goal_id)}),
        (history_tools.replay_entity, {"entity": "goal", "entity_id": str(goal_id), "at": "2099-01-01T00:00:00Z"}),
    ]
    for tool, args in attempts:
        with pytest.raises(StoreError):
            await say(tool, other_learner, **args)
    assert (await say(goal_tools.list_goals, other_learner))["total"] == 0
    assert (await say(task_tools.list_tasks, other_learner))["total"] == 0
    assert (await say(task_tools.list_tasks))["total"] == 1


async def test_shared_goals_of_others_are_not_taken_for_the_learners_own(
    database: Database, learner: Principal, instructor: Principal, say: Say
) -> None:
    async with database.transaction(instructor) as tx:
        shared = await goals.create(tx, NewGoal(title="Shared", visibility=Visibility.GLOBAL))
    with pytest.raises(StoreError, match="belongs to somebody else"):
        await say(goal_tools.get_goal, goal_id=str(shared.id))


DOCS = "# Rust\nIntro.\n## Ownership\nWho owns.\n```\n# not a heading\n```\n### Moves ###\nText.\n"


async def test_courses_show_their_outline_and_can_be_joined(
    database: Database, learner: Principal, instructor: Principal, say: Say
) -> None:
    async with database.transaction(instructor) as tx:
        await courses.create(tx, NewCourse(id="rust", title="Rust", documentation=DOCS))
        await courses.create(tx, NewCourse(id="draft", title="Draft"))
        await courses.publish(tx, "rust")
    assert [c["id"] for c in (await say(course_tools.list_courses))["courses"]] == ["rust"]
    outline = (await say(course_tools.get_course, course_id="rust"))["outline"]
    assert [(s["level"], s["heading"]) for s in outline] == [(1, "Rust"), (2, "Ownership"), (3, "Moves")]
    assert "not a heading" in outline[1]["text"]
    assert (await say(course_tools.enroll_in_course, course_id="rust"))["enrolled"] == {
        "as": "learner",
        "course_id": "rust",
    }
    with pytest.raises(StoreError):
        await say(course_tools.get_course, course_id="draft")


async def test_history_and_the_past_are_read(database: Database, learner: Principal, say: Say) -> None:
    goal_id, _ = await goal_with_tasks(database, learner)
    before = datetime.now(UTC).isoformat()
    await say(goal_tools.update_goal, goal_id=str(goal_id), title="Learn Zig")
    await say(goal_tools.delete_goal, goal_id=str(goal_id))
    told = await say(history_tools.entity_history, entity="goal", entity_id=str(goal_id))
    assert [e["type"] for e in told["events"]] == ["goal.created", "goal.updated", "goal.deleted"]
    assert told["events"][1]["changes"] == {"title": "Learn Zig"}
    past = await say(history_tools.replay_entity, entity="goal", entity_id=str(goal_id), at=before)
    assert (past["existed"], past["deleted"], past["state"]["title"]) == (True, False, "Learn Rust")
    with pytest.raises(StoreError, match="no zone"):
        await say(history_tools.replay_entity, entity="goal", entity_id=str(goal_id), at="2026-01-01T00:00:00")


def test_replies_are_plain_json_without_empty_fields() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert json_ready({"at": at, "none": None, "empty": [], "zero": 0, "no": False}) == {
        "at": "2026-01-02T03:04:05Z", "zero": 0, "no": False,
    }  # fmt: skip
    assert clip("x" * 500).endswith("… [100 more characters]")
    with pytest.raises(TypeError, match="no place"):
        json_ready(object())
