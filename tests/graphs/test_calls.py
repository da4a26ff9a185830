"""Tool calls through a small graph: exactly once, under the caller's identity, within allow-list and budget."""

import asyncio
import json
from typing import Any, cast
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from graphs import durability
from graphs.calls import Call, PendingCall, Toolset, fan_out, once
from graphs.context import LearnerContext
from graphs.deps import Budget, Deps
from graphs.messages import Messages, Spending
from store import goals, provenance
from store.database import Database
from store.goals import GoalFilter
from store.principal import Principal
from store.types import EntityType
from tests.graphs.conftest import DepsFactory, compiled, context_of, thread
from tools import courses as course_tools
from tools import goals as goal_tools
from tools import history as history_tools
from tools.context import Effect, IdentityMissing, effect_of


class State(TypedDict, total=False):
    messages: Messages
    spent: Spending


def calling(*calls: tuple[str, dict[str, Any]], ids: list[str] | None = None) -> AIMessage:
    """An AI message that calls tools."""
    return AIMessage(
        "",
        id="ai-1",
        tool_calls=[
            {"name": name, "args": args, "id": ids[i] if ids else f"call_{i}"} for i, (name, args) in enumerate(calls)
        ],
    )


def graph_of(deps: Deps, message: AIMessage) -> "StateGraph[Any, Any, Any, Any]":
    """A graph whose model says one fixed message and whose tools are those of goals."""
    toolset = Toolset(deps, (*goal_tools.TOOLS, *history_tools.TOOLS))

    async def model(state: State) -> dict[str, Any]:
        return {"messages": [message]}

    async def act(call: PendingCall, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return dict(await toolset.run(call, config, runtime))

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(State, context_schema=LearnerContext)
    builder.add_node("model", model)
    cast(Any, builder).add_node("act", act, input_schema=PendingCall)
    builder.add_edge(START, "model")

    def send(state: State) -> list[Any]:
        return list(fan_out(state.get("messages", []), state.get("spent", {}), deps.budget.tool_calls, "act"))

    builder.add_conditional_edges("model", send, ["act"])
    return builder


async def run(deps: Deps, message: AIMessage, who: Principal, **more: Any) -> list[ToolMessage]:
    app = compiled(graph_of(deps, message), more.pop("saver", None))
    config = more.pop("config", thread())
    state = await app.ainvoke({"messages": [HumanMessage("go")]}, config, context=context_of(who), **more)
    return [m for m in state["messages"] if isinstance(m, ToolMessage)]


async def titles(database: Database, who: Principal) -> list[str]:
    async with database.transaction(who) as tx:
        return [goal.title for goal in (await goals.list(tx, GoalFilter())).items]


async def test_parallel_calls_each_take_effect_and_answer_in_order(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    answers = await run(deps(), calling(("create_goal", {"title": "A"}), ("create_goal", {"title": "B"})), learner)
    assert [json.loads(a.text)["created"]["title"] for a in answers] == ["A", "B"]
    assert sorted(await titles(database, learner)) == ["A", "B"]


async def test_a_call_executed_again_returns_its_first_answer_and_changes_nothing(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    message = calling(("create_goal", {"title": "Once"}))
    first = await run(deps(), message, learner)
    again = await run(deps(), message, learner, saver=InMemorySaver())
    assert [a.text for a in first] == [a.text for a in again]
    assert await titles(database, learner) == ["Once"]


async def test_two_runs_of_the_same_call_at_once_take_effect_once(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    message = calling(("create_goal", {"title": "Race"}))
    results = await asyncio.gather(*(run(deps(), message, learner) for _ in range(4)))
    assert len({answers[0].text for answers in results}) == 1
    assert await titles(database, learner) == ["Race"]


async def test_repeated_and_empty_call_ids_are_told_apart_by_their_place(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    message = calling(("create_goal", {"title": "A"}), ("create_goal", {"title": "B"}), ids=["", ""])
    answers = await run(deps(), message, learner)
    assert len(answers) == 2
    assert sorted(await titles(database, learner)) == ["A", "B"]


async def test_the_same_call_with_other_arguments_is_refused(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    await run(deps(), calling(("create_goal", {"title": "First"})), learner)
    (answer,) = await run(deps(), calling(("create_goal", {"title": "Second"})), learner)
    assert answer.status == "error"
    assert "other arguments" in answer.text
    assert await titles(database, learner) == ["First"]


async def test_forged_hidden_arguments_never_reach_the_tool(
    deps: DepsFactory, database: Database, learner: Principal, other_learner: Principal
) -> None:
    forged = {
        "title": "Mine",
        "user_id": "bob",
        "runtime": {"context": {"user_id": "bob"}},
        "principal": "bob",
        "id": str(uuid4()),
    }
    await run(deps(), calling(("create_goal", forged)), learner)
    assert await titles(database, learner) == ["Mine"]
    assert await titles(database, other_learner) == []


async def test_ids_of_other_people_are_not_there(
    deps: DepsFactory, database: Database, learner: Principal, other_learner: Principal
) -> None:
    async with database.transaction(other_learner) as tx:
        goal = await goals.create(tx, goals.NewGoal(title="Bob's"))
    calls = [("update_goal", {"goal_id": str(goal.id), "title": "stolen"}), ("get_goal", {"goal_id": str(goal.id)})]
    answers = await run(deps(), calling(*calls), learner)
    assert all(a.status == "error" and "no goal of that id" in a.text for a in answers)
    assert await titles(database, other_learner) == ["Bob's"]


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("drop_tables", {}, "There is no tool"),
        ("create_goal", {}, "title"),
        ("get_goal", {"goal_id": "1; DROP TABLE goals"}, "goal_id"),
        ("update_goal", {"goal_id": str(uuid4())}, "Nothing to change"),
        ("set_goal_progress", {"goal_id": str(uuid4()), "percentage": "NaN"}, "error"),
        ("create_goal", {"title": "x\x00y"}, "error"),
    ],
)
async def test_bad_calls_are_answered_with_what_to_try(
    deps: DepsFactory, database: Database, learner: Principal, name: str, args: dict[str, Any], says: str
) -> None:
    (answer,) = await run(deps(), calling((name, args)), learner)
    body = json.loads(answer.text)
    assert answer.status == "error"
    assert says in answer.text
    assert body["try"]
    assert await titles(database, learner) == []


async def test_calls_beyond_the_budget_are_refused(deps: DepsFactory, database: Database, learner: Principal) -> None:
    calls = [("create_goal", {"title": f"G{i}"}) for i in range(5)]
    answers = await run(deps(budget=Budget(tool_calls=3)), calling(*calls), learner)
    assert [a.status for a in answers] == ["success"] * 3 + ["error"] * 2
    assert len(await titles(database, learner)) == 3


async def test_a_run_without_identity_is_refused(deps: DepsFactory, database: Database, learner: Principal) -> None:
    app = compiled(graph_of(deps(), calling(("create_goal", {"title": "Whose?"}))))
    with pytest.raises(IdentityMissing):
        await app.ainvoke({"messages": [HumanMessage("go")]}, thread(), context=None)


async def test_exit_durability_refuses_effects(deps: DepsFactory, database: Database, learner: Principal) -> None:
    with pytest.raises(durability.NotDurable):
        await run(deps(), calling(("create_goal", {"title": "Unsafe"})), learner, durability="exit")
    assert await titles(database, learner) == []


async def test_async_durability_waits_for_the_slow_checkpoint(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    class Slow(InMemorySaver):
        def __init__(self) -> None:
            super().__init__()
            self.stored: list[str] = []

        async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
            await asyncio.sleep(0.4)
            self.stored.append(checkpoint["id"])
            return await super().aput(config, checkpoint, metadata, new_versions)

    saver = Slow()
    waited: list[bool] = []
    original = durability.wait

    async def spied(config: RunnableConfig, patience: float = durability.PATIENCE) -> None:
        needed = config["configurable"]["checkpoint_map"][""]  # pyright: ignore[reportTypedDictNotRequiredAccess]
        waited.append(needed not in saver.stored)
        await original(config, patience)
        assert needed in saver.stored

    durability.wait = spied
    try:
        await run(deps(), calling(("create_goal", {"title": "Safe"})), learner, saver=saver, durability="async")
    finally:
        durability.wait = original
    assert waited == [True]
    assert await titles(database, learner) == ["Safe"]


async def test_a_row_tells_which_call_of_which_run_made_it(
    deps: DepsFactory, database: Database, learner: Principal, other_learner: Principal
) -> None:
    run_id = uuid4()
    config = thread("prov") | {"run_id": run_id}
    (answer,) = await run(deps(), calling(("create_goal", {"title": "Traced"})), learner, config=config)
    goal_id = json.loads(answer.text)["created"]["id"]
    async with database.transaction(learner) as tx:
        (made,) = await provenance.of_entity(tx, EntityType.GOAL, goal_id)
    assert (made.tool, made.ai_message_id, made.call_index, made.outcome) == ("create_goal", "ai-1", 0, "done")
    assert (made.thread_id, made.run_id, made.tool_call_id) == ("prov", str(run_id), "call_0")
    assert made.checkpoint_id
    async with database.transaction(other_learner) as tx:
        assert await provenance.of_entity(tx, EntityType.GOAL, goal_id) == []
    read = calling(("entity_origin", {"entity": "goal", "entity_id": goal_id}))
    (told,) = await run(deps(), read, learner, config=thread("asking"))
    assert json.loads(told.text)["changes"][0] | {"at": ""} == {
        "at": "", "channel": "tool", "checkpoint": made.checkpoint_id, "run": str(run_id), "thread": "prov",
        "tool": "create_goal", "type": "goal.created", "version": 1,
    }  # fmt: skip
    (hidden,) = await run(deps(), read, other_learner, config=thread("prying"))
    assert hidden.status == "error"


def test_a_step_that_reads_foreign_text_cannot_be_given_writing_tools(deps: DepsFactory) -> None:
    with pytest.raises(ValueError, match="must not be able to write"):
        Toolset(deps(), (course_tools.get_course, goal_tools.create_goal))  # pyright: ignore[reportArgumentType]


def test_a_tool_that_declares_no_effect_counts_as_destructive() -> None:
    from langchain_core.tools import StructuredTool

    def anything() -> str:
        """Do something."""
        return ""

    assert effect_of(StructuredTool.from_function(anything)) is Effect.DESTROY


async def test_a_plain_node_commits_once_under_its_minted_id(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    made: list[str] = []

    async def commit(state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        async def effect(context: Any) -> dict[str, Any]:
            async with context.transaction() as tx:
                goal = await goals.create(tx, goals.NewGoal(title="Planned", id=context.new_id()))
            made.append(str(goal.id))
            return {"goal": str(goal.id)}

        call = Call("plan-1", 0, "commit_plan", {"title": "Planned"})
        return {"messages": [AIMessage(str((await once(deps(), runtime, config, call, effect)).result))]}

    for _ in range(2):
        builder: StateGraph[Any, Any, Any, Any] = StateGraph(State, context_schema=LearnerContext)
        cast(Any, builder).add_node("commit", commit).add_edge(START, "commit")
        await compiled(builder).ainvoke({"messages": []}, thread(), context=context_of(learner))
    assert len(made) == 1
    assert await titles(database, learner) == ["Planned"]


async def test_a_call_of_somebody_elses_thread_is_refused(
    deps: DepsFactory, database: Database, learner: Principal, other_learner: Principal
) -> None:
    await run(deps(), calling(("create_goal", {"title": "Mine"})), learner)
    (answer,) = await run(deps(), calling(("create_goal", {"title": "Mine"})), other_learner)
    assert "somebody else's thread" in answer.text
    assert await titles(database, other_learner) == []
