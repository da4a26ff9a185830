"""The verdict of one scorer on one run, and the small helpers scorers share."""

import re
import unicodedata
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from evals.runs import Run
from evals.samples import Sample

L = TypeVar("L", bound=Hashable)
R = TypeVar("R", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Score:
    """`value` lies between 0 and 1, or is None when there was nothing to judge: that is not the same as a zero."""

    value: float | None
    answer: str = ""
    """What the run did, in a few words."""
    explanation: str = ""
    """Why that is worth this value."""
    details: Mapping[str, float] = field(default_factory=dict[str, float])


def unscored(reason: str) -> Score:
    """Return the outcome of a scorer that could not look: counted apart, in no mean."""
    return Score(None, explanation=reason)


def from_faults(faults: Sequence[str], checks: int, answer: str, details: Mapping[str, float] | None = None) -> Score:
    """Score a list of checks by how many hold; each fault is one line of the explanation."""
    value = 1.0 if not faults else max(0.0, 1 - len(faults) / max(checks, len(faults) + 1))
    return Score(value, answer, "; ".join(faults) or "everything that was checked holds", details or {})


Judge = Callable[[Sample, Run], Score]


@dataclass(frozen=True, slots=True)
class Scorer:
    """A pure function of a case and a run. Raise `version` whenever the same run could score differently."""

    name: str
    version: int
    judge: Judge
    measures: str
    hard: bool = False
    """A hard one is about safety: its zero fails the whole evaluation, whatever the means say."""


def fits(wanted: object, actual: object) -> bool:
    """Tell whether a value is the expected literal, or satisfies a predicate such as {"~": "regex"}."""
    if not isinstance(wanted, Mapping):
        return _same(wanted, actual)
    predicate = cast("Mapping[str, Any]", wanted)
    return bool(predicate) and all(_holds(name, value, actual) for name, value in predicate.items())


def _holds(name: str, value: Any, actual: object) -> bool:  # noqa: ANN401 - the value of any predicate
    match name:
        case "~":
            return isinstance(actual, str) and re.search(value, actual, re.IGNORECASE | re.DOTALL) is not None
        case "in":
            return any(_same(each, actual) for each in value)
        case "min":
            return isinstance(actual, int | float) and actual >= value
        case "max":
            return isinstance(actual, int | float) and actual <= value
        case "len":
            return (
                isinstance(actual, str | list | tuple) and value[0] <= len(cast("Sequence[object]", actual)) <= value[1]
            )
        case "has":
            return isinstance(actual, list | tuple) and set(value) <= set(cast("Sequence[Hashable]", actual))
        case "null":
            return (actual is None) == value
        case "not":
            return not fits(value, actual)
        case _:
            raise ValueError(f"There is no predicate {name!r}; use ~, in, min, max, len, has, null or not.")


def _same(wanted: object, actual: object) -> bool:
    if isinstance(wanted, float | int) and isinstance(actual, float | int) and not isinstance(wanted, bool):
        return abs(wanted - actual) < 1e-9
    if isinstance(wanted, tuple | list) and isinstance(actual, tuple | list):
        return list(cast("Sequence[object]", wanted)) == list(cast("Sequence[object]", actual))
    return wanted == actual


def best_matching(left: Sequence[L], right: Sequence[R], fit: Callable[[L, R], bool]) -> dict[L, R]:
    """Return a largest one-to-one matching (augmenting paths): no order of trying can make it fail a fair run."""
    taken: dict[R, L] = {}

    def place(item: L, tried: set[R]) -> bool:
        for other in right:
            if other in tried or not fit(item, other):
                continue
            tried.add(other)
            if other not in taken or place(taken[other], tried):
                taken[other] = item
                return True
        return False

    for item in left:
        place(item, set())
    return {item: other for other, item in taken.items()}


def plain(text: str) -> str:
    """Return a title for comparing: no case, no accents, no punctuation, one space between words."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(re.findall(r"[a-z0-9#+]+", bare.lower()))


UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
