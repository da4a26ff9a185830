"""Snapshots and mastery as tools: own things only, short and true answers, errors that say what to try."""

import json
from typing import Any, cast
from uuid import uuid4

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from agents.models import ModelSettings
from graphs import code_validation
from graphs.calls import PendingCall, Toolset
from graphs.context import LearnerContext
from graphs.deps import Deps, offline_rules, open_models
from graphs.messages import Messages
from store import goals, snapshots
from store.database import Database
from store.principal import Principal
from store.snapshots import Validation
from store.types import ValidationStatus, Visibility
from tests.graphs.conftest import DepsFactory, compiled, context_of, deps, thread
from tests.graphs.learning import BETTER, BUGGY, GOOD, working
from tools.snapshots import TOOLS

__all__ = ["deps"]


class State(TypedDict, total=False):
    messages: Messages


async def use(made: Deps, who: Principal, name: str, args: dict[str, Any], **context: Any) -> ToolMessage:
    """Call one tool as a graph does."""
    toolset = Toolset(made, TOOLS)

    async def act(state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        call = PendingCall(message_id="ai-1", index=0, name=name, args=args, call_id="c1", affordable=True)
        return {"messages": (await toolset.run(call, config, runtime))["messages"]}

    builder: StateGraph[Any, Any, Any, Any] = StateGraph(State, context_schema=LearnerContext)
    cast(Any, builder).add_node("act", act)
    builder.add_edge(START, "act")
    state = await compiled(builder).ainvoke({"messages": []}, thread(str(uuid4())), context=context_of(who, **context))
    return cast(ToolMessage, state["messages"][-1])


async def answer(made: Deps, who: Principal, name: str, args: dict[str, Any], **context: Any) -> dict[str, Any]:
    return json.loads((await use(made, who, name, args, **context)).text)


async def test_a_snapshot_is_saved_listed_read_and_compared(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    work = await working(database, learner)
    made = deps()
    args = {"task_id": str(work.task_id), "file_path": "mean.py", "code": BUGGY}
    first = (await answer(made, learner, "save_snapshot", args))["saved"]
    second = (await answer(made, learner, "save_snapshot", {**args, "code": BETTER}))["saved"]
    assert (first["version"], second["version"], second["language"]) == (1, 2, "python")
    listed = await answer(made, learner, "list_snapshots", {"task_id": str(work.task_id)})
    assert [each["version"] for each in listed["snapshots"]] == [2, 1]
    read = await answer(made, learner, "get_snapshot", {"snapshot_id": first["id"], "first_line": 2})
    assert read["code"].startswith("2     total = 0")
    assert read["lines"] == 6
    args = {"before_id": first["id"], "after_id": second["id"]}
    assert "-def mean(values, seen=[]):" in (await answer(made, learner, "get_snapshot_diff", args))["diff"]


async def test_what_validation_found_can_be_read_and_explained(
    deps: DepsFactory, database: Database, learner: Principal
) -> None:
    work = await working(database, learner)
    snapshot = await work.hand_in(BUGGY)
    made = deps(open_models(ModelSettings(), offline_rules()))
    request = {"snapshot_id": str(snapshot.id)}
    await compiled(code_validation.build(made)).ainvoke(request, thread(), context=context_of(learner))
    read = await answer(made, learner, "get_snapshot", request)
    assert {"rule": "mutable-default", "severity": "essential", "line": 1}.items() <= read["findings"][0].items()
    rule = await answer(made, learner, "get_rule", {"rule": "mutable-default"}, locale="es")
    assert rule["advice"] == "Crear el valor por defecto dentro de la función"
    unknown = await use(made, learner, "get_rule", {"rule": "muta"})
    assert unknown.status == "error"
    assert "mutable-default" in unknown.text
    skills = (await answer(made, learner, "get_mastery", {}))["skills"]
    assert [(each["skill"], each["mastery_percent"]) for each in skills] == [("functions", 33)]


async def test_what_belongs_to_others_is_neither_read_nor_deleted(
    deps: DepsFactory, database: Database, learner: Principal, instructor: Principal
) -> None:
    work = await working(database, instructor)
    shared = await work.hand_in(GOOD)
    async with database.transaction(instructor) as tx:
        await goals.update(tx, work.goal_id, {"visibility": Visibility.GLOBAL})
        await snapshots.record_validation(tx, shared.id, Validation(status=ValidationStatus.PASSED, score=1.0))
        await snapshots.update(tx, shared.id, {"visibility": Visibility.GLOBAL})
    ids = {"before_id": str(shared.id), "after_id": str(shared.id)}
    for name, args in (
        ("get_snapshot", {"snapshot_id": str(shared.id)}),
        ("get_snapshot_diff", ids),
        ("delete_snapshot", {"snapshot_id": str(shared.id)}),
        ("save_snapshot", {"task_id": str(work.task_id), "file_path": "a.py", "code": "x = 1"}),
    ):
        refused = await use(deps(), learner, name, args)
        assert refused.status == "error"
        assert "def mean" not in refused.text
    assert (await answer(deps(), learner, "list_snapshots", {}))["snapshots"] == []
    assert await work.count("code_snapshots") == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [("../../etc/passwd", "x"), ("/etc/passwd", "x"), ("a.py", "x\x00y"), ("a.py", "x" * 300_000), ("", "x")],
)
async def test_bad_paths_and_code_are_refused_with_the_reason(
    deps: DepsFactory, database: Database, learner: Principal, path: str, code: str
) -> None:
    work = await working(database, learner)
    args = {"task_id": str(work.task_id), "file_path": path, "code": code}
    refused = await use(deps(), learner, "save_snapshot", args)
    assert refused.status == "error"
    assert json.loads(refused.text)["try"]
    assert await work.count("code_snapshots") == 0
