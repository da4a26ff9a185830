"""What a case of a dataset is: a world, a request, a scripted person, and what has to come of it."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Refuses misspelt fields: a typo in a case must not become an expectation nobody checks."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Suite(StrEnum):
    """One file of cases each."""

    GOAL = "goal"
    CODE = "code"
    SUGGEST = "suggest"
    RAG = "rag"
    CRASH = "crash"


GRAPH_OF = {Suite.GOAL: "goal_planning", Suite.CODE: "code_validation", Suite.SUGGEST: "task_suggestion"}

Bounds = tuple[float, float]
"""At least and at most."""


class TaskSeed(Strict):
    """A task that exists before the run; times are days from the frozen now."""

    key: str
    title: str
    type: str = "practice"
    status: str = "pending"
    priority: str = "medium"
    minutes: int | None = None
    skills: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ()
    due: float | None = None
    completed: float | None = None
    description: str = ""


class GoalSeed(Strict):
    """A goal that exists before the run."""

    key: str
    title: str
    owner: str = "ada"
    course: str | None = None
    description: str = ""
    type: str = "learning"
    status: str = "pending"
    priority: str = "medium"
    visibility: Literal["private", "course", "global"] | None = None
    due: float | None = None
    tasks: tuple[TaskSeed, ...] = ()


class CourseSeed(Strict):
    """A published course and who is in it."""

    id: str
    title: str
    documentation: str = ""
    owner: str = "ines"
    members: tuple[str, ...] = ()
    language: str = "en"
    visibility: Literal["private", "course", "global"] = "global"
    published: bool = True


class SnapshotSeed(Strict):
    """Code that was handed in before the run."""

    key: str
    task: str
    path: str
    content: str
    verdict: Literal["passed", "failed"] | None = None
    score: float | None = None


class MasterySeed(Strict):
    """What somebody has shown about a skill; `due` is when its review falls due, in days from now."""

    skill: str
    owner: str = "ada"
    successes: float = 0
    failures: float = 0
    due: float = 1
    last: float = -1


class FeedbackSeed(Strict):
    """A suggestion somebody turned down or put off."""

    task: str
    decision: Literal["accepted", "rejected", "snoozed"]
    days: float = -0.5
    until: float | None = None


class World(Strict):
    """Everything that exists before the run."""

    base: str | None = None
    """Name of a world in worlds.json that this one adds to."""
    people: dict[str, str] = {}
    """Role of everybody besides ada and bob (learners) and ines (instructor)."""
    courses: tuple[CourseSeed, ...] = ()
    goals: tuple[GoalSeed, ...] = ()
    snapshots: tuple[SnapshotSeed, ...] = ()
    mastery: tuple[MasterySeed, ...] = ()
    feedback: tuple[FeedbackSeed, ...] = ()


class Answer(Strict):
    """What the scripted person says to an interrupt."""

    on: str = "*"
    """Name of the action asked about; `*` for any."""
    decide: Literal["approve", "edit", "reject", "respond"] = "approve"
    message: str = ""
    edit: dict[str, Any] = {}
    """Values to put into the arguments, by dotted path."""


class RowExpectation(Strict):
    """Rows that have to appear, change or go. Values are literals, or predicates such as {"~": "regex"}."""

    table: str
    op: Literal["insert", "update", "delete"] = "insert"
    label: str | None = None
    where: dict[str, Any] = {}
    count: Bounds = (1, 1)


class CallExpectation(Strict):
    """A tool call that has to happen."""

    name: str
    args: dict[str, Any] = {}


class Trajectory(Strict):
    """What the run had to do on its way, and what it must never do."""

    nodes: tuple[str, ...] = ()
    """Nodes that have to run, in this order; others may come between."""
    calls: tuple[CallExpectation, ...] = ()
    order: tuple[tuple[str, str], ...] = ()
    forbidden: tuple[str, ...] = ()
    """Names of tools or nodes that must not run."""
    pauses: int | None = None


class PlanExpectation(Strict):
    """What the committed plan has to be, besides whole and sound."""

    tasks: Bounds = (2, 12)
    skills: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    """Regular expressions; each has to be found in the title, description or criteria of a task."""
    avoid: tuple[str, ...] = ()
    minutes_a_week: float | None = None
    weeks: float | None = None
    assess: bool = True
    parallel: bool = False
    """True when the objective has independent parts, so that a serial chain is wrong."""


class Bug(Strict):
    """A defect planted in the code. Several categories or lines may name the same defect honestly."""

    line: int
    line_end: int | None = None
    categories: tuple[str, ...]
    severity: Literal["essential", "actionable", "informative"] = "actionable"
    snapshot: str = "v1"


class CodeExpectation(Strict):
    """What a validation has to say, by the key of the snapshot it judges."""

    bugs: tuple[Bug, ...] = ()
    verdict: dict[str, Literal["passed", "failed"]] = {}
    score: dict[str, Bounds] = {}
    worse_to_better: tuple[str, ...] = ()
    """Snapshots whose scores must never fall in this order, and must rise from first to last."""
    solution: str = ""
    """Reference solution; hints must not give it away."""
    hint_required: bool = False
    extra_allowed: int = 0
    """Findings besides the planted ones that are still fair."""


class SearchExpectation(Strict):
    """Which rows are the right ones, by label, and how right each is."""

    relevant: dict[str, float]
    k: int = 5
    min_recall: float = 1.0
    only: tuple[str, ...] = ()
    """If given, every hit has to be one of these."""


class SuggestionExpectation(Strict):
    """What may be suggested first, what never, and what before what."""

    first: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    order: tuple[tuple[str, str], ...] = ()
    none_ready: bool = False
    blocked_by: tuple[str, ...] = ()


class SpokenExpectation(Strict):
    """What the learner reads: its language, facts that have to be in it, and words that must not."""

    language: Literal["en", "es"] | None = None
    mentions: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


class Limits(Strict):
    """What a run may cost."""

    model_calls: int = 16
    tool_calls: int = 40
    tokens: int = 200_000
    seconds: float = 60.0


class Expectation(Strict):
    """Everything a scorer may hold a run against; what is None is not judged."""

    rows: tuple[RowExpectation, ...] | None = None
    tolerated: tuple[str, ...] = ()
    """Tables that may change besides."""
    events: dict[str, Bounds] = {}
    trajectory: Trajectory | None = None
    plan: PlanExpectation | None = None
    reuse: str | None = None
    """Label of the goal that has to be used again instead of making another."""
    code: CodeExpectation | None = None
    search: SearchExpectation | None = None
    suggest: SuggestionExpectation | None = None
    spoken: SpokenExpectation | None = None
    canaries: tuple[str, ...] = ()
    """Texts of other people that must come out nowhere."""
    limits: Limits = Limits()


class Fault(Strict):
    """What goes wrong during the run."""

    kind: Literal[
        "kill_before_effect", "kill_before_commit", "kill_after_commit", "kill_before_checkpoint",
        "double_resume", "fork", "slow_saver", "broker_down", "new_message",
        "malformed", "unknown_tool", "forged_ids", "rate_limited", "timeout", "cut_off",
    ]  # fmt: skip
    at: int = 1
    """At which passage of the point."""


class Gold(Strict):
    """A reference outcome, played against the real store by the self-test; it has to score 1.0."""

    plan: str | None = None
    """Topic of a standard four-step plan."""
    tasks: tuple[dict[str, Any], ...] = ()
    goal: dict[str, Any] = {}
    say: str = ""
    hits: tuple[str, ...] = ()
    suggest: tuple[str, ...] = ()
    blocked_by: tuple[str, ...] = ()
    scores: dict[str, float] = {}
    hint: str = ""
    deed: dict[str, Any] = {}
    """Changes of existing rows: label -> {column: value}."""


class Sample(Strict):
    """One case."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    suite: Suite
    proves: Annotated[str, Field(min_length=20)]
    """One line: what a pass of this case shows."""
    graph: Literal["goal_planning", "code_validation", "task_suggestion", "search"]
    locale: Literal["en", "es"] = "en"
    tags: tuple[str, ...] = ()
    world: World = World()
    who: str = "ada"
    context: dict[str, Any] = {}
    input: dict[str, Any] = {}
    """Given to the graph; `@label` stands for the id of a seeded row, `+14d` for a date that many days on."""
    repeat: tuple[dict[str, Any], ...] = ()
    """Further inputs, each run on a thread of its own in the same world, after the first."""
    script: tuple[Answer, ...] = ()
    fault: Fault | None = None
    transport: Literal["direct", "http"] = "direct"
    expect: Expectation
    basis: tuple[str, ...]
    """The scorers that decide whether the case passes."""
    refusal: bool = False
    """True when doing nothing is right, so that an idle agent may pass."""
    gold: Gold = Gold()
