"""Readable names for seeded rows: `api`, `api/read`, `v1` stand for ids that are the same in every run."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import NAMESPACE_URL, UUID, uuid5

from evals.samples import World

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""The frozen present of every case: a Monday morning."""

_NAMESPACE = uuid5(NAMESPACE_URL, "ai-goals-tracker/evals")
_DAY = re.compile(r"([+-]\d+)d")


def id_of(label: str) -> UUID:
    """Return the id of the seeded row of that label."""
    return uuid5(_NAMESPACE, label)


def labels_of(world: World) -> dict[str, str]:
    """Return the label of every seeded id."""
    labels = [goal.key for goal in world.goals]
    labels += [f"{goal.key}/{task.key}" for goal in world.goals for task in goal.tasks]
    labels += [snapshot.key for snapshot in world.snapshots]
    return {str(id_of(label)): label for label in labels}


def resolved(value: Any) -> Any:  # noqa: ANN401 - any JSON in, the same shape out
    """Replace `@label` by its id and `+14d` by that date, anywhere in a value of a case."""
    match value:
        case str() if value.startswith("@"):
            return str(id_of(value[1:]))
        case str() if found := _DAY.fullmatch(value):
            return (NOW + timedelta(days=int(found[1]))).date().isoformat()
        case dict():
            return {name: resolved(item) for name, item in cast("dict[str, Any]", value).items()}
        case list() | tuple():
            return [resolved(item) for item in cast("list[Any]", value)]
        case _:
            return value


def labelled(value: Any, labels: dict[str, str]) -> Any:  # noqa: ANN401 - any JSON in, the same shape out
    """Replace every id of a seeded row by `@label`, so that rows of two runs can be compared and read."""
    match value:
        case str():
            return f"@{labels[value]}" if value in labels else value
        case dict():
            return {name: labelled(item, labels) for name, item in cast("dict[str, Any]", value).items()}
        case list() | tuple():
            return [labelled(item, labels) for item in cast("list[Any]", value)]
        case _:
            return value


def day(days: float | None) -> datetime | None:
    """Return the moment that many days from the frozen now."""
    return None if days is None else NOW + timedelta(days=days)


class Clock:
    """A clock that stands still until it is set; seeding sets it back, the run sees NOW."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at
