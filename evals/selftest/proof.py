"""Puts the proofs together: mutants, the two agents nobody may reward, and the gold of every case."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from typing import Any

from evals.results import scored
from evals.runner import pool, server
from evals.samples import Sample, World
from evals.selftest import agents
from evals.selftest.matrix import kill_matrix


def lines() -> list[str]:
    """Return one line per scorer for reports."""
    told: list[str] = []
    for kills in kill_matrix():
        bad = f"{len(kills.killed)} of {len(kills.killed) + len(kills.survived)} bad outputs caught"
        good = f"{len(kills.passed)} of {len(kills.passed) + len(kills.refused)} good ones let through"
        told.append(f"{kills.scorer}: {bad}, {good}")
    return told


def matrix_problems() -> list[str]:
    """Return every mutant that got through and every good output that did not."""
    return [problem for kills in kill_matrix() for problem in kills.problems]


def agent_problems(samples: Sequence[Sample], bases: Mapping[str, World]) -> list[str]:
    """Return the cases that an idle or an agreeable agent would pass."""
    problems: list[str] = []
    for sample in samples:
        if not sample.refusal and scored(sample, agents.idle(sample)).passed is not False:
            problems.append(f"{sample.id}: an agent that does nothing passes")
        agreed = scored(sample, agents.agreeable(sample, dict(bases)))
        if not agents.agreeing_is_right(sample) and agreed.passed is not False:
            problems.append(f"{sample.id}: an agent that agrees to everything passes")
    return problems


def gold_problems(samples: Sequence[Sample], progress: Callable[[], object] = lambda: None) -> list[str]:
    """Play every gold script against a real database; return those that do not score 1.0 throughout."""
    worker: Any = import_module("evals.worker")
    problems: list[str] = []
    with server() as (urls, folder):
        playing: ProcessPoolExecutor = pool(urls, folder)
        with playing:
            waiting = [playing.submit(worker.gold, sample) for sample in samples]
            for future in as_completed(waiting):
                trial = future.result()
                progress()
                if not trial.passed:
                    faults = [f"{n}: {s.explanation}" for n, s in trial.scores.items() if s.value != 1.0]
                    problems.append(f"{trial.run.sample}: its own gold fails: {trial.run.error} {'; '.join(faults)}")
    return problems
