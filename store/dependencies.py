"""Checks on which task waits for which: inside one goal, and never in a circle."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from store.errors import IllegalTransition, Invalid
from store.types import TaskStatus

_RESOLVED = frozenset({TaskStatus.COMPLETED, TaskStatus.CANCELLED})


def check_dependencies(task_id: UUID, depends_on: Sequence[UUID], others: Mapping[UUID, Sequence[UUID]]) -> None:
    """Raise `Invalid` unless `task_id` may wait for `depends_on`.

    `others` maps every task of the goal to what it waits for.
    """
    unknown = [str(other) for other in depends_on if other not in others or other == task_id]
    if unknown:
        raise Invalid(f"A task can only depend on other tasks of its goal; this is none: {', '.join(unknown)}.")
    seen: set[UUID] = set()
    open_ends = list(depends_on)
    while open_ends:
        current = open_ends.pop()
        if current == task_id:
            raise Invalid("These dependencies form a circle: a task would wait for itself.")
        if current not in seen:
            seen.add(current)
            open_ends.extend(others.get(current, ()))


def check_resolved(depends_on: Sequence[UUID], others: Mapping[UUID, tuple[str, TaskStatus]]) -> None:
    """Raise `IllegalTransition`, naming them, while a task of `depends_on` is neither completed nor cancelled.

    `others` maps every task of the goal to its title and status.
    """
    waiting = [others[other][0] for other in depends_on if other in others and others[other][1] not in _RESOLVED]
    if waiting:
        raise IllegalTransition(f"This task waits for: {', '.join(waiting)}. Complete or cancel these first.")
