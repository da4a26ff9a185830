"""The suites as tasks of inspect_ai, for its viewer and its log format; needs the optional extra `inspect`.

    inspect eval evals/inspect_adapter.py@goal --model mockllm/model          # the offline rules
    inspect eval evals/inspect_adapter.py@code --model openai/gpt-4.1-mini    # a live model, named once

Databases, graphs, worlds and scorers are those of `goals evals`; Inspect repeats, shows and keeps.
"""

import asyncio
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from evals import datasets
from evals.databases import server
from evals.kits import Kit
from evals.results import Trial, scored
from evals.samples import Sample, Suite
from evals.worker import Orders, run_once


def model_of(name: str) -> str:
    """Return our name of Inspect's model: an OpenAI-compatible one by its name, the offline rules for its mock."""
    provider, _, model = name.partition("/")
    return f"openai:{model}" if provider.startswith("openai") and model else "offline"


def play(sample: Sample, epoch: int, model: str) -> Trial:
    """Play one epoch of a case on a server of its own; blocks, so call it in a thread."""
    with tempfile.TemporaryDirectory(prefix="goals-inspect-") as name, server(Path(name) / "postgres") as urls:
        orders = Orders(urls, model, Path("evals/cassettes"), record=False, folder=Path(name))
        kit = Kit(model, orders.cassettes)
        world = datasets.whole_world(sample, datasets.worlds())
        return scored(sample, run_once(sample, epoch, orders, kit, world))


def suite_task(suite: Suite, only: str = "") -> Any:  # noqa: ANN401 - inspect_ai is not installed everywhere
    """Return a suite as an Inspect task; `only` keeps cases whose name holds it. Raises ImportError without Inspect."""
    inspect: Any = import_module("inspect_ai")
    dataset: Any = import_module("inspect_ai.dataset")
    samples = {sample.id: sample for sample in datasets.load(suite) if only in sample.id}
    items = [
        dataset.Sample(id=sample.id, input=sample.proves, metadata={"tags": list(sample.tags), "locale": sample.locale})
        for sample in samples.values()
    ]
    return inspect.Task(
        dataset=dataset.MemoryDataset(items, name=f"goals-{suite.value}"),
        solver=_solver(samples),
        scorer=_scorer(),
    )


def _solver(samples: dict[str, Sample]) -> Any:  # noqa: ANN401
    make: Any = import_module("inspect_ai.solver").solver

    @make
    def goals_graph() -> Callable[..., Any]:
        async def solve(state: Any, generate: Any) -> Any:  # noqa: ANN401, ARG001 - Inspect's signature
            sample = samples[str(state.sample_id)]
            trial = await asyncio.to_thread(play, sample, int(state.epoch) - 1, model_of(str(state.model)))
            state.output.completion = trial.run.words
            state.metadata["trial"] = trial.model_dump(mode="json")
            return state

        return solve

    return goals_graph()


def _scorer() -> Any:  # noqa: ANN401
    module: Any = import_module("inspect_ai.scorer")

    @module.scorer(metrics=[module.mean(), module.stderr()])
    def what_it_did() -> Callable[..., Any]:
        async def score(state: Any, target: Any) -> Any:  # noqa: ANN401, ARG001 - Inspect's signature
            trial = Trial.model_validate(state.metadata["trial"])
            told = [f"{name}: {seen.explanation}" for name, seen in trial.scores.items()]
            if trial.passed is None:
                raise RuntimeError(f"The harness could not run it: {trial.run.error}")
            values = {name: seen.value for name, seen in trial.scores.items()}
            return module.Score(
                value=float(trial.passed), answer=trial.run.words[:500], explanation="\n".join(told), metadata=values
            )

        return score

    return what_it_did()


def _declared(suite: Suite) -> Any:  # noqa: ANN401
    """Declare a task under the suite's name, where Inspect is installed; elsewhere leave a function that says so."""

    def task(only: str = "") -> Any:  # noqa: ANN401
        return suite_task(suite, only)

    task.__name__ = suite.value
    try:
        return import_module("inspect_ai").task(task)
    except ImportError:
        return task


goal = _declared(Suite.GOAL)
code = _declared(Suite.CODE)
suggest = _declared(Suite.SUGGEST)
rag = _declared(Suite.RAG)
crash = _declared(Suite.CRASH)
