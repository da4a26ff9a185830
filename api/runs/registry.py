"""The graphs this process serves, compiled once, and the assistant that stands for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID, uuid5

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph, StateGraph

from store.errors import NotFound

Builder: TypeAlias = "StateGraph[Any, Any, Any, Any]"
Compiled: TypeAlias = "CompiledStateGraph[Any, Any, Any, Any]"

_NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""LangGraph's: the same graph has the same assistant id on every server."""


@dataclass(frozen=True, slots=True)
class Assistant:
    """A graph as clients address it: by its name or by this id."""

    assistant_id: str
    graph_id: str


class Registry:
    """Finds graphs by graph name or assistant id."""

    def __init__(self, builders: Mapping[str, Builder]) -> None:
        self._graphs: dict[str, Compiled] = {name: builder.compile(name=name) for name, builder in builders.items()}
        self.assistants = [Assistant(str(uuid5(_NAMESPACE, name)), name) for name in builders]

    def assistant(self, key: str) -> Assistant:
        """Return the assistant of this id or graph name; NotFound otherwise."""
        for assistant in self.assistants:
            if key in (assistant.assistant_id, assistant.graph_id):
                return assistant
        raise NotFound(f"Assistant '{key}' not found")

    def graph(self, graph_id: str) -> Compiled:
        """Return a compiled graph without a checkpointer; NotFound when this server has no such graph."""
        try:
            return self._graphs[graph_id]
        except KeyError:
            raise NotFound(f"Graph '{graph_id}' not found. This server has: {', '.join(self._graphs)}.") from None


def thread_config(
    saver: BaseCheckpointSaver[str], thread_id: str, checkpoint: Mapping[str, Any] | None = None
) -> RunnableConfig:
    """Return the config that lets a compiled graph work on one thread, at its latest or at a named checkpoint."""
    configurable: dict[str, Any] = {"thread_id": thread_id, "__pregel_checkpointer": saver}
    for key in ("checkpoint_id", "checkpoint_ns", "checkpoint_map"):
        if checkpoint and checkpoint.get(key):
            configurable[key] = checkpoint[key]
    return {"configurable": configurable}
