"""Goal planning end to end: from an objective to rows, and every way in which it ends without any."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langgraph.types import Command

from agents.models import ModelSettings, open_models
from agents.offline import ToolRequest
from agents.plan import PlanDraft, Understanding
from graphs.deps import Budget, offline_rules
from graphs.planning_texts import weeks
from store import courses, goals, tasks
from store.database import Database, Transaction
from store.errors import Unavailable
from store.goals import NewGoal
from store.principal import Origin, Principal
from store.tasks import NewTask
from store.types import GoalStatus, TaskStatus
from tests.graphs.conftest import DepsFactory, scripted
from tests.graphs.planning import Planning, goals_of, plan, task, tasks_of

OFFLINE = lambda: open_models(ModelSettings(), offline_rules())  # noqa: E731
READY = "READY"


async def course(database: Database, teacher: Principal, text: str, name: str = "rust") -> None:
    async with database.transaction(teacher) as tx:
        await courses.create(tx, courses.NewCourse(id=name, title="Rust", documentation=text))
        await courses.publish(tx, name)


DOCS = "# Rust\n## Ownership\nWho owns a value.\n## Borrowing\nReferences.\n## Traits\nShared behaviour.\n"


@pytest.mark.parametrize(
    ("count", "locale", "words"),
    [(1, "en", "1 week"), (3, "en", "3 weeks"), (1, "es", "1 semana"), (0, "es-MX", "0 semanas")],
)
def test_one_week_is_no_weeks(count: int, locale: str, words: str) -> None:
    assert weeks(count, locale) == words


@pytest.mark.parametrize(("locale", "word"), [("en", "Practise: Borrowing"), ("es", "Practicar: Borrowing")])
async def test_offline_plan_follows_the_course_and_becomes_rows(
    deps: DepsFactory, database: Database, learner: Principal, instructor: Principal, locale: str, word: str
) -> None:
    await course(database, instructor, DOCS)
    run = Planning(deps(OFFLINE()), learner, locale=locale)
    paused = await run.start(objective="Learn Rust in six weeks, 4 hours a week", course_id="rust")
    (request,) = await run.asked()
    assert request["action_requests"][0]["name"] == "commit_plan"
    assert request["review_configs"][0]["allowed_decisions"] == ["approve", "edit", "reject", "respond"]
    assert await goals_of(database, learner) == []
    assert paused["plan"]["schedule"]["minutes_per_week"] == 240
    done = await run.answer("approve")
    result = done["result"]
    (goal,) = await goals_of(database, learner)
    rows = await tasks_of(database, learner, goal)
    assert (result["status"], result["goal_id"]) == ("committed", str(goal.id))
    assert word in [row.title for row in rows]
    assert rows[0].details["sources"][0]["heading"] == "Ownership"
    assert goal.due_at is not None
    assert result["provenance"]["language_model"] is False
    assert result["low_evidence"] is False
    by_id = {row.id: row for row in rows}
    assert all(by_id[other].position < row.position for row in rows for other in row.depends_on)


async def test_offline_plan_without_material_says_so(deps: DepsFactory, database: Database, learner: Principal) -> None:
    run = Planning(deps(OFFLINE()), learner)
    await run.start(objective="Learn to juggle")
    (request,) = await run.asked()
    assert "Nothing fitting was found" in request["action_requests"][0]["description"]
    done = await run.answer("approve")
    assert done["result"]["low_evidence"] is True
    assert len(done["result"]["task_ids"]) == 4


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("Learn Rust in six weeks"),
        HumanMessage([{"type": "text", "text": "Learn Rust "}, {"type": "text", "text": "in six weeks"}]),
        {"type": "human", "content": [{"type": "text", "text": "Learn Rust in six weeks"}]},
        {"role": "user", "content": "Learn Rust in six weeks"},
    ],
)
async def test_chat_clients_may_send_text_or_blocks(
    deps: DepsFactory, database: Database, learner: Principal, message: Any
) -> None:
    run = Planning(deps(OFFLINE()), learner)
    await run.start(messages=[message])
    assert (await run.answer("approve"))["result"]["status"] == "committed"
    assert [goal.title for goal in await goals_of(database, learner)] == ["Learn Rust"]


async def test_words_and_progress_stream_while_it_works(deps: DepsFactory, learner: Principal) -> None:
    run = Planning(deps(OFFLINE()), learner)
    words: list[str] = []
    steps: list[str] = []
    async for mode, chunk in run.app.astream(
        {"objective": "Learn Rust"}, run.config, context=run.context, stream_mode=["messages", "custom"]
    ):
        if mode == "custom":
            steps.append(chunk["step"])
        elif isinstance(chunk[0], AIMessageChunk):
            words.append(chunk[0].text)
    assert len(words) > 40
    assert "".join(words).startswith(
        "I found nothing fitting to plan from, so I draft the plan without material.### Learn Rust"
    )
    assert "{" not in "".join(words)
    assert steps == ["understand", "research", "research", "collect", "draft", "check"]


async def test_model_plan_is_computed_on_by_code(deps: DepsFactory, database: Database, learner: Principal) -> None:
    run = Planning(deps(scripted(READY, plan())), learner, now=datetime(2026, 11, 22, tzinfo=UTC))
    paused = await run.start(objective="Write a compiler", hours_per_week=1, deadline="2026-12-20")
    figures = paused["plan"]["schedule"]
    assert figures["order"] == ["a", "b", "c"]
    assert figures["critical_path"] in (["a", "c"], ["b", "c"])
    assert (figures["total_minutes"], figures["weeks"], figures["feasible"]) == (180, 3, True)
    assert figures["due"] == {"a": "2026-11-29", "b": "2026-12-06", "c": "2026-12-13"}
    await run.answer("approve")
    (goal,) = await goals_of(database, learner)
    assert [row.due_at and row.due_at.date().isoformat() for row in await tasks_of(database, learner, goal)] == [
        "2026-11-29", "2026-12-06", "2026-12-13",
    ]  # fmt: skip


async def test_unsound_plans_are_repaired_by_showing_the_violations(deps: DepsFactory, learner: Principal) -> None:
    circle = plan(task("a", "b"), task("b", "a"), task("c", kind="assess"))
    models = scripted(READY, circle, plan())
    run = Planning(deps(models), learner)
    paused = await run.start(objective="Write a compiler")
    assert paused["plan"]["draft"]["tasks"][0]["depends_on"] == []
    shown: Any = models.chat_models
    facts = next(iter(shown.values())).seen[-1][-1].text
    assert "wait for each other in a circle" in facts


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (plan(task("a", "b"), task("b", "a"), task("c", kind="assess")), "circle"),
        (plan(task("a", "zz"), task("c", kind="assess")), "no task of the plan"),
        (plan(task("a"), task("b")), "assess"),
        (plan(task("a", sources=["E99"]), task("c", kind="assess")), "E99"),
        (plan(*(task(f"t{i}") for i in range(12)), task("c", kind="assess")), "13 tasks"),
        (plan(task("a"), task("a", kind="assess")), "used twice"),
        (plan(task("a", done_when=[]), task("c", kind="assess")), "done_when"),
        (plan(task("a", est_minutes=9999), task("c", kind="assess")), "9999 minutes"),
        (plan(task("a", title=""), task("c", kind="assess")), "title"),
    ],
)
async def test_a_plan_that_stays_unsound_is_refused_with_the_reason(
    deps: DepsFactory, database: Database, learner: Principal, broken: PlanDraft, rule: str
) -> None:
    run = Planning(deps(scripted(READY, broken, broken, broken)), learner)
    done = await run.start(objective="Write a compiler")
    assert done["result"]["status"] == "invalid_plan"
    assert rule in done["result"]["message"]
    assert await goals_of(database, learner) == []


async def test_a_plan_that_does_not_fit_is_offered_with_the_figures(deps: DepsFactory, learner: Principal) -> None:
    run = Planning(deps(scripted(READY, plan(), plan(), plan())), learner, now=datetime(2026, 11, 22, tzinfo=UTC))
    await run.start(objective="Write a compiler", hours_per_week=1, deadline="2026-11-29")
    (request,) = await run.asked()
    assert "3 h of work, 1 h until then" in request["action_requests"][0]["description"]


async def test_an_edited_plan_is_checked_again(deps: DepsFactory, database: Database, learner: Principal) -> None:
    run = Planning(deps(scripted(READY, plan())), learner)
    paused = await run.start(objective="Write a compiler")
    draft = paused["plan"]["draft"]
    broken: list[dict[str, Any]] = [{**draft, "tasks": []}, {**draft, "extra": 1}, {"title": "x"}]
    for spoiled in broken:
        await run.edit(spoiled)
        (request,) = await run.asked()
        assert request["error"]
    assert await goals_of(database, learner) == []
    draft["tasks"][0]["title"] = "Read the dragon book <b>now</b> https://evil.example/x"
    done = await run.edit(draft)
    assert done["result"]["status"] == "committed"
    (goal,) = await goals_of(database, learner)
    assert (await tasks_of(database, learner, goal))[0].title == "Read the dragon book now [link removed]"


@pytest.mark.parametrize(
    "answer", ["yes", 7, [], {"decisions": []}, {"decisions": [{"type": "sudo"}]}, {"decisions": "x"}]
)
async def test_an_unreadable_answer_is_no_consent(
    deps: DepsFactory, database: Database, learner: Principal, answer: Any
) -> None:

    run = Planning(deps(scripted(READY, plan())), learner)
    await run.start(objective="Write a compiler")
    await run.app.ainvoke(Command(resume=answer), run.config, context=run.context)
    (request,) = await run.asked()
    assert request["error"]
    assert await goals_of(database, learner) == []


async def test_rejecting_saves_nothing_and_responding_plans_again(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    models = scripted(READY, plan(), plan(task("x"), task("y", "x", kind="assess")))
    run = Planning(deps(models), learner)
    await run.start(objective="Write a compiler")
    again = await run.answer("respond", message="Only two tasks please")
    assert [t["key"] for t in again["plan"]["draft"]["tasks"]] == ["x", "y"]
    shown: Any = models.chat_models
    assert "Only two tasks please" in next(iter(shown.values())).seen[-1][-1].text
    done = await run.answer("reject", message="no")
    assert done["result"]["status"] == "rejected"
    assert await goals_of(database, learner) == []


async def test_a_near_twin_offers_to_extend_the_goal_that_is_there(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Write a Compiler!"))
    run = Planning(deps(scripted(READY, plan(title="Something else"))), learner)
    await run.start(objective="write a compiler")
    (request,) = await run.asked()
    assert request["action_requests"][0] | {"description": ""} == {
        "name": "extend_goal", "args": {"goal_id": str(goal.id), "title": "Write a Compiler!"}, "description": "",
    }  # fmt: skip
    await run.answer("approve")
    done = await run.answer("approve")
    assert done["result"]["goal_id"] == str(goal.id)
    assert done["result"]["diff"]["added"] == ["Work on part a", "Work on part b", "Work on part c"]
    (only,) = await goals_of(database, learner)
    assert (only.title, len(await tasks_of(database, learner, only))) == ("Write a Compiler!", 3)


async def test_refusing_to_extend_saves_nothing(deps: DepsFactory, database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:
        await goals.create(tx, NewGoal(title="Write a compiler"))
    run = Planning(deps(scripted()), learner)
    await run.start(objective="Write a compiler")
    done = await run.answer("reject")
    assert done["result"]["status"] == "duplicate"
    assert len(await goals_of(database, learner)) == 1


async def revisable(database: Database, who: Principal) -> tuple[UUID, list[UUID]]:
    """A goal with a finished, an open and a further open task."""
    async with database.transaction(who) as tx:
        goal = await goals.create(tx, NewGoal(title="Write a compiler"))
        ids: list[UUID] = []
        for title in ("Lexer", "Parser", "Linker"):
            new = NewTask(goal_id=goal.id, title=title, acceptance_criteria=["It works."], depends_on=ids[-1:])
            ids.append((await tasks.create(tx, new)).id)
        await tasks.update(tx, ids[0], {"status": TaskStatus.COMPLETED})
    return goal.id, ids


async def test_revising_shows_the_difference_and_keeps_finished_work(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    goal_id, ids = await revisable(database, learner)
    proposal = plan(
        task("t2", "t1", "n1", title="Parser for real"), task("n1", title="Grammar"), task("n2", "t2", kind="assess"),
        title="Renamed by the model",
    )  # fmt: skip
    run = Planning(deps(scripted(READY, proposal)), learner)
    await run.start(objective="Write a compiler", mode="revise", goal_id=str(goal_id))
    (request,) = await run.asked()
    description = request["action_requests"][0]["description"]
    assert "Finished work stays: Lexer." in description
    assert "Cancelled: Linker" in description
    done = await run.answer("approve")
    assert done["result"]["diff"]["changed"] == ["Parser for real"]
    (goal,) = await goals_of(database, learner)
    rows = {row.id: row for row in await tasks_of(database, learner, goal)}
    assert goal.title == "Write a compiler"
    assert (rows[ids[0]].title, rows[ids[0]].status) == ("Lexer", TaskStatus.COMPLETED)
    assert (rows[ids[1]].title, rows[ids[2]].status) == ("Parser for real", TaskStatus.CANCELLED)
    grammar = next(row for row in rows.values() if row.title == "Grammar")
    assert set(rows[ids[1]].depends_on) == {ids[0], grammar.id}


async def test_the_learners_own_words_survive_a_revision(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    title, criterion = "Read https://doc.rust-lang.org/book " + "carefully " * 20, "See [notes](https://mine.example/n)"
    async with database.transaction(learner) as tx:
        goal = await goals.create(tx, NewGoal(title="Write a compiler"))
        await tasks.create(tx, NewTask(goal_id=goal.id, title=title, acceptance_criteria=[criterion]))
    run = Planning(deps(OFFLINE()), learner)
    await run.start(objective="Write a compiler", mode="revise", goal_id=str(goal.id))
    done = await run.answer("approve")
    assert (done["result"]["diff"]["unchanged"], done["result"]["diff"]["changed"]) == ([title], [])
    kept = (await tasks_of(database, learner, goal))[0]
    assert (kept.title, kept.acceptance_criteria) == (title, [criterion])


async def test_offline_a_goal_is_revised_and_extended_too(
    deps: DepsFactory, database: Database, learner: Principal, instructor: Principal
) -> None:
    await course(database, instructor, DOCS)
    goal_id, ids = await revisable(database, learner)
    for given in ({"mode": "revise", "goal_id": str(goal_id), "course_id": "rust"}, {"objective": "write a compiler"}):
        run = Planning(deps(OFFLINE()), learner, name=str(len(given)), locale="es")
        await run.start(**{"objective": "Write a compiler", **given})
        (request,) = await run.asked()
        if request["action_requests"][0]["name"] == "extend_goal":
            await run.answer("approve")
        assert (await run.answer("approve"))["result"]["status"] == "committed"
    (goal,) = await goals_of(database, learner)
    rows = {row.title: row for row in await tasks_of(database, learner, goal)}
    assert {"Lexer", "Parser", "Linker", "Leer: Ownership"} <= set(rows)
    assert rows["Lexer"].id == ids[0]


async def test_a_stale_plan_is_refused(deps: DepsFactory, database: Database, learner: Principal) -> None:
    goal_id, ids = await revisable(database, learner)
    run = Planning(deps(scripted(READY, plan())), learner)
    await run.start(objective="Write a compiler", mode="revise", goal_id=str(goal_id))
    async with database.transaction(learner) as tx:
        await tasks.update(tx, ids[1], {"title": "Parser, renamed meanwhile"})
    done = await run.answer("approve")
    assert done["result"]["status"] == "stale"
    assert "changed since this plan" in done["result"]["message"]
    (goal,) = await goals_of(database, learner)
    assert len(await tasks_of(database, learner, goal)) == 3


async def test_an_old_offer_is_refused(deps: DepsFactory, database: Database, learner: Principal) -> None:
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    run = Planning(deps(scripted(READY, plan()), clock=lambda: clock[0]), learner)
    await run.start(objective="Write a compiler")
    clock[0] += timedelta(days=8)
    assert (await run.answer("approve"))["result"]["status"] == "stale"
    assert await goals_of(database, learner) == []


async def test_a_twin_that_appeared_meanwhile_stops_the_commit(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    run = Planning(deps(scripted(READY, plan())), learner)
    await run.start(objective="Write a compiler")
    async with database.transaction(learner) as tx:
        await goals.create(tx, NewGoal(title="write a COMPILER"))
    assert (await run.answer("approve"))["result"]["status"] == "stale"
    assert len(await goals_of(database, learner)) == 1


@pytest.mark.parametrize("who", ["bob", "nobody"])
async def test_goals_of_others_cannot_be_revised(
    deps: DepsFactory, database: Database, learner: Principal, other_learner: Principal, who: str
) -> None:
    goal_id, _ = await revisable(database, other_learner)
    wanted = str(goal_id) if who == "bob" else "018f0000-0000-7000-8000-000000000000"
    run = Planning(deps(scripted()), learner)
    done = await run.start(objective="Write a compiler", mode="revise", goal_id=wanted)
    assert done["result"]["status"] == "invalid_input"
    assert done["result"]["message"] == "There is no goal of that id here for you."


@pytest.mark.parametrize(
    "given",
    [
        {"deadline": "soon"},
        {"hours_per_week": -1},
        {"hours_per_week": float("inf")},
        {"level": "wizard"},
        {"mode": "destroy"},
        {"goal_id": "1 OR 1=1", "mode": "revise"},
        {"mode": "revise"},
        {"constraints": ["x"] * 50},
        {"objective": "half a \ud83e robot"},
    ],
)
async def test_bad_conditions_end_the_run_with_the_reason(
    deps: DepsFactory, database: Database, learner: Principal, given: dict[str, Any]
) -> None:
    done = await Planning(deps(scripted()), learner).start(**{"objective": "Write a compiler", **given})
    assert done["result"]["status"] == "invalid_input"
    assert done["result"]["message"]


@pytest.mark.parametrize("objective", ["", "   ", "!!!", "hola", "\u200b\u200b", "\U0001f916" * 3])
async def test_an_unusable_objective_is_asked_for(
    deps: DepsFactory, database: Database, learner: Principal, objective: str
) -> None:
    run = Planning(deps(OFFLINE()), learner)
    await run.start(objective=objective)
    (request,) = await run.asked()
    assert request["action_requests"][0]["name"] == "state_objective"
    await run.answer("respond", message="Learn Rust")
    assert (await run.asked())[0]["action_requests"][0]["name"] == "commit_plan"


async def test_somebody_who_never_states_an_aim_is_not_asked_for_ever(deps: DepsFactory, learner: Principal) -> None:
    run = Planning(deps(OFFLINE()), learner)
    state = await run.start(objective="hola")
    for _ in range(2):
        state = await run.answer("respond", message="hola")
    assert state["result"]["status"] == "needs_input"


async def test_an_enormous_objective_is_read_in_part_and_said_so(deps: DepsFactory, learner: Principal) -> None:
    run = Planning(deps(OFFLINE()), learner)
    await run.start(objective="Learn Rust " + "very well " * 100_000)
    assert "Only the first 2,000 characters" in (await run.asked())[0]["action_requests"][0]["description"]


async def test_a_finished_thread_takes_a_second_request(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    run = Planning(deps(OFFLINE()), learner)
    await run.start(objective="Learn Rust")
    await run.answer("approve")
    second = await run.start(messages=[HumanMessage("Learn Spanish cooking")])
    assert second["result"] is None
    await run.answer("approve")
    assert sorted(goal.title for goal in await goals_of(database, learner)) == ["Learn Rust", "Learn Spanish cooking"]


async def test_a_run_out_of_budget_ends_with_a_typed_outcome(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    run = Planning(deps(scripted(READY, plan()), budget=Budget(model_calls=1)), learner)
    done = await run.start(objective="Write a compiler")
    assert (done["result"]["status"], done["result"]["kind"]) == ("failed", "budget")


async def test_what_the_model_cost_is_counted(deps: DepsFactory, learner: Principal) -> None:
    used = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    run = Planning(deps(scripted(AIMessage(READY, usage_metadata=used), plan())), learner)  # pyright: ignore[reportArgumentType]
    state = await run.start(objective="Write a compiler")
    assert state["spent"] == {"model_calls": 2, "tool_calls": 0, "input_tokens": 7, "output_tokens": 3}


async def test_conversation_looks_after_goals_offline(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    await revisable(database, learner)
    run = Planning(deps(OFFLINE()), learner)
    listed = await run.start(messages=[HumanMessage("list my goals")])
    assert "- Write a compiler (pending)" in listed["messages"][-1].text
    done = await run.start(messages=[HumanMessage("complete task Parser")])
    assert done["result"] == {"status": "answered", "message": "Done: Parser."}
    refused = await run.start(messages=[HumanMessage("termina la tarea Nadie")])
    assert refused["messages"][-1].text == "I found nothing of that name."


async def test_deleting_by_conversation_asks_first(deps: DepsFactory, database: Database, learner: Principal) -> None:
    await revisable(database, learner)
    run = Planning(deps(OFFLINE()), learner)
    await run.start(messages=[HumanMessage("delete goal Write a compiler")])
    (request,) = await run.asked()
    assert request["action_requests"][0]["name"] == "delete_goal"
    assert len(await goals_of(database, learner)) == 1
    said = await run.answer("reject", message="keep it")
    assert "keep it" in said["messages"][-2].text
    assert said["result"]["message"] == "Then nothing is changed."
    assert len(await goals_of(database, learner)) == 1
    await run.start(messages=[HumanMessage("delete goal Write a compiler")])
    await run.answer("approve")
    assert await goals_of(database, learner) == []


async def test_rejecting_one_of_two_calls_with_equal_ids_spares_the_right_one(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    goal_id, ids = await revisable(database, learner)
    manage = Understanding(kind="manage", objective="", deadline=None, hours_per_week=None, level=None, constraints=[])
    call = {"name": "update_goal", "args": {"goal_id": str(goal_id), "status": "in_progress"}, "id": ""}
    destroy = {"name": "delete_task", "args": {"task_id": str(ids[2])}, "id": ""}
    models = scripted(manage, AIMessage("", tool_calls=[call, destroy]), "ok")  # pyright: ignore[reportArgumentType]
    run = Planning(deps(models), learner)
    await run.start(messages=[HumanMessage("start it and drop the linker")])
    await run.answer("reject")
    (goal,) = await goals_of(database, learner)
    assert goal.status is GoalStatus.IN_PROGRESS
    assert len(await tasks_of(database, learner, goal)) == 3


async def test_an_abandoned_turn_is_settled_from_the_ledger(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    manage = Understanding(kind="manage", objective="", deadline=None, hours_per_week=None, level=None, constraints=[])
    calls = [
        ToolRequest("create_goal", {"title": "Kept"}),
        ToolRequest("delete_goal", {"goal_id": "018f0000-0000-7000-8000-000000000000"}),
    ]
    models = scripted(manage, calls, manage, "hello again")
    run = Planning(deps(models), learner)
    await run.start(messages=[HumanMessage("do two things")])
    assert (await run.asked())[0]["action_requests"][0]["name"] == "delete_goal"
    state = await run.start(messages=[HumanMessage("never mind")])
    assert state["messages"][-1].text == "hello again"
    answers = [m for m in state["messages"] if m.type == "tool"]
    assert len(answers) == 2
    assert all("abandoned" in answer.text for answer in answers)
    assert await goals_of(database, learner) == []


async def at_approval(run: Planning) -> Any:
    """The configuration of the checkpoint at which the plan was offered."""
    async for state in run.app.aget_state_history(run.config):
        if "approve" in state.next:
            return state.config
    raise AssertionError("the plan was never offered")


async def test_approving_again_in_a_fork_changes_nothing(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    run = Planning(deps(scripted(READY, plan())), learner)
    await run.start(objective="Write a compiler")
    first = await run.answer("approve")
    past = await at_approval(run)
    resume = Command(resume={"decisions": [{"type": "approve"}]})
    again = await run.app.ainvoke(resume, past, context=run.context, durability="sync")
    assert again["result"]["goal_id"] == first["result"]["goal_id"]
    assert len(await goals_of(database, learner)) == 1


async def test_a_committed_plan_cannot_be_committed_differently_from_a_fork(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    run = Planning(deps(scripted(READY, plan())), learner)
    paused = await run.start(objective="Write a compiler")
    await run.answer("approve")
    changed = {**paused["plan"]["draft"], "title": "Write two compilers"}
    edit = {"type": "edit", "edited_action": {"name": "commit_plan", "args": changed}}
    resume = Command(resume={"decisions": [edit]})
    again = await run.app.ainvoke(resume, await at_approval(run), context=run.context, durability="sync")
    assert again["result"]["plan"]["title"] == "Write a compiler"  # the answer stored with the checkpoint stands
    assert [goal.title for goal in await goals_of(database, learner)] == ["Write a compiler"]


async def test_two_approvals_at_once_make_one_goal(deps: DepsFactory, database: Database, learner: Principal) -> None:
    run = Planning(deps(scripted(READY, plan())), learner)
    await run.start(objective="Write a compiler")
    results = await asyncio.gather(*(run.answer("approve") for _ in range(3)), return_exceptions=True)
    ended: list[Any] = [result for result in results if not isinstance(result, BaseException)]
    ids = {state["result"]["goal_id"] for state in ended}
    (goal,) = await goals_of(database, learner)
    assert ids == {str(goal.id)}
    assert len(await tasks_of(database, learner, goal)) == 3


class Flaky:
    """A door whose answer to the commit of the ledger's transaction is lost on the way."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.loses = False

    @asynccontextmanager
    async def transaction(self, principal: Principal, origin: Origin | None = None) -> AsyncGenerator[Transaction]:
        async with self.database.transaction(principal, origin) as tx:
            yield tx
        if self.loses and origin is not None and origin.command_key:
            self.loses = False
            raise Unavailable


async def test_a_commit_whose_answer_is_lost_is_told_truthfully_once_the_run_goes_on(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    door = Flaky(database)
    run = Planning(replace(deps(scripted(READY, plan())), database=door), learner)
    await run.start(objective="Write a compiler")
    door.loses = True
    with pytest.raises(Unavailable):
        await run.answer("approve")
    done = await run.app.ainvoke(None, run.config, context=run.context, durability="sync")
    (goal,) = await goals_of(database, learner)
    assert (done["result"]["status"], done["result"]["goal_id"]) == ("committed", str(goal.id))
    assert len(await tasks_of(database, learner, goal)) == 3


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ([{"type": "accept", "args": None}], "committed"),
        ({"type": "approve"}, "committed"),
        ([{"type": "ignore"}], "rejected"),
        ({"decisions": [{"type": "reject"}]}, "rejected"),
    ],
)
async def test_clients_of_the_earlier_inbox_are_understood(
    deps: DepsFactory, learner: Principal, answer: Any, status: str
) -> None:
    run = Planning(deps(scripted(READY, plan())), learner)
    await run.start(objective="Write a compiler")
    done = await run.app.ainvoke(Command(resume=answer), run.config, context=run.context, durability="sync")
    assert done["result"]["status"] == status
