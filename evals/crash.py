"""Plays a case while its process dies, is doubled, forked or slowed at a named point, and looks at what is left."""

import asyncio
import logging
import multiprocessing
import os
import signal
import time
import traceback
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from evals import observe, reading
from evals.chaos import KINDS
from evals.databases import Urls
from evals.kits import Kit
from evals.labels import Clock, labels_of, resolved
from evals.play import Compiled, Scene, Trail, converse, finish, remember
from evals.runs import Outcome, Run
from evals.samples import Sample, World
from graphs.saver import checkpointer
from store import ledger
from store.database import Database, Transaction
from store.principal import Origin, Principal

SLOW_SECONDS = 0.15
PATIENCE = 60
FOLLOW_UP: dict[str, dict[str, Any]] = {
    "goal_planning": {"messages": [{"role": "user", "content": "list my goals"}]},
    "code_validation": {"snapshot_id": "@v1"},
    "task_suggestion": {"available_minutes": 30},
}
"""What is asked on the same thread afterwards: nothing that makes a new row."""


def is_process_fault(sample: Sample) -> bool:
    """Tell whether the case needs a process of its own to die in."""
    return sample.fault is not None and sample.fault.kind not in (*KINDS, "broker_down")


class Unreached(RuntimeError):
    """The run ended without ever coming to the point at which it was to be disturbed, so nothing was proved."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What a child process needs to play its part."""

    sample: Sample
    world: World
    urls: Urls
    model: str
    cassettes: Path
    folder: Path
    trial: int
    kind: str
    at: int


@dataclass(slots=True)
class Door:
    """The database, with a trap at its threshold. The n-th transaction that changes something springs it."""

    inner: Database
    kind: str
    at: int
    passed: int = 0
    changed: bool = False

    @asynccontextmanager
    async def transaction(self, principal: Principal, origin: Origin | None = None) -> AsyncGenerator[Transaction]:
        async with self.inner.transaction(principal, origin) as tx:
            yield tx
            writes = tx.events_recorded > 0
            self.passed += writes
            if writes and self.kind == "kill_before_commit" and self.passed == self.at:
                _die()
        if writes:
            self.changed = True
            if self.kind == "kill_after_commit" and self.passed == self.at:
                _die()


async def perform(scene: Scene) -> Run:
    """Play the case with its fault, resume what is left, ask once more, and return what came of it all."""
    fault = scene.sample.fault
    assert fault is not None
    labels = labels_of(scene.world)
    before = await observe.all_rows(scene.urls)
    places = observe.Places(scene.urls, scene.folder / "lake")
    await places.begin()
    trail = Trail()
    started = time.perf_counter()
    match fault.kind:
        case "fork":
            await _forked(scene, trail)
        case "double_resume":
            await _killed(scene, "kill_after_commit", fault.at)
            await asyncio.gather(_sent(scene, "resume", 0), _sent(scene, "resume", 0))
            await _resumed(scene, trail)
        case "new_message":
            await _killed(scene, "kill_after_commit", fault.at)
        case "slow_saver":
            await _killed(scene, "slow_saver", fault.at)
            await _resumed(scene, trail)
        case _:
            await _killed(scene, fault.kind, fault.at)
            await _resumed(scene, trail)
    await _asked_again(scene, trail)
    seconds = time.perf_counter() - started
    return await finish(scene, trail, reading.Before(before, places, labels), seconds)


async def _killed(scene: Scene, kind: str, at: int) -> None:
    """Play the case in a child that dies at the point; raises Unreached when it lives."""
    code = await _sent(scene, kind, at)
    if code != -signal.SIGKILL:
        raise Unreached(f"{kind} at {at}: the child ended with {code}")


async def _sent(scene: Scene, kind: str, at: int) -> int | None:
    errand = Errand(
        scene.sample, scene.world, scene.urls, scene.model_name, Path(), scene.folder, scene.trial, kind, at
    )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["evals.crash"])
    child = context.Process(target=run_errand, args=(errand,), daemon=True)
    await asyncio.to_thread(child.start)
    await asyncio.to_thread(child.join, PATIENCE)
    if child.exitcode is None:
        child.kill()
        child.join()
        raise Unreached(f"{kind} at {at}: the child was still running after {PATIENCE} s")
    return child.exitcode


async def _resumed(scene: Scene, trail: Trail) -> None:
    """Go on from the last checkpoint, as a worker that takes over does."""
    graph, config = scene.graph(), scene.config()
    try:
        await converse(scene, graph, config, None, trail)
        await remember(scene, graph, config, scene.sample.input, trail)
    except Exception as error:  # noqa: BLE001 - whatever a graph raises is a result of the evaluation
        trail.outcome = Outcome.CRASHED
        trail.error = "".join(traceback.format_exception(error)[-3:])[-1500:]


async def _forked(scene: Scene, trail: Trail) -> None:
    """Finish the run, then play its last steps again from a checkpoint of the past."""
    graph, config = scene.graph(), scene.config()
    await converse(scene, graph, config, resolved(scene.sample.input), trail)
    await remember(scene, graph, config, scene.sample.input, trail)
    writers = {"commit", "act", "finish"}
    past = [state async for state in graph.aget_state_history(config) if writers & set(state.next)]
    if not past:
        raise Unreached("fork: no checkpoint lies before a writing step")
    await converse(scene, graph, past[0].config, None, trail)


async def _asked_again(scene: Scene, trail: Trail) -> None:
    """Use the thread once more; what it answers is kept, and nobody may get an error."""
    graph, config = scene.graph(), scene.config()
    follow = FOLLOW_UP[scene.sample.graph]
    probe = Trail()
    try:
        await converse(scene, graph, config, resolved(follow), probe)
    except Exception as error:  # noqa: BLE001 - an unusable thread is what this looks for
        trail.usable = False
        trail.error = trail.error or f"asked again: {error!r}"[:500]
        return
    trail.usable = probe.outcome is Outcome.FINISHED
    if trail.messages:
        return
    await remember(scene, graph, config, follow, trail)


def run_errand(errand: Errand) -> None:
    """Body of the child process."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    asyncio.run(_errand(errand))


async def _errand(errand: Errand) -> None:
    clock = Clock()
    kit = Kit(errand.model, errand.cassettes)
    async with kit.open(errand.sample, errand.trial) as models, Database(errand.urls.login, now=clock) as database:
        scene = Scene(
            sample=errand.sample,
            world=errand.world,
            urls=errand.urls,
            models=models,
            model_name=errand.model,
            embedder=kit.embedder,
            folder=errand.folder,
            trial=errand.trial,
            database=database,
            clock=clock,
        )
        await converse(scene, *_armed(scene, errand), Trail())


def _armed(scene: Scene, errand: Errand) -> tuple[Compiled, Any, Any]:
    """Return graph, config and input of the child, with the trap set."""
    if errand.kind == "resume":
        return scene.graph(), scene.config(), None
    kind = "kill_after_commit" if errand.kind == "slow_saver" else errand.kind
    door = Door(scene.database, kind, errand.at)
    if kind == "kill_before_effect":
        _trap_ledger(errand.at)
    saver: Callable[[], Any] = partial(_saver, scene, door, slow=errand.kind == "slow_saver")
    return scene.graph(door=door, saver=saver), scene.config(), resolved(errand.sample.input)


def _trap_ledger(at: int) -> None:
    """Die where the n-th effect is about to be claimed. Only this child's copy of the module is changed."""
    calls = 0
    real = ledger.once

    async def once(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on as they come
        nonlocal calls
        calls += 1
        if calls == at:
            _die()
        return await cast("Callable[..., Awaitable[Any]]", real)(*args, **kwargs)

    ledger.once = once


def _saver(scene: Scene, door: Door, *, slow: bool) -> object:
    saver: Any = checkpointer(scene.database, scene.caller)
    real = saver.aput

    async def put(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on as they come
        if slow:
            await asyncio.sleep(SLOW_SECONDS)
        if door.kind == "kill_before_checkpoint" and door.changed:
            _die()
        return await real(*args, **kwargs)

    saver.aput = put
    return saver


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
