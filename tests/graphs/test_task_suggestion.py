"""Task suggestion from end to end: a computed order in true words, never silence, and a start that happens once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fsrs import Card, Rating, Scheduler
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from psycopg.types.json import Jsonb

from agents.failures import FailureKind, ModelFailure
from agents.models import Models, ModelSettings
from graphs import task_suggestion
from graphs.deps import Deps, offline_rules, open_models
from store import goals, tasks
from store.database import Database
from store.goals import NewGoal
from store.principal import Principal
from store.tasks import NewTask, Task
from store.types import GoalStatus, TaskStatus
from tests.graphs.conftest import DepsFactory, compiled, context_of, scripted, seen, thread

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def offline() -> Models:
    return open_models(ModelSettings(), offline_rules())


async def run(deps: Deps, who: Principal, request: dict[str, Any], app: Any = None, **context: Any) -> dict[str, Any]:
    graph = app or compiled(task_suggestion.build(deps))
    return await graph.ainvoke(request, thread(), context=context_of(who, now=NOW, **context))


async def plan(database: Database, who: Principal, *made: dict[str, Any], title: str = "Learn SQL") -> list[Task]:
    """A goal with tasks; `after` names the places of earlier tasks a task waits for."""
    async with database.transaction(who) as tx:
        goal = await goals.create(tx, NewGoal(title=title))
        found: list[Task] = []
        for number, values in enumerate(made):
            after: tuple[int, ...] = tuple(values.pop("after", ()))
            given: dict[str, Any] = {"title": f"Step {number}", "depends_on": [found[at].id for at in after], **values}
            new = NewTask(goal_id=goal.id, **given)
            found.append(await tasks.create(tx, new))
        return found


async def status_of(database: Database, who: Principal, task_id: UUID) -> TaskStatus:
    async with database.transaction(who) as tx:
        return (await tasks.get(tx, task_id)).status


async def events(database: Database, who: Principal, kind: str) -> int:
    async with database.transaction(who) as tx:
        return int(await tx.fetch_value("SELECT count(*) FROM events WHERE type = %s", [kind]))


async def fading(database: Database, who: Principal, skill: str) -> None:
    long_ago = NOW - timedelta(days=90)
    card, _ = Scheduler(enable_fuzzing=False).review_card(Card(card_id=1), Rating.Good, long_ago)
    async with database.transaction(who) as tx:
        await tx.execute(
            "INSERT INTO skill_mastery VALUES (%s, %s, %s, %s, 1, 0, %s)",
            [who.user_id, skill, Jsonb(dict(card.to_dict())), card.due, long_ago],
        )


async def test_the_best_step_comes_with_factors_reasons_and_why_not_the_others(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    made = await plan(
        database, learner,
        {"title": "Read about joins", "estimated_minutes": 30},
        {"title": "Practise joins", "estimated_minutes": 60, "after": [0]},
        {"title": "Set up the database", "estimated_minutes": 20, "due_at": NOW + timedelta(days=1)},
        {"title": "Draw a diagram", "estimated_minutes": 200},
    )  # fmt: skip
    request = {"available_minutes": 30, "limit": 2}
    state = await run(deps(offline()), learner, request)
    result = state["result"]
    assert [each["title"] for each in result["suggestions"]] == ["Set up the database", "Read about joins"]
    best, second = result["suggestions"]
    assert best["best"] is True
    assert best["factors"]["due"] > 1
    assert second["unlocks"] == [{"id": str(made[1].id), "title": "Practise joins"}]
    assert "due tomorrow" in best["reason"]
    left_out = {each["title"]: each["obstacle"] for each in result["why_not"]}
    assert left_out == {"Draw a diagram": "too_long", "Practise joins": "waits"}
    said = state["messages"][-1].text
    assert "waits for Read about joins" in said
    assert "no language model took part" in said
    json.dumps(result)


async def test_spanish_from_reason_to_obstacle(deps: DepsFactory, database: Database, learner: Principal) -> None:
    await plan(database, learner, {"title": "Leer", "estimated_minutes": 30}, {"title": "Practicar", "after": [0]})
    said = (await run(deps(offline()), learner, {}, locale="es"))["messages"][-1].text
    assert "El mejor paso siguiente: **Leer** (30 min)" in said
    assert "Practicar: espera a Leer" in said
    assert not {"the", "because", "waits", "Best"} & set(said.split())


def computed(result: dict[str, Any]) -> list[Any]:
    return [(each["task_id"], each["score"], each["factors"]) for each in result["suggestions"]]


async def test_the_order_is_the_same_with_and_without_a_model(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    await plan(database, learner, *[{"estimated_minutes": 10 * n, "skills": [f"s{n}"]} for n in (3, 1, 2)])
    words = {"items": [{"label": f"S{n}", "reason": "It fits well now.", "first_step": "Open it."} for n in (1, 2, 3)]}
    with_model = (await run(deps(scripted(words)), learner, {"available_minutes": 20}))["result"]
    without = (await run(deps(offline()), learner, {"available_minutes": 20}))["result"]
    assert computed(with_model) == computed(without)
    assert with_model["suggestions"][0]["reason"] == "It fits well now."
    assert with_model["provenance"]["language_model"] is True
    assert without["provenance"]["language_model"] is False


async def test_a_model_that_invents_is_replaced_by_prepared_sentences(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    await plan(database, learner, {"estimated_minutes": 30})
    lies = [("S1", "It takes 5 minutes.", "Go."), ("S7", "x", "y")]
    models = scripted({"items": [dict(zip(("label", "reason", "first_step"), each, strict=True)) for each in lies]})
    result = (await run(deps(models), learner, {}))["result"]
    assert "5" not in result["suggestions"][0]["reason"]
    assert result["provenance"]["replaced"] == ["a number that is not among the facts: 5"]
    facts = seen(models)[0][-1].text
    assert "task_id" not in facts


@pytest.mark.parametrize("kind", list(FailureKind))
async def test_without_an_answer_of_the_model_the_suggestions_stand(
    deps: DepsFactory, database: Database, learner: Principal, kind: FailureKind
) -> None:
    await plan(database, learner, {})
    state = await run(deps(scripted(ModelFailure(kind))), learner, {})
    assert state["result"]["status"] == "suggested"
    assert state["result"]["suggestions"][0]["reason"]
    assert "the order does not depend on it" in state["messages"][-1].text


async def test_accepting_starts_the_task_and_declining_steps_back(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    first, second = await plan(database, learner, {}, {})
    app = compiled(task_suggestion.build(deps(offline())))
    paused = await app.ainvoke({"offer_start": True}, thread(), context=context_of(learner, now=NOW))
    action = paused["__interrupt__"][0].value["action_requests"][0]
    assert (action["name"], action["args"]["task_id"]) == ("start_task", str(first.id))
    decline = Command(resume={"decisions": [{"type": "reject"}]})
    declined = await app.ainvoke(decline, thread(), context=context_of(learner, now=NOW))
    assert declined["result"]["status"] == "declined"
    paused = await app.ainvoke({"offer_start": True}, thread(), context=context_of(learner, now=NOW))
    assert paused["__interrupt__"][0].value["action_requests"][0]["args"]["task_id"] == str(second.id)
    approve = Command(resume={"decisions": [{"type": "approve"}]})
    state = await app.ainvoke(approve, thread(), context=context_of(learner, now=NOW))
    assert state["result"]["started"] == {"task_id": str(second.id), "title": "Step 1", "status": "in_progress"}
    assert await status_of(database, learner, second.id) is TaskStatus.IN_PROGRESS
    assert await status_of(database, learner, first.id) is TaskStatus.PENDING


async def test_a_task_that_is_no_longer_ready_is_not_started(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    first, second = await plan(database, learner, {"estimated_minutes": 10}, {"estimated_minutes": 5})
    app = compiled(task_suggestion.build(deps(offline())))
    await app.ainvoke({"offer_start": True}, thread(), context=context_of(learner, now=NOW))
    async with database.transaction(learner) as tx:
        await tasks.update(tx, first.id, {"depends_on": [second.id]})
    approve = Command(resume={"decisions": [{"type": "approve"}]})
    state = await app.ainvoke(approve, thread(), context=context_of(learner, now=NOW))
    assert state["result"]["status"] == "stale"
    assert "Step 1" in state["messages"][-1].text
    assert await status_of(database, learner, first.id) is TaskStatus.PENDING


async def test_a_start_that_is_run_again_happens_once(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    await fading(database, learner, "joins")
    (done,) = await plan(database, learner, {"skills": ["joins"]})
    async with database.transaction(learner) as tx:
        await tasks.update(tx, done.id, {"status": TaskStatus.COMPLETED})
    app: Any = task_suggestion.build(deps(offline())).compile(checkpointer=InMemorySaver(), interrupt_before=["act"])
    await app.ainvoke({"accept": "skill:joins"}, thread(), context=context_of(learner, now=NOW))
    before = await app.aget_state(thread())
    first = await app.ainvoke(None, thread(), context=context_of(learner, now=NOW))
    again = await app.ainvoke(None, before.config, context=context_of(learner, now=NOW))
    assert again["result"]["started"] == first["result"]["started"]
    assert await events(database, learner, "task.created") == 2
    assert await events(database, learner, "task.started") == 1
    async with database.transaction(learner) as tx:
        assert await tx.fetch_value("SELECT count(*) FROM suggestion_feedback") == 1


async def test_a_fading_skill_is_offered_as_a_review_and_accepted_into_its_goal(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    await fading(database, learner, "joins")
    (done,) = await plan(database, learner, {"skills": ["joins"]})
    async with database.transaction(learner) as tx:
        await tasks.update(tx, done.id, {"status": TaskStatus.COMPLETED})
    app = compiled(task_suggestion.build(deps(offline())))
    (review,) = (await run(deps(), learner, {"mood": "review"}, app))["result"]["suggestions"]
    assert (review["kind"], review["skill"], review["task_id"]) == ("review", "joins", None)
    started = (await run(deps(), learner, {"messages": [HumanMessage("yes, start it")]}, app))["result"]["started"]
    async with database.transaction(learner) as tx:
        task = await tasks.get(tx, UUID(started["task_id"]))
    assert (task.goal_id, task.status, task.skills) == (done.goal_id, TaskStatus.IN_PROGRESS, ["joins"])


async def test_when_nothing_can_begin_the_smallest_step_is_named(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    app = compiled(task_suggestion.build(deps(offline())))
    nothing = await run(deps(), learner, {}, app)
    assert nothing["result"]["status"] == "nothing_ready"
    assert "A plan for a goal is the next step" in nothing["messages"][-1].text
    first, _ = await plan(database, learner, {"estimated_minutes": 20}, {"after": [0]})
    async with database.transaction(learner) as tx:
        await tasks.update(tx, first.id, {"status": TaskStatus.BLOCKED})
    result = (await run(deps(), learner, {}, app))["result"]
    assert [each["obstacle"] for each in result["blocked_by"]] == ["blocked", "waits"]
    assert result["blocked_by"][0]["task_id"] == str(first.id)
    assert "resolve what blocks 'Step 0'" in result["message"]
    async with database.transaction(learner) as tx:
        await goals.update(tx, first.goal_id, {"status": GoalStatus.IN_PROGRESS})
        await goals.update(tx, first.goal_id, {"status": GoalStatus.PAUSED})
    resting = await run(deps(), learner, {}, app, locale="es")
    assert "retomar la meta que está en pausa" in resting["messages"][-1].text


async def test_chat_understands_time_mood_and_decisions(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    first, second, third = await plan(
        database, learner,
        {"estimated_minutes": 90, "type": "build"}, {"estimated_minutes": 25}, {"estimated_minutes": 20},
    )  # fmt: skip
    app = compiled(task_suggestion.build(deps(offline())))

    async def say(text: str) -> dict[str, Any]:
        state = await run(deps(), learner, {"messages": [HumanMessage(text)]}, app)
        assert isinstance(state["messages"][-1], AIMessage)
        return state["result"]

    assert (await say("Tengo media hora, ¿qué hago?"))["suggestions"][0]["task_id"] == str(second.id)
    assert (await say("no, otra"))["decision"] == "rejected"
    assert (await say("I have 30 minutes"))["suggestions"][0]["task_id"] == str(third.id)
    later = await say("later please")
    assert (later["decision"], later["status"]) == ("snoozed", "noted")
    assert "2026-03-02" in later["message"]
    challenge = await say("give me a challenge, I have 2 hours")
    assert challenge["suggestions"][0]["task_id"] == str(first.id)
    assert (await say("ok"))["started"]["task_id"] == str(first.id)
    assert await status_of(database, learner, first.id) is TaskStatus.IN_PROGRESS


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"available_minutes": -5}, "invalid_input"),
        ({"mood": "sleepy"}, "invalid_input"),
        ({"limit": 50}, "invalid_input"),
        ({"goal_id": "x"}, "invalid_input"),
        ({"goal_id": str(uuid4())}, "not_found"),
        ({"accept": str(uuid4())}, "stale"),
        ({"accept": "../../etc/passwd"}, "stale"),
        ({"accept": "skill:unknown"}, "stale"),
        ({"reject": str(uuid4())}, "stale"),
        ({"messages": [HumanMessage("{" * 3000)]}, "nothing_ready"),
    ],
)
async def test_bad_requests_end_with_a_typed_outcome(
    deps: DepsFactory, database: Database, learner: Principal, request_: dict[str, Any], status: str
) -> None:
    state = await run(deps(offline()), learner, request_)
    assert state["result"]["status"] == status
    assert state["messages"][-1].text


async def test_nobody_is_told_about_or_starts_the_tasks_of_another(
    deps: DepsFactory, database: Database, learner: Principal, other_learner: Principal
) -> None:
    (task,) = await plan(database, learner, {"title": "Canary 4711"})
    state = await run(deps(offline()), other_learner, {})
    assert "4711" not in json.dumps(state["result"]) + state["messages"][-1].text
    for request in ({"accept": str(task.id)}, {"reject": str(task.id)}, {"snooze": str(task.id)}):
        assert (await run(deps(offline()), other_learner, request))["result"]["status"] == "stale"
    assert (await run(deps(offline()), other_learner, {"goal_id": str(task.goal_id)}))["result"][
        "status"
    ] == "not_found"
    assert await status_of(database, learner, task.id) is TaskStatus.PENDING
