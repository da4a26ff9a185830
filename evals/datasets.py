"""Reads the cases from their JSONL files, checks them against each other, and names their exact content by a hash."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from evals.samples import GRAPH_OF, Sample, Suite, World

DATA = Path(__file__).parent / "data"


class DatasetError(ValueError):
    """A dataset cannot be used; the message names the file, the line and what is wrong there."""


def load(suite: Suite, folder: Path = DATA) -> list[Sample]:
    """Return the cases of a suite in file order. Raises DatasetError."""
    path = folder / f"{suite.value}.jsonl"
    samples: list[Sample] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be read: {error.strerror}.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            samples.append(_sample(line, suite, f"{path.name} line {number}"))
    _check_together(samples, path.name)
    return samples


def load_all(suites: Iterable[Suite] = Suite, folder: Path = DATA) -> list[Sample]:
    """Return the cases of several suites."""
    return [sample for suite in suites for sample in load(suite, folder)]


def worlds(folder: Path = DATA) -> dict[str, World]:
    """Return the worlds that cases build on. Raises DatasetError."""
    try:
        raw = cast("dict[str, Any]", json.loads((folder / "worlds.json").read_text(encoding="utf-8")))
        return {name: World.model_validate(value) for name, value in raw.items()}
    except (OSError, ValueError) as error:
        raise DatasetError(f"worlds.json cannot be used: {error}") from error


def whole_world(sample: Sample, bases: dict[str, World]) -> World:
    """Return the sample's world with the one it builds on put underneath. Raises DatasetError."""
    own = sample.world
    if own.base is None:
        return own
    if own.base not in bases:
        raise DatasetError(f"{sample.id} builds on the world {own.base!r}; worlds.json has {', '.join(sorted(bases))}.")
    base = bases[own.base]
    return World(
        people={**base.people, **own.people},
        courses=base.courses + own.courses,
        goals=base.goals + own.goals,
        snapshots=base.snapshots + own.snapshots,
        mastery=base.mastery + own.mastery,
        feedback=base.feedback + own.feedback,
    )


def sample_hash(sample: Sample, bases: dict[str, World]) -> str:
    """Return a short name of everything that decides what this case asks and expects.

    Its gold is not part of it: that is judged by the self-test and changes nothing for an agent.
    """
    content = sample.model_dump(mode="json", exclude={"gold"})
    content["world"] = whole_world(sample, bases).model_dump(mode="json")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def world_hash(world: World) -> str:
    """Return a short name of a world's exact content."""
    return hashlib.sha256(json.dumps(world.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]


def dataset_hash(samples: Sequence[Sample], bases: dict[str, World]) -> str:
    """Return the name of a set of cases, whatever their order."""
    parts = sorted(f"{sample.id}:{sample_hash(sample, bases)}" for sample in samples)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _sample(line: str, suite: Suite, where: str) -> Sample:
    try:
        sample = Sample.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{where}: {place or 'the line'}: {first['msg']}.") from error
    if sample.suite is not suite:
        raise DatasetError(f"{where}: {sample.id} belongs to suite {sample.suite}.")
    wanted = GRAPH_OF.get(suite)
    if wanted is not None and sample.graph != wanted:
        raise DatasetError(f"{where}: {sample.id} runs {sample.graph}, but suite {suite} is about {wanted}.")
    return sample


def _check_together(samples: Sequence[Sample], name: str) -> None:
    from evals.scorers import SCORERS  # noqa: PLC0415 - scorers read samples, and this is the one look back

    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise DatasetError(f"{name}: two cases are called {sample.id}.")
        seen.add(sample.id)
        unknown = set(sample.basis) - SCORERS.keys()
        if unknown or not sample.basis:
            raise DatasetError(f"{name}: {sample.id} is decided by {sorted(unknown) or 'nothing'}.")
