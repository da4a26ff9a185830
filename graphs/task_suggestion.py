"""Task suggestion: the learner's real state becomes one to three ranked next steps, each with its reasons.

load -> choose -> explain -> (offer -> act) -> report; a decision about an earlier suggestion goes straight to act.
The order is computed; the model only words it, in a step without tools.
"""

from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from graphs import suggestion_load, suggestion_rank, suggestion_start
from graphs.context import LearnerContext
from graphs.deps import Deps
from graphs.suggestion_state import Request, State, SuggestionInput


class Suggesting:
    """The nodes, bound to their dependencies."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    async def load(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return suggestion_load.load(self.deps, state, runtime)

    async def choose(self, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return await suggestion_rank.choose(self.deps, state, runtime)

    async def explain(self, state: State) -> dict[str, Any]:
        return await suggestion_rank.explain(self.deps, state)

    async def act(self, state: State, config: RunnableConfig, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return await suggestion_start.act(self.deps, state, config, runtime)


def build(deps: Deps) -> "StateGraph[State, LearnerContext, SuggestionInput, State]":
    """Return the graph, not compiled: whoever runs it chooses the checkpointer."""
    nodes = Suggesting(deps)
    graph: StateGraph[State, LearnerContext, SuggestionInput, State] = StateGraph(
        State, context_schema=LearnerContext, input_schema=SuggestionInput
    )
    # Through Any: the library's node types know a config or a runtime, and one node needs both.
    add = cast(Any, graph).add_node
    for name in ("load", "choose", "explain", "act"):
        add(name, getattr(nodes, name))
    add("offer", suggestion_start.offer)
    add("report", suggestion_start.report)
    graph.add_edge(START, "load")
    graph.add_conditional_edges("load", _after_load, ["choose", "act", "report"])
    graph.add_conditional_edges("choose", _after_choose, ["explain", "report"])
    graph.add_conditional_edges("explain", _after_explain, ["offer", "report"])
    graph.add_edge("offer", "act")
    graph.add_edge("act", "report")
    graph.add_edge("report", END)
    return graph


def _after_load(state: State) -> str:
    if state.get("result"):
        return "report"
    request = Request.model_validate(state.get("request"))
    return "act" if request.accept or request.reject or request.snooze else "choose"


def _after_choose(state: State) -> str:
    return "explain" if state.get("offered") else "report"


def _after_explain(state: State) -> str:
    return "offer" if Request.model_validate(state.get("request")).offer_start else "report"
