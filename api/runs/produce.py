"""Drives one graph and turns everything it emits into frames, in the order of emission.

LangGraph hands a nested graph its parent's stream through the config. We take that place for the root graph, so each
chunk arrives in the moment it is emitted: no queue, no generator, no waiter task per chunk, one order for all modes.
The key is internal; the golden tests hold it to the pinned version.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

import orjson
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.pregel._messages import Meta, StreamMessagesHandler
from langgraph.pregel.protocol import StreamProtocol
from langgraph.runtime import Runtime
from langgraph.types import StreamMode

from api.runs.registry import Compiled
from api.runs.wire import dumps, is_object

Emit = Callable[[str, str, str], object]
"""(event, namespace, JSON text)"""
Chunk = tuple[tuple[str, ...], str, Any]

_GRAPH_MODES: frozenset[str] = frozenset({"values", "updates", "custom", "tasks", "checkpoints", "debug"})
STREAM_MODES: frozenset[str] = _GRAPH_MODES | {"messages", "messages-tuple", "events"}


class Producer:
    """Receives the chunks of one run (in any thread) and emits frames (in the loop)."""

    def __init__(self, modes: frozenset[str], *, subgraphs: bool, emit: Emit) -> None:
        self._loop = asyncio.get_running_loop()
        self._home = threading.get_ident()
        self._modes = modes
        self._emit = emit
        self._subgraphs = subgraphs
        self._metadata: dict[int, tuple[Mapping[str, Any], orjson.Fragment]] = {}
        self._messages: dict[str, BaseMessage] = {}
        self.partial: dict[str, tuple[str, list[str]]] = {}
        """What is being said at the root: message id -> (node, pieces of text), until the message is finished."""
        self.questions: list[tuple[str, str, str]] = []
        """Frames that ask something. They become visible with the commit that lets them be answered, not before."""

    def config(self, config: RunnableConfig) -> RunnableConfig:
        """Return `config` with this producer as the place where the graph's chunks go."""
        modes = cast("set[StreamMode]", {"updates"} | (self._modes & _GRAPH_MODES))
        extended: RunnableConfig = {**config}
        extended["configurable"] = {
            **config.get("configurable", {}),
            "__pregel_stream": StreamProtocol(cast("Any", self._receive), modes),
            "__pregel_runtime": Runtime(stream_writer=self._write_custom),
        }
        if self._modes & {"messages", "messages-tuple"}:
            extended["callbacks"] = [_Tokens(self._receive, subgraphs=self._subgraphs)]
        return extended

    async def drive(self, graph: Compiled, graph_input: object, config: RunnableConfig, **options: object) -> None:
        """Run the graph to its end, its next question, or its failure."""
        if "events" in self._modes:
            async for event in graph.astream_events(
                graph_input, self.config(config), version="v2", stream_mode=[], **options
            ):
                self._emit("events", "", dumps(event))
            return
        async for _ in graph.astream(graph_input, self.config(config), stream_mode=[], **cast("Any", options)):
            pass

    paused = False
    """The root graph stopped to ask something."""

    def begin(self, run_id: str, graph_name: str, attempt: int) -> None:  # noqa: ARG002 - v2 shows the name
        """Emit the first frame of an attempt."""
        self._emit("metadata", "", dumps({"run_id": run_id, "attempt": attempt}))

    def finish(self) -> None:
        """Emit what is still held back, once the graph has stopped."""

    def _write_custom(self, payload: object) -> None:
        if "custom" in self._modes:
            namespace = get_config().get("configurable", {})["checkpoint_ns"].split("|")[:-1]
            self._receive((tuple(namespace), "custom", payload))

    def _receive(self, chunk: Chunk) -> None:
        if threading.get_ident() == self._home:
            self._take(chunk)
        else:
            self._loop.call_soon_threadsafe(self._take, chunk)

    def _take(self, chunk: Chunk) -> None:
        space, mode, payload = chunk
        if mode == "messages":
            self._take_message("|".join(space), *payload)
            return
        asks = not space and mode in ("updates", "values") and is_object(payload) and "__interrupt__" in payload
        if asks and mode == "updates":
            self.paused = True
        if mode not in self._modes:
            return
        if mode == "debug" and payload["type"] == "checkpoint":
            payload = {**payload, "payload": _with_checkpoints(payload["payload"])}
        if asks:
            self.questions.append((mode, "", dumps(payload)))
        else:
            self._emit(mode, "|".join(space), dumps(payload))

    def _take_message(self, space: str, message: BaseMessage, metadata: Mapping[str, Any]) -> None:
        message_id = message.id or ""
        if not space:
            self._note_partial(message_id, message, str(metadata.get("langgraph_node")))
        if isinstance(message, AIMessageChunk) and _is_phantom(message) and message_id not in self._messages:
            return
        if "messages-tuple" in self._modes:
            self._emit("messages", space, dumps((message, self._fragment(metadata))))
        known = self._messages.get(message_id)
        if "messages" in self._modes:  # the older form: whole messages so far, their names without a namespace
            if known is None:
                self._emit("messages/metadata", "", dumps({message_id: {"metadata": self._fragment(metadata)}}))
            if isinstance(message, AIMessageChunk):
                message = known + message if isinstance(known, AIMessageChunk) else message
                self._emit("messages/partial", "", dumps([message_chunk_to_message(message)]))
            else:
                self._emit("messages/complete", "", dumps([message]))
        if known is None or "messages" in self._modes:
            self._messages[message_id] = message

    def _note_partial(self, message_id: str, message: BaseMessage, node: str) -> None:
        if isinstance(message, AIMessageChunk):
            self.partial.setdefault(message_id, (node, []))[1].append(message.text)
        elif isinstance(message, AIMessage):
            self.partial.pop(message_id, None)

    def _fragment(self, metadata: Mapping[str, Any]) -> orjson.Fragment:
        # All chunks of one model call share one metadata object; keeping it also keeps its id from being reused.
        found = self._metadata.get(id(metadata))
        if found is None or found[0] is not metadata:
            found = (metadata, orjson.Fragment(dumps(metadata)))
            self._metadata[id(metadata)] = found
        return found[1]


class _Tokens(StreamMessagesHandler):
    """Taps tokens at the model's callback; namespaces are filtered here, as the parent class would with its queue."""

    def __init__(self, stream: Callable[[Chunk], None], *, subgraphs: bool) -> None:
        # The root graph drops handlers without `subgraphs` that come from outside, taking them for a caller's.
        super().__init__(cast("Any", stream), subgraphs=True)
        self._roots_only = not subgraphs

    def _emit(self, meta: Meta, message: BaseMessage, *, dedupe: bool = False) -> None:
        if self._roots_only and meta[0]:
            return
        super()._emit(meta, message, dedupe=dedupe)


def _with_checkpoints(payload: dict[str, Any]) -> dict[str, Any]:
    """Add the checkpoint and its parent in the form in which Studio reads them."""

    def named(config: dict[str, Any] | None) -> dict[str, Any] | None:
        known: dict[str, Any] = (config or {}).get("configurable", {})
        keys = ("thread_id", "checkpoint_ns", "checkpoint_id")
        return {key: known[key] for key in keys if key in known} if config else None

    def of_task(task: dict[str, Any]) -> dict[str, Any]:
        if not task.get("state"):
            return task
        return {**{key: task[key] for key in task if key != "state"}, "checkpoint": named(task["state"])}

    return {
        **payload,
        "tasks": [of_task(task) for task in payload["tasks"]],
        "checkpoint": named(payload["config"]),
        "parent_checkpoint": named(payload.get("parent_config")),
    }


def _is_phantom(message: AIMessageChunk) -> bool:
    """A model that sets its own ids ends with an empty chunk under another one; clients would show an empty message."""
    return not message.content and not message.tool_call_chunks and message.chunk_position == "last"
