"""Runs, commands and what can be heard of them, as LangGraph's protocol has them in both its versions."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel

from api.schemas.common import Shown
from api.schemas.wire import Asked, Checkpoint, Free, Limit, Offset, like

StreamMode = Literal[
    "values", "updates", "messages", "messages-tuple", "custom", "tasks", "checkpoints", "debug", "events"
]
RunStatus = Literal["pending", "running", "success", "error", "timeout", "interrupted"]
Channel = Annotated[
    str, Field(pattern=r"^(values|updates|messages|tools|lifecycle|input|checkpoints|tasks|custom(:.+)?)$")
]


class RunCommand(Asked):
    """What to do instead of, or beside, taking an input."""

    resume: Any = None
    """The answer to an open question, or an object of answers by question id."""
    update: Free | list[Annotated[list[Any], Field(min_length=2, max_length=2)]] | None = None
    goto: str | Free | list[str | Free] | None = None


class RunConfig(Asked):
    """LangGraph's config, as far as a client may set it."""

    recursion_limit: Annotated[int, Field(ge=1, le=200)] | None = None
    tags: list[str] | None = None
    configurable: Free | None = None
    """Only checkpoint_id, checkpoint_ns, course_id and locale count."""
    metadata: Free | None = None


class RunCreate(Asked):
    """A run: which graph, with which input, and how to stream it."""

    model_config = like(
        assistant_id="goal_planning",
        input={"objective": "Learn to bake bread"},
        stream_mode=["values", "messages-tuple"],
    )

    assistant_id: str
    """A graph's name, or its assistant's id."""
    input: Any = None
    command: RunCommand | None = None
    config: RunConfig | None = None
    context: Free | None = None
    """Only course_id and locale count; who is asking comes from the token."""
    metadata: Free | None = None
    stream_mode: StreamMode | list[StreamMode] | None = None
    stream_subgraphs: bool | None = None
    interrupt_before: Literal["*"] | list[str] | None = None
    interrupt_after: Literal["*"] | list[str] | None = None
    checkpoint: Checkpoint | None = None
    checkpoint_id: str | None = None
    multitask_strategy: Literal["enqueue", "reject", "interrupt", "rollback"] | None = None
    """What happens when the thread is busy; enqueue unless told otherwise."""
    on_disconnect: Literal["continue", "cancel"] | None = None
    on_completion: Literal["delete", "keep"] | None = None
    """Of a run without a thread."""
    if_not_exists: Literal["reject", "create"] | None = None
    """What happens when there is no such thread."""
    after_seconds: Annotated[float, Field(ge=0, le=2_592_000)] | None = None


class RunBatch(RootModel[Annotated[list[RunCreate], Field(max_length=100)]]):
    """Several runs, each without a thread."""

    model_config = ConfigDict(json_schema_extra={"examples": [[{"assistant_id": "goal_planning", "input": {}}]]})


class RunsCancel(Asked):
    """Which runs: those named, those of a thread, or all of the caller's that have this status."""

    model_config = like(thread_id="0197a5a2-7c00-7abc-8000-1234567890ab")

    run_ids: list[UUID] | None = None
    thread_id: UUID | None = None
    status: Literal["pending", "running", "all"] | None = None


class Run(Shown):
    """One execution of a graph on a thread."""

    run_id: str
    thread_id: str
    assistant_id: str
    metadata: Free
    status: RunStatus
    kwargs: Free
    multitask_strategy: str
    created_at: str
    updated_at: str


class RunsQuery(BaseModel):
    """Which runs of a thread."""

    status: RunStatus | None = None
    limit: Limit | None = None
    offset: Offset | None = None
    select: Annotated[list[str] | None, Field(description="Return only these members of each run.")] = None


class JoinQuery(BaseModel):
    """How to wait."""

    cancel_on_disconnect: Annotated[bool | None, Field(description="1 stops the run when this client leaves.")] = None


class RejoinQuery(JoinQuery):
    """What to hear of a run."""

    stream_mode: list[StreamMode] | None = None


class CancelManyQuery(BaseModel):
    """How to stop runs."""

    action: Annotated[
        Literal["interrupt", "rollback"] | None, Field(description="rollback also forgets what the run did.")
    ] = None


class CancelQuery(CancelManyQuery):
    """How to stop a run."""

    wait: Annotated[bool | None, Field(description="1 answers once the run has ended.")] = None


class RunStartParams(Asked):
    """Which graph to run, with what."""

    assistant_id: str
    input: Any = None
    config: RunConfig | None = None
    metadata: Free | None = None
    multitask_strategy: Annotated[str | None, Field(alias="multitaskStrategy")] = None


class InputRespondParams(Asked):
    """The answer to one question, or to several in `responses`."""

    interrupt_id: str | None = None
    response: Any = None
    responses: list[Free] | None = None


class RunStart(Asked):
    """Start a run. On a thread that waits for an answer, an input is that answer."""

    id: int
    method: Literal["run.start"]
    params: RunStartParams


class InputRespond(Asked):
    """Answer what a run has asked."""

    id: int
    method: Literal["input.respond"]
    params: InputRespondParams


class Command(RootModel[RunStart | InputRespond]):
    """A command of the second protocol."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 1,
                    "method": "run.start",
                    "params": {"assistant_id": "goal_planning", "input": {"objective": "Learn to bake bread"}},
                }
            ]
        }
    )


class CommandDone(Shown):
    """The command was carried out."""

    type: Literal["success"]
    id: int
    result: Free
    meta: Free


class CommandFailed(Shown):
    """It was not; `error` is for programs, `message` for people."""

    type: Literal["error"]
    id: int
    error: str
    message: str


class EventFilter(Asked):
    """What to hear of a thread, and from where."""

    model_config = like(channels=["lifecycle", "messages", "values"], since=0)

    channels: Annotated[list[Channel], Field(min_length=1)]
    namespaces: list[list[str]] | None = None
    """Only what nested graphs under these paths say."""
    depth: Annotated[int, Field(ge=0)] | None = None
    """How far below such a path."""
    since: Annotated[int, Field(ge=0)] | None = None
    """The `seq` of the last event you have."""


class EnvelopeParams(Shown):
    """Who says it, when, and what."""

    namespace: list[str]
    """The path of the nested graph; empty for the outermost."""
    timestamp: int
    """Milliseconds since 1970."""
    data: Any


class Envelope(Shown):
    """One event of a thread. `seq` is its place in the thread's log, the same on every connection."""

    type: Literal["event"]
    event_id: str
    seq: int
    method: str
    """Its channel; `input.requested` on the channel input."""
    params: EnvelopeParams
