"""Code validation: a snapshot becomes a checked verdict with findings, and hints rather than solutions.

load -> analyse -> material -> judge <-> weigh -> advise -> commit -> (offer -> finish) -> report.
The steps that read other people's text (judge, advise) have no tools; the steps that write read only what was checked.
"""

from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from graphs import validation_commit, validation_hint, validation_load, validation_review
from graphs.context import LearnerContext
from graphs.deps import Deps
from graphs.validation_state import State, ValidationInput


class Validating:
    """The nodes, bound to their dependencies."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    async def load(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return await validation_load.load(self.deps, state, runtime)

    async def analyse(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return await validation_review.static(self.deps, state, runtime)

    async def material(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return await validation_review.material(self.deps, state, runtime)

    async def judge(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return await validation_review.review(self.deps, state, runtime)

    async def weigh(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return await validation_review.weigh(self.deps, state, runtime)

    async def advise(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return await validation_hint.give(self.deps, state, runtime)

    async def commit(self, state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return await validation_commit.commit(self.deps, state, config, runtime)

    async def finish(self, state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return await validation_commit.finish(self.deps, state, config, runtime)


def build(deps: Deps) -> "StateGraph[State, LearnerContext, ValidationInput, State]":
    """Return the graph, not compiled: whoever runs it chooses the checkpointer."""
    nodes = Validating(deps)
    graph: StateGraph[State, LearnerContext, ValidationInput, State] = StateGraph(
        State, context_schema=LearnerContext, input_schema=ValidationInput
    )
    # Through Any: the library's node types know a config or a runtime, and several nodes need both.
    add = cast(Any, graph).add_node
    for name in ("load", "analyse", "material", "judge", "weigh", "advise", "commit", "finish"):
        add(name, getattr(nodes, name))
    add("offer", validation_commit.offer)
    add("report", validation_commit.report)
    graph.add_edge(START, "load")
    graph.add_conditional_edges("load", _after_load, ["analyse", "report"])
    graph.add_edge("analyse", "material")
    graph.add_edge("material", "judge")
    graph.add_edge("judge", "weigh")
    graph.add_conditional_edges("weigh", _after_weigh, ["judge", "advise"])
    graph.add_edge("advise", "commit")
    graph.add_conditional_edges("commit", validation_commit.after_commit, ["offer", "report"])
    graph.add_conditional_edges("offer", _after_offer, ["finish", "report"])
    graph.add_edge("finish", "report")
    graph.add_edge("report", END)
    return graph


def _after_load(state: State) -> str:
    return "report" if state.get("result") else "analyse"


def _after_weigh(state: State) -> str:
    return "judge" if state.get("decision") == "repair" else "advise"


def _after_offer(state: State) -> str:
    return "finish" if state.get("decision") == "approve" else "report"
