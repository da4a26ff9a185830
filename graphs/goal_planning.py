"""Goal planning: an objective becomes a checked plan, an approved plan becomes a goal with its tasks.

load -> understand -> (clarify | extend) -> research <-> look_up -> collect -> draft <-> check -> present -> approve
-> commit -> report; conversation about existing goals goes understand -> assist <-> gate/act -> report.
The steps that read other people's text (research, draft) cannot write; the steps that write do not read it.
"""

from typing import Any, cast

from langgraph.graph import END, START, StateGraph

from graphs.calls import PendingCall
from graphs.context import LearnerContext
from graphs.deps import Deps
from graphs.managing import Managing
from graphs.planning_aim import Aiming
from graphs.planning_decide import Deciding
from graphs.planning_draft import Drafting
from graphs.planning_state import PlanInput, State


def build(deps: Deps) -> "StateGraph[State, LearnerContext, PlanInput, State]":
    """Return the graph, not compiled: whoever runs it chooses the checkpointer."""
    aiming, drafting, deciding, managing = Aiming(deps), Drafting(deps), Deciding(deps), Managing(deps)
    graph: StateGraph[State, LearnerContext, PlanInput, State] = StateGraph(
        State, context_schema=LearnerContext, input_schema=PlanInput
    )
    # Through Any: the library's node types know a config or a runtime, and several nodes need both.
    add = cast(Any, graph).add_node
    for part, names in (
        (aiming, ("load", "understand", "clarify", "twin", "extend")),
        (drafting, ("research", "collect", "draft", "check")),
        (deciding, ("present", "approve", "commit", "report")),
        (managing, ("assist", "gate")),
    ):
        for name in names:
            add(name, getattr(part, name))
    add("look_up", drafting.look_up, input_schema=PendingCall)
    add("act", managing.act, input_schema=PendingCall)
    graph.add_edge(START, "load")
    graph.add_conditional_edges("load", aiming.after_load, ["understand", "report"])
    graph.add_conditional_edges("understand", aiming.after_understand, ["clarify", "twin", "assist", "report"])
    graph.add_conditional_edges("clarify", aiming.after_clarify, ["understand", "report"])
    graph.add_conditional_edges("twin", aiming.after_twin, ["extend", "research", "present", "report"])
    graph.add_conditional_edges("extend", aiming.after_extend, ["twin", "report"])
    graph.add_conditional_edges("research", drafting.after_research, ["look_up", "collect", "report"])
    graph.add_edge("look_up", "research")
    graph.add_edge("collect", "draft")
    graph.add_edge("draft", "check")
    graph.add_conditional_edges("check", drafting.after_check, ["draft", "twin", "present", "report"])
    graph.add_edge("present", "approve")
    graph.add_conditional_edges("approve", deciding.after_approve, ["commit", "draft", "report"])
    graph.add_edge("commit", "report")
    graph.add_conditional_edges("assist", managing.after_assist, ["gate", "report"])
    graph.add_conditional_edges("gate", managing.after_gate, ["act", "assist"])
    graph.add_edge("act", "assist")
    graph.add_edge("report", END)
    return graph
