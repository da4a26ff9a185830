"""Runs an evaluation: every case times every trial, over a few worker processes, with what it depends on recorded.

Importing this module costs nothing much: the graphs are imported by the workers.
"""

import hashlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals import datasets
from evals.results import Key, Provenance, Report, Trial, cases_in, now_text
from evals.samples import Sample, Suite
from evals.scorers import SCORERS

if TYPE_CHECKING:
    from evals.databases import Urls

CASSETTES = Path("evals/cassettes")


@dataclass(frozen=True, slots=True)
class Options:
    """What to run."""

    suites: tuple[Suite, ...] = tuple(Suite)
    model: str = "offline"
    trials: int = 1
    seed: int = 0
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    only: tuple[str, ...] = ()
    """Parts of case names; empty for all."""
    data: Path = datasets.DATA
    cassettes: Path = CASSETTES
    record: bool = False


Progress = Callable[[int, int, Trial], None]


def chosen(options: Options) -> list[Sample]:
    """Return the cases to run. Raises DatasetError."""
    samples = datasets.load_all(options.suites, options.data)
    return [each for each in samples if not options.only or any(part in each.id for part in options.only)]


def run(options: Options, progress: Progress | None = None) -> Report:
    """Run everything and return the scored report. Raises DatasetError for cases that cannot be used."""
    samples = chosen(options)
    started, at = time.perf_counter(), now_text()
    with server() as (urls, folder):
        trials = list(_played(samples, options, urls, folder, progress))
    order = {sample.id: place for place, sample in enumerate(samples)}
    trials.sort(key=lambda trial: (order[trial.run.sample], trial.run.trial))
    bases = datasets.worlds(options.data)
    hashes = {sample.id: datasets.sample_hash(sample, bases) for sample in samples}
    used = {name for trial in trials for name in trial.scores}
    return Report(
        key=Key(
            cases=hashes,
            scorers={name: scorer.version for name, scorer in SCORERS.items() if name in used},
            model=options.model,
            trials=options.trials,
        ),
        provenance=Provenance(
            version=_version(),
            prompts=source_hash("agents", "tools"),
            graphs=source_hash("graphs", "store"),
            seed=options.seed,
            seconds=round(time.perf_counter() - started, 1),
            started_at=at,
        ),
        cases=cases_in(samples, hashes),
        trials=tuple(trials),
    )


@contextmanager
def server() -> "Generator[tuple[Urls, Path]]":
    """Run the evaluation's own PostgreSQL in a folder that goes away with it."""
    databases = import_module("evals.databases")
    with tempfile.TemporaryDirectory(prefix="goals-evals-") as name, databases.server(Path(name) / "postgres") as urls:
        yield urls, Path(name)


def _played(
    samples: Sequence[Sample], options: Options, urls: "Urls", folder: Path, progress: Progress | None
) -> Iterator[Trial]:
    worker: Any = import_module("evals.worker")
    work = [(sample, trial) for trial in range(options.trials) for sample in _longest_first(samples)]
    with pool(urls, folder, options) as playing:
        waiting: list[Future[Trial]] = [playing.submit(worker.play, sample, trial) for sample, trial in work]
        try:
            for done, future in enumerate(as_completed(waiting), start=1):
                trial = future.result()
                if progress is not None:
                    progress(done, len(work), trial)
                yield trial
        finally:
            # Ctrl-C ends the evaluation now, not after everything that is still queued.
            playing.shutdown(wait=False, cancel_futures=True)


def pool(urls: "Urls", folder: Path, options: Options | None = None) -> ProcessPoolExecutor:
    """Return the worker processes of an evaluation."""
    given = options or Options()
    worker: Any = import_module("evals.worker")
    orders = worker.Orders(urls, given.model, given.cassettes, given.record, folder)
    # Each worker has one core: linear algebra that starts a thread per core only makes the workers wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A fork server imports the graphs once; children that are forked from it start in milliseconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["evals.worker"])
    return ProcessPoolExecutor(given.jobs, context, initializer=worker.begin, initargs=(orders,))


def _longest_first(samples: Sequence[Sample]) -> list[Sample]:
    """Start with what takes long, so that no worker is left alone with it at the end."""
    return sorted(samples, key=lambda sample: (sample.transport != "http", sample.fault is None))


def source_hash(*packages: str) -> str:
    """Return a short name of the source text of these packages, without importing them."""
    digest = hashlib.sha256()
    for package in packages:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _version() -> str:
    try:
        return version("ai-goals-tracker")
    except PackageNotFoundError:
        return "unknown"
