"""What one worker process does: clone the case's world, play it, score it, clean up. Imports everything heavy."""

import asyncio
import contextlib
import logging
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals import crash, databases, datasets, served
from evals.databases import TEMPLATE, Urls, clone
from evals.kits import Kit
from evals.labels import Clock
from evals.observe import Memory, drain
from evals.play import Scene, perform
from evals.results import Trial, scored
from evals.runs import Outcome, Run
from evals.samples import Sample, World
from evals.selftest import gold as gold_script
from evals.worlds import seed
from store.database import Database
from store.index import IndexSink

Performer = Callable[[Scene], Awaitable[Run]]


@dataclass(frozen=True, slots=True)
class Orders:
    """What all workers of an evaluation are told once."""

    urls: Urls
    model: str
    cassettes: Path
    record: bool
    folder: Path


class _Worker:
    orders: Orders
    kit: Kit
    worlds: dict[str, World]


_worker = _Worker()


def begin(orders: Orders) -> None:
    """Prepare this process; called once in each."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    _worker.orders = orders
    _worker.kit = Kit(orders.model, orders.cassettes, orders.record)
    _worker.worlds = datasets.worlds()


def play(sample: Sample, trial: int) -> Trial:
    """Run one trial of one case and score it. Never raises: what goes wrong in the harness is an INFRA outcome."""
    return scored(
        sample, run_once(sample, trial, _worker.orders, _worker.kit, datasets.whole_world(sample, _worker.worlds))
    )


def gold(sample: Sample) -> Trial:
    """Play the gold of a case instead of its graph, and score it."""
    world = datasets.whole_world(sample, _worker.worlds)
    return scored(sample, run_once(sample, 0, _worker.orders, _worker.kit, world, by=gold_script.perform))


def run_once(sample: Sample, trial: int, orders: Orders, kit: Kit, world: World, by: Performer | None = None) -> Run:
    """Run one trial on a database of its own, and remove it. `by` plays it; None chooses by the case."""
    name = f"run_{sample.id.replace('-', '_')[:40]}_{trial}"
    folder = Path(tempfile.mkdtemp(prefix=f"{sample.id}-", dir=orders.folder))
    try:
        template = asyncio.run(world_template(orders.urls, world, kit))
        urls = clone(orders.urls, template, name)
        return asyncio.run(_staged(sample, trial, urls, kit, world, folder, by or _performer(sample)))
    except Exception as error:  # noqa: BLE001 - counted as infrastructure, with its reason, and never scored
        reason = "".join(traceback.format_exception(error)[-3:])[-1500:]
        return Run(sample=sample.id, trial=trial, model=kit.name, outcome=Outcome.INFRA, error=reason)
    finally:
        with contextlib.suppress(Exception):
            databases.drop(orders.urls, name)
        shutil.rmtree(folder, ignore_errors=True)


async def _staged(sample: Sample, trial: int, urls: Urls, kit: Kit, world: World, folder: Path, by: Performer) -> Run:
    clock = Clock()
    models = kit.open(sample, trial)
    async with models, Database(urls.login, min_size=1, max_size=8, now=clock) as database:
        scene = Scene(
            sample=sample,
            world=world,
            urls=urls,
            models=models,
            model_name=kit.name,
            embedder=kit.embedder,
            folder=folder,
            trial=trial,
            database=database,
            clock=clock,
        )
        run = await by(scene)
        missed = kit.missed()
        return run if not missed else run.model_copy(update={"outcome": Outcome.INFRA, "error": missed[0]})


def _performer(sample: Sample) -> Performer:
    if sample.transport == "http":
        return served.perform
    return crash.perform if crash.is_process_fault(sample) else perform


async def world_template(urls: Urls, world: World, kit: Kit) -> str:
    """Return the name of a template that holds this world, seeded and indexed; the first who needs it makes it."""
    name = f"world_{datasets.world_hash(world)}"
    with databases.making(urls, name) as mine:
        if mine:
            fresh = clone(urls, TEMPLATE, f"{name}_new")
            clock = Clock()
            async with Database(fresh.login, min_size=1, max_size=4, now=clock) as database:
                await seed(database, clock, world)
                sinks: list[Any] = [IndexSink(database, kit.embedder), Memory("lake"), Memory("broker")]
                await drain(fresh, sinks)
    return name
