"""Plays one case through a compiled graph, as the service would run it: one saver, durable steps, a scripted person."""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid5

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from evals import observe, reading, searching
from evals.databases import Urls
from evals.labels import NOW, Clock, id_of, labels_of, resolved
from evals.runs import Checked, Outcome, Pause, Run, Spent
from evals.samples import Answer, Sample, World
from evals.worlds import people_of, principal_of
from graphs import GRAPHS
from graphs.context import LearnerContext
from graphs.deps import Deps, Door, Models
from graphs.saver import checkpointer
from store.database import Database
from store.principal import Principal
from store.vectors import Embedder

MOST_QUESTIONS = 12
"""A graph that asks more often than this would ask for ever."""

Compiled = CompiledStateGraph[Any, LearnerContext, Any, Any]


@dataclass(slots=True)
class Trail:
    """What is seen while a graph runs."""

    nodes: list[str] = field(default_factory=list[str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    pauses: list[Pause] = field(default_factory=list[Pause])
    results: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    messages: list[Any] = field(default_factory=list[Any])
    spent: Spent = field(default_factory=Spent)
    checked: list[Checked] = field(default_factory=list[Checked])
    outcome: Outcome = Outcome.FINISHED
    error: str = ""
    usable: bool | None = None


@dataclass(slots=True)
class Scene:
    """One case on its own database: everything needed to start, watch and judge its graph."""

    sample: Sample
    world: World
    urls: Urls
    models: Models
    model_name: str
    embedder: Embedder
    folder: Path
    trial: int
    database: Database
    clock: Clock

    @property
    def caller(self) -> Principal:
        return principal_of(self.world, self.sample.who)

    @property
    def context(self) -> LearnerContext:
        wishes = self.sample.context
        return LearnerContext(
            user_id=self.sample.who,
            role=people_of(self.world)[self.sample.who].value,
            course_id=wishes.get("course_id"),
            locale=self.sample.locale,
            now=NOW,
            hint_policy=wishes.get("hint_policy", "ladder"),
        )

    def thread(self, number: int = 0) -> str:
        """Return the thread of the case's n-th input; the same in every run, so that minted ids are the same too."""
        return str(uuid5(id_of(self.sample.id), f"{self.trial}/{number}"))

    def config(self, number: int = 0) -> RunnableConfig:
        return {"configurable": {"thread_id": self.thread(number)}, "recursion_limit": 80}

    def graph(self, *, door: Door | None = None, saver: Callable[[], Any] | None = None) -> Compiled:
        """Compile the graph of the case over this scene's database."""
        deps = Deps(door or self.database, self.models, self.embedder, clock=self.clock)
        chosen = saver() if saver else checkpointer(self.database, self.caller)
        return cast(Compiled, GRAPHS[self.sample.graph](deps).compile(checkpointer=chosen))


async def perform(scene: Scene) -> Run:
    """Play the case and return what it left behind. What goes wrong in the harness itself ends as INFRA."""
    labels = labels_of(scene.world)
    before = await observe.all_rows(scene.urls)
    places = observe.Places(scene.urls, scene.folder / "lake")
    if scene.sample.fault is not None and scene.sample.fault.kind == "broker_down":
        places.broker.away = 3
    await places.begin()
    trail = Trail()
    started = time.perf_counter()
    hits = await searching.search(scene) if scene.sample.graph == "search" else None
    if scene.sample.graph != "search":
        await act(scene, trail)
    seconds = time.perf_counter() - started
    return await finish(scene, trail, reading.Before(before, places, labels), seconds, hits)


async def finish(
    scene: Scene, trail: Trail, before: reading.Before, seconds: float, hits: Sequence[Any] | None = None
) -> Run:
    """Look at the world after the run and put everything together."""
    log, sinks = await before.places.end()
    after = await observe.all_rows(scene.urls)
    ledger = await observe.effects(scene.urls)
    seen = reading.Seen(before.rows, after, before.labels, ledger, trail.results, trail.messages)
    return Run(
        sample=scene.sample.id,
        trial=scene.trial,
        model=scene.model_name,
        outcome=trail.outcome,
        error=trail.error,
        nodes=tuple(trail.nodes),
        said=reading.said(seen),
        calls=reading.calls(seen),
        pauses=tuple(trail.pauses),
        rows=reading.rows(seen),
        changes=observe.changes(before.rows, after, before.labels),
        events=log,
        sinks=sinks,
        plan=reading.plan(seen) if scene.sample.graph == "goal_planning" else None,
        checked=tuple(trail.checked),
        hits=tuple(hits) if hits is not None else None,
        suggested=reading.suggested(seen),
        blocked=reading.blocked(seen),
        spent=trail.spent.model_copy(update={"seconds": round(seconds, 4), "node_seconds": trail.seconds}),
        usable=trail.usable,
    )


async def act(scene: Scene, trail: Trail) -> None:
    """Run the graph on every input of the case, each on a thread of its own."""
    for number, given in enumerate([scene.sample.input, *scene.sample.repeat]):
        graph, config = scene.graph(), scene.config(number)
        try:
            await converse(scene, graph, config, resolved(given), trail)
        except Exception as error:  # noqa: BLE001 - whatever a graph raises is a result of the evaluation
            trail.outcome = Outcome.CRASHED
            trail.error = "".join(traceback.format_exception(error)[-3:])[-1500:]
            return
        await remember(scene, graph, config, given, trail)


async def converse(scene: Scene, graph: Compiled, config: RunnableConfig, given: Any, trail: Trail) -> None:  # noqa: ANN401
    """Run until the graph ends, answering its questions from the script."""
    answers = list(scene.sample.script)
    wanted: Any = given
    for _ in range(MOST_QUESTIONS):
        questions = await watch(graph, config, wanted, scene.context, trail)
        if not questions:
            return
        resume: dict[str, Any] = {}
        for identifier, request in questions:
            decisions = decide(request, answers, trail)
            if decisions is None:
                trail.outcome = Outcome.PAUSED
                trail.error = f"nobody answers {[action['name'] for action in request['action_requests']]}"
                return
            resume[identifier] = {"decisions": decisions}
        wanted = Command(resume=resume)
    trail.outcome, trail.error = Outcome.PAUSED, "it asks without end"


async def watch(
    graph: Compiled,
    config: RunnableConfig,
    given: Any,  # noqa: ANN401
    context: LearnerContext,
    trail: Trail,
) -> list[tuple[str, dict[str, Any]]]:
    """Run until the end or a question; return the questions by their id."""
    questions: list[tuple[str, dict[str, Any]]] = []
    last = time.perf_counter()
    async for chunk in graph.astream(given, config, context=context, stream_mode="updates", durability="sync"):
        now = time.perf_counter()
        for node in cast("Mapping[str, Any]", chunk):
            if node == "__interrupt__":
                questions += [(each.id, each.value) for each in cast("Sequence[Any]", chunk[node])]
            else:
                trail.nodes.append(node)
                trail.seconds[node] = round(trail.seconds.get(node, 0.0) + now - last, 4)
        last = now
    return questions


def decide(request: Mapping[str, Any], answers: list[Answer], trail: Trail) -> list[dict[str, Any]] | None:
    """Answer every action of a request with the first fitting line of the script, which is then used up."""
    decisions: list[dict[str, Any]] = []
    for action in request["action_requests"]:
        answer = next((each for each in answers if each.on in ("*", action["name"])), None)
        trail.pauses.append(Pause(action=action["name"], args=action["args"], decision=answer.decide if answer else ""))
        if answer is None:
            return None
        answers.remove(answer)
        decisions.append(_decision(answer, action))
    return decisions


def _decision(answer: Answer, action: Mapping[str, Any]) -> dict[str, Any]:
    match answer.decide:
        case "edit":
            args = reading.with_edits(action["args"], answer.edit)
            return {"type": "edit", "edited_action": {"name": action["name"], "args": args}}
        case "reject" | "respond":
            return {"type": answer.decide, "message": answer.message}
        case _:
            return {"type": "approve"}


async def remember(
    scene: Scene, graph: Compiled, config: RunnableConfig, given: Mapping[str, Any], trail: Trail
) -> None:
    """Keep what the finished thread holds, and the validation it led to if it was one."""
    state = cast("dict[str, Any]", (await graph.aget_state(config)).values)
    result = cast("dict[str, Any]", state.get("result") or {})
    trail.results.append(result)
    trail.messages += state.get("messages") or []
    trail.spent = reading.added(trail.spent, state.get("spent") or {})
    # A validation that failed the code has not failed itself.
    unhappy = "error" if scene.sample.graph == "code_validation" else "failed"
    if result.get("status") == unhappy and trail.outcome is Outcome.FINISHED:
        trail.outcome, trail.error = Outcome.FAILED, str(result.get("message", ""))
    snapshot = given.get("snapshot_id")
    if isinstance(snapshot, str):
        rows = await observe.all_rows(scene.urls)
        row = rows.get(("code_snapshots", str(resolved(snapshot))))
        if row is not None and row["validation_status"] != "pending":
            trail.checked.append(reading.checked(snapshot.removeprefix("@"), row, result))
