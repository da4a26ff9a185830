"""Threads and their states, as LangGraph's protocol has them."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas.common import Shown
from api.schemas.wire import Asked, Checkpoint, Free, Limit, Offset, Question, like


class ThreadCreate(Asked):
    """A new thread."""

    model_config = like(metadata={"topic": "rust"}, graph_id="goal_planning")

    thread_id: UUID | None = None
    metadata: Free | None = None
    graph_id: str | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None


class ThreadCount(Asked):
    """Which threads."""

    model_config = like(metadata={"graph_id": "goal_planning"}, status="interrupted")

    ids: list[UUID] | None = None
    metadata: Free | None = None
    """Members the thread's metadata must have."""
    status: Literal["idle", "busy", "interrupted", "error"] | None = None


class ThreadSearch(ThreadCount):
    """Which threads, in which order, and how much of them."""

    model_config = like(metadata={"graph_id": "goal_planning"}, limit=10, select=["thread_id", "status"])

    limit: Limit | None = None
    offset: Offset | None = None
    sort_by: Literal["thread_id", "status", "created_at", "updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: list[str] | None = None
    """Return only these members of each thread."""


class ThreadPatch(Asked):
    """What to merge into a thread."""

    model_config = like(metadata={"topic": "go"})

    metadata: Free | None = None


class ThreadsPrune(Asked):
    """Which threads to forget, and how much of them."""

    model_config = like(thread_ids=["0197a5a2-7c00-7abc-8000-1234567890ab"], strategy="keep_latest")

    thread_ids: Annotated[list[UUID], Field(max_length=1000)]
    strategy: Literal["delete", "keep_latest"] | None = None
    """All of them, or all but the latest state."""


class ThreadsPruned(Shown):
    """How many were."""

    pruned_count: int


class Thread(Shown):
    """A conversation with a graph."""

    thread_id: str
    created_at: str
    updated_at: str
    state_updated_at: str
    metadata: Free
    status: Literal["idle", "busy", "interrupted", "error"]
    config: Free
    values: Any
    """The latest state; null before the first run."""
    interrupts: dict[str, list[Question]]
    """Open questions by task."""
    error: Any


class ThreadTask(Shown):
    """A step that is next, or failed."""

    id: str
    name: str
    path: list[Any]
    error: str | None
    interrupts: list[Question]
    checkpoint: Checkpoint | None
    state: Any
    result: Any


class ThreadState(Shown):
    """The state of a thread at one checkpoint."""

    values: Any
    next: list[str]
    tasks: list[ThreadTask]
    metadata: Free | None
    created_at: str | None
    checkpoint: Checkpoint | None
    parent_checkpoint: Checkpoint | None
    interrupts: list[Question]
    checkpoint_id: str | None
    parent_checkpoint_id: str | None


class StateUpdate(Asked):
    """A change of the state, as if a node had made it."""

    model_config = like(values={"topic": "go"}, as_node="propose")

    values: Any = None
    as_node: str | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_id: str | None = None


class StateUpdated(Shown):
    """Where the change is."""

    checkpoint: Checkpoint | None
    configurable: Checkpoint | None
    checkpoint_id: str | None


class StateAt(Asked):
    """Which checkpoint; without an id the latest of its namespace."""

    model_config = like(checkpoint={"checkpoint_ns": "", "checkpoint_id": None})

    checkpoint: Checkpoint | None = None
    checkpoint_id: str | None = None
    subgraphs: bool | None = None


class HistorySearch(Asked):
    """Which past states."""

    model_config = like(limit=10)

    limit: Limit | None = None
    before: Checkpoint | str | None = None
    metadata: Free | None = None
    checkpoint: Checkpoint | None = None


class StateQuery(BaseModel):
    """How much of a state."""

    subgraphs: Annotated[bool | None, Field(description="With the states of nested graphs.")] = None
    select: Annotated[list[str] | None, Field(description="Dotted paths, such as values.messages.")] = None
    checkpoint_ns: Annotated[str | None, Field(description="Of a nested graph.")] = None


class LatestStateQuery(StateQuery):
    """How much of which state."""

    checkpoint_id: Annotated[str | None, Field(description="Instead of the latest.")] = None


class HistoryQuery(BaseModel):
    """Which past states."""

    limit: Limit | None = None
    before: Annotated[str | None, Field(description="A checkpoint's id.")] = None


class WatchQuery(BaseModel):
    """What to hear of a thread."""

    stream_modes: Annotated[
        list[Literal["run_modes", "lifecycle", "state_update"]] | None,
        Field(description="Also as `stream_mode`; run_modes unless told otherwise."),
    ] = None
