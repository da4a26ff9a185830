"""How threads, runs, states and assistants look on the wire."""

from collections.abc import Mapping
from typing import Any, cast

from langgraph.types import StateSnapshot

from api.protocol.common import stamp
from api.runs.registry import Assistant
from api.runs.wire import plain
from store.runs import Run
from store.threads import Thread

_SHOWN_KWARGS = (
    "input",
    "command",
    "config",
    "context",
    "stream_mode",
    "stream_subgraphs",
    "interrupt_before",
    "interrupt_after",
)


def thread_json(thread: Thread, values: Any = None) -> dict[str, Any]:  # noqa: ANN401 - any state
    """A thread; `values` is its latest state where the request needs it."""
    return {
        "thread_id": thread.thread_id,
        "created_at": stamp(thread.created_at),
        "updated_at": stamp(thread.updated_at),
        "state_updated_at": stamp(thread.state_updated_at),
        "metadata": thread.metadata,
        "status": thread.status.value,
        "config": {"configurable": {}},
        "values": values,
        "interrupts": thread.interrupts,
        "error": thread.error,
    }


def run_json(run: Run) -> dict[str, Any]:
    """A run; of its arguments only what its client sent, never who sent it."""
    return {
        "run_id": run.run_id,
        "thread_id": run.thread_id,
        "assistant_id": run.assistant_id,
        "metadata": run.metadata,
        "status": run.status.value,
        "kwargs": {key: run.kwargs.get(key) for key in _SHOWN_KWARGS},
        "multitask_strategy": run.multitask_strategy,
        "created_at": stamp(run.created_at),
        "updated_at": stamp(run.updated_at),
    }


def assistant_json(assistant: Assistant, started: str) -> dict[str, Any]:
    """An assistant: one per graph, made by the server, unchangeable."""
    return {
        "assistant_id": assistant.assistant_id,
        "graph_id": assistant.graph_id,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system"},
        "name": assistant.graph_id,
        "description": None,
        "version": 1,
        "created_at": started,
        "updated_at": started,
    }


def checkpoint_json(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The checkpoint a config points at, or None when it points at none."""
    configurable: dict[str, Any] = (config or {}).get("configurable") or {}
    if not configurable.get("checkpoint_id"):
        return None
    shown: dict[str, Any] = {
        "thread_id": configurable.get("thread_id"),
        "checkpoint_ns": configurable.get("checkpoint_ns", ""),
        "checkpoint_id": configurable["checkpoint_id"],
    }
    if configurable.get("checkpoint_map"):
        shown["checkpoint_map"] = configurable["checkpoint_map"]
    return shown


def state_json(state: StateSnapshot) -> dict[str, Any]:
    """A state with its pending tasks and questions."""
    checkpoint = checkpoint_json(cast("Mapping[str, Any]", state.config))
    parent = checkpoint_json(cast("Mapping[str, Any] | None", state.parent_config))
    return {
        "values": plain(state.values),
        "next": list(state.next),
        "tasks": [_task_json(task) for task in state.tasks],
        "metadata": plain(state.metadata) if state.metadata is not None else None,
        "created_at": state.created_at,
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "interrupts": [plain(interrupt) for interrupt in state.interrupts],
        "checkpoint_id": checkpoint and checkpoint["checkpoint_id"],
        "parent_checkpoint_id": parent and parent["checkpoint_id"],
    }


def _task_json(task: Any) -> dict[str, Any]:  # noqa: ANN401 - PregelTask is generic in its state
    nested: object = task.state
    return {
        "id": task.id,
        "name": task.name,
        "path": plain(task.path),
        "error": repr(task.error) if task.error else None,
        "interrupts": [plain(interrupt) for interrupt in task.interrupts],
        "checkpoint": checkpoint_json(cast("Mapping[str, Any]", nested)) if isinstance(nested, dict) else None,
        "state": state_json(nested) if isinstance(nested, StateSnapshot) else None,
        "result": plain(task.result),
    }
