"""What hangs on a task: the longest remaining way to the end of its goal, and the tasks it sets free."""

from collections import defaultdict
from uuid import UUID

from store.candidates import Candidates, OpenTask

DEFAULT_MINUTES = 45


class Paths:
    """Computed once for all open tasks; a circle, which the store does not allow, would end at its own task."""

    def __init__(self, candidates: Candidates) -> None:
        self._tasks: dict[UUID, OpenTask] = {task.id: task for task in candidates.tasks}
        self._after: defaultdict[UUID, list[UUID]] = defaultdict(list)
        for task in candidates.tasks:
            for other in task.depends_on:
                self._after[other].append(task.id)
        self._remaining: dict[UUID, int] = {}
        for task in candidates.tasks:
            self._measure(task.id)
        self._longest: defaultdict[UUID, int] = defaultdict(int)
        for task in candidates.tasks:
            self._longest[task.goal_id] = max(self._longest[task.goal_id], self._remaining[task.id])

    def remaining(self, task_id: UUID) -> int:
        """Minutes of the longest chain that starts with this task."""
        return self._remaining[task_id]

    def criticality(self, task_id: UUID) -> float:
        """1 on the critical path of the goal, less for tasks that have time to spare."""
        longest = self._longest[self._tasks[task_id].goal_id]
        return self._remaining[task_id] / longest if longest else 0.0

    def unlocked_by(self, task_id: UUID) -> list[OpenTask]:
        """The tasks that only wait for this one."""
        return [
            self._tasks[other]
            for other in self._after[task_id]
            if not [each for each in self._tasks[other].depends_on if each in self._tasks and each != task_id]
        ]

    def _measure(self, start: UUID) -> None:
        stack = [(start, False)]
        under_way: set[UUID] = set()
        while stack:
            task_id, done = stack.pop()
            if task_id in self._remaining:
                continue
            task = self._tasks[task_id]
            if done:
                longest = max((self._remaining.get(other, 0) for other in self._after[task_id]), default=0)
                self._remaining[task_id] = (task.estimated_minutes or DEFAULT_MINUTES) + longest
            elif task_id not in under_way:
                under_way.add(task_id)
                stack.append((task_id, True))
                stack.extend((other, False) for other in self._after[task_id] if other not in self._remaining)
