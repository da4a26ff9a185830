"""The producer of runs that were started with the v2 protocol: the same tap, content-block events instead of chunks.

Rows of the log that only v2 reads have an event name that begins with "@"; their text is the `params` of one envelope,
so one row is one envelope and its number is the envelope's `seq` on every connection.
"""

import time
from collections.abc import Mapping
from typing import Any, cast

from langchain_core.language_models._compat_bridge import message_to_events
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.pregel._messages import StreamMessagesHandlerV2
from langgraph.pregel._tools import StreamToolCallHandler

from api.runs.produce import Chunk, Emit, Producer
from api.runs.wire import dumps, is_list, is_object

_MODES = frozenset({"values", "updates", "custom", "tasks", "checkpoints", "tools"})


class ProducerV2(Producer):
    """Receives the chunks of one run and emits the rows of v2 envelopes."""

    def __init__(self, *, emit: Emit) -> None:
        super().__init__(_MODES, subgraphs=True, emit=emit)
        self._held: dict[tuple[str, ...], Any] = {}
        """Values wait for their checkpoint: clients expect it right before them."""
        self._opened: dict[tuple[str, ...], str] = {}
        self._texts: dict[str, tuple[str, list[str]]] = {}

    def config(self, config: RunnableConfig) -> RunnableConfig:
        """Return `config` with this producer as the place where the graph's chunks go."""
        extended = super().config(config)
        extended["callbacks"] = [
            StreamMessagesHandlerV2(cast("Any", self._receive), subgraphs=True),
            StreamToolCallHandler(cast("Any", self._receive), subgraphs=True),
        ]
        return extended

    def begin(self, run_id: str, graph_name: str, attempt: int) -> None:
        """Emit the first envelope of an attempt."""
        running = {"event": "running", "graph_name": graph_name, "run_id": run_id, "attempt": attempt}
        self._put("lifecycle", (), running)

    def finish(self) -> None:
        """Emit what is still held, and close what nobody closed."""
        for space in list(self._held):
            self._release(space)
        for space in list(self._opened):
            self._close(space, "completed")

    def _take(self, chunk: Chunk) -> None:
        space, mode, payload = chunk
        self._open(space)
        if mode == "values":
            self._release(space)
            self._held[space] = payload
            return
        if mode == "checkpoints":
            self._put("checkpoints", space, _slim_checkpoint(payload))
            self._release(space)
            return
        self._release(space)
        if mode == "messages":
            self._take_content(space, payload[0], payload[1])
        elif mode == "tasks":
            self._take_task(space, payload)
        elif mode == "updates":
            self._take_update(space, payload)
        elif mode == "custom":
            self._put("custom", space, payload if is_object(payload) and "name" in payload else {"payload": payload})
        else:
            self._put(mode, space, payload)

    def _take_update(self, space: tuple[str, ...], payload: dict[str, Any]) -> None:
        questions = payload.get("__interrupt__")
        if questions is None:
            self._put("updates", space, payload)
            return
        if not space:
            self.paused = True
            for question in questions:
                asked = {"interrupt_id": question.id, "payload": question.value}
                self.questions.append(("@input.requested", "", dumps(_params(space, asked))))

    def _take_content(self, space: tuple[str, ...], payload: object, metadata: Mapping[str, Any]) -> None:
        if isinstance(payload, BaseMessage):
            if isinstance(payload, ToolMessage) or not isinstance(payload, AIMessage):
                return
            for event in message_to_events(payload, message_id=payload.id):
                self._put("messages", space, event)
            return
        event = cast("dict[str, Any]", payload)
        if not space:
            self._note_text(str(metadata.get("run_id", metadata.get("checkpoint_ns", ""))), event, metadata)
        self._put("messages", space, event)

    def _note_text(self, call: str, event: dict[str, Any], metadata: Mapping[str, Any]) -> None:
        """Remember what is being said, in case it is cut off."""
        kind = event.get("event")
        if kind == "message-start":
            self._texts[call] = (str(event.get("id") or event.get("message_id") or ""), [])
        elif kind == "content-block-delta" and call in self._texts:
            message_id, parts = self._texts[call]
            parts.append(str(event.get("delta", {}).get("text", "")))
            self.partial[message_id] = (str(metadata.get("langgraph_node")), parts)
        elif kind == "message-finish" and call in self._texts:
            self.partial.pop(self._texts.pop(call)[0], None)

    def _take_task(self, space: tuple[str, ...], payload: dict[str, Any]) -> None:
        slim = {key: value for key, value in payload.items() if key not in ("input", "metadata")}
        self._put("tasks", space, slim)
        if "result" not in payload:
            return
        for child, task_id in list(self._opened.items()):
            if child[:-1] == space and task_id == payload["id"]:
                paused, error = payload.get("interrupts"), payload.get("error")
                self._release(child)
                self._close(child, "interrupted" if paused else "failed" if error else "completed")

    def _open(self, space: tuple[str, ...]) -> None:
        if not space or space in self._opened:
            return
        self._open(space[:-1])
        name, _, task_id = space[-1].partition(":")
        self._opened[space] = task_id
        started = {"event": "started", "namespace": list(space), "graph_name": name, "trigger_call_id": task_id}
        self._put("lifecycle", space, started)

    def _close(self, space: tuple[str, ...], event: str) -> None:
        del self._opened[space]
        self._put("lifecycle", space, {"event": event, "graph_name": space[-1].partition(":")[0]})

    def _release(self, space: tuple[str, ...]) -> None:
        if space in self._held:
            values = self._held.pop(space)
            if is_object(values):
                values = {key: _slim(value) for key, value in values.items() if key != "__interrupt__"}
            self._put("values", space, values)

    def _put(self, method: str, space: tuple[str, ...], data: object) -> None:
        self._emit(f"@{method}", "|".join(space), dumps(_params(space, data)))


def _params(space: tuple[str, ...], data: object) -> dict[str, object]:
    return {"namespace": space, "timestamp": time.time_ns() // 1_000_000, "data": data}


def _slim(value: object) -> object:
    """Messages as v2 clients expect them: without the fields that say nothing."""
    if isinstance(value, BaseMessage):
        kept = {key: field for key, field in value.__dict__.items() if field not in (None, {}, [], "")}
        return {"type": value.type, "content": value.content, **kept}
    if is_list(value):
        return [_slim(item) for item in value]
    return value


def _slim_checkpoint(payload: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = payload.get("metadata") or {}
    parent: dict[str, Any] = payload.get("parent_config") or {}
    slim: dict[str, Any] = {
        "id": payload["config"]["configurable"]["checkpoint_id"],
        "parent_id": parent.get("configurable", {}).get("checkpoint_id"),
        "step": metadata.get("step"),
        "source": metadata.get("source"),
    }
    return {key: value for key, value in slim.items() if value is not None}
