"""The three graphs, each a `build(deps)` that returns an uncompiled StateGraph."""

from collections.abc import Callable
from typing import Any

from langgraph.graph import StateGraph

from graphs import code_validation, goal_planning, task_suggestion
from graphs.deps import Deps

GRAPHS: dict[str, Callable[[Deps], "StateGraph[Any, Any, Any, Any]"]] = {
    "goal_planning": goal_planning.build,
    "code_validation": code_validation.build,
    "task_suggestion": task_suggestion.build,
}
