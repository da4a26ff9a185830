"""Small edits of a run, by path: how a mutant is made from a run that deserves full marks."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from evals.runs import Run
from evals.samples import Sample

Edit = Callable[[dict[str, Any]], None]


def put(path: str, value: object) -> Edit:
    """Replace what stands at the path."""

    def edit(data: dict[str, Any]) -> None:
        holder, name = _find(data, path)
        holder[name] = deepcopy(value)

    return edit


def drop(path: str) -> Edit:
    """Take one thing away."""

    def edit(data: dict[str, Any]) -> None:
        holder, name = _find(data, path)
        del holder[name]

    return edit


def add(path: str, value: object) -> Edit:
    """Append to a list."""

    def edit(data: dict[str, Any]) -> None:
        holder, name = _find(data, path)
        holder[name] = [*(holder[name] or []), deepcopy(value)]

    return edit


def again(path: str, place: int, **other: object) -> Edit:
    """Append a copy of one element of a list, with some of its values changed."""

    def edit(data: dict[str, Any]) -> None:
        holder, name = _find(data, path)
        holder[name].append({**deepcopy(holder[name][place]), **other})

    return edit


def turn(path: str) -> Edit:
    """Reverse a list."""

    def edit(data: dict[str, Any]) -> None:
        holder, name = _find(data, path)
        holder[name].reverse()

    return edit


def mutated(run: Run, edits: tuple[Edit, ...]) -> Run:
    """Return a copy of the run with the edits done."""
    data = run.model_dump(mode="json")
    for edit in edits:
        edit(data)
    return Run.model_validate(data)


@dataclass(frozen=True, slots=True)
class Matrix:
    """One scorer, a run it must like, and what must and must not change its mind."""

    scorer: str
    sample: Sample
    run: Run
    bad: dict[str, tuple[Edit, ...]]
    good: dict[str, tuple[Edit, ...]]


def case(suite: str, graph: str, expect: dict[str, Any], scorer: str, **more: object) -> Sample:
    """Build the small case a matrix is about."""
    return Sample.model_validate(
        {
            "id": f"matrix-{scorer}",
            "suite": suite,
            "graph": graph,
            "proves": f"that the scorer {scorer} can tell good from bad",
            "expect": expect,
            "basis": [scorer],
            **more,
        }
    )


def _find(data: dict[str, Any], path: str) -> tuple[Any, Any]:
    holder: Any = data
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        holder = holder[step]
    return holder, last
