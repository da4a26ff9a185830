"""Ranking: each factor moves the order the way it says, and nothing else does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fsrs import Card, Rating, Scheduler

from agents.ranking import Kind, Mood, Ranked, Wish, rank
from agents.ranking_reasons import Obstacle, smallest_step, why_not
from store.candidates import Blocker, Candidates, OpenTask
from store.mastery import Mastery
from store.types import Priority, TaskStatus, TaskType

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOAL = UUID(int=99)


def task(number: int, **changes: Any) -> OpenTask:
    base = OpenTask(
        id=UUID(int=number),
        goal_id=GOAL,
        goal_title="Learn loops",
        goal_priority=Priority.MEDIUM,
        goal_due_at=None,
        title=f"Task {number}",
        type=TaskType.PRACTICE,
        status=TaskStatus.PENDING,
        priority=Priority.MEDIUM,
        position=number,
        estimated_minutes=30,
        skills=[],
        depends_on=[],
        due_at=None,
        updated_at=NOW,
        last_decision=None,
        decided_at=None,
        snoozed_until=None,
        failed_snapshot_id=None,
        failed_issues=None,
    )
    return replace(base, **changes)


def state(*tasks: OpenTask, last: list[str] | None = None, done: tuple[Blocker, ...] = ()) -> Candidates:
    blockers = [Blocker(each.id, each.title, each.status) for each in tasks]
    return Candidates(tasks, {each.id: each for each in (*blockers, *done)}, last or [], {"loops": GOAL}, 0)


def skill(name: str, *, days_ago: int, successes: float = 1, failures: float = 0) -> Mastery:
    card, _ = Scheduler(enable_fuzzing=False).review_card(Card(card_id=1), Rating.Good, NOW - timedelta(days=days_ago))
    return Mastery(name, dict(card.to_dict()), card.due, successes, failures, NOW - timedelta(days=days_ago))


def first(*tasks: OpenTask, skills: tuple[Mastery, ...] = (), last: list[str] | None = None, **wish: Any) -> Ranked:
    return rank(state(*tasks, last=last), skills, Wish(NOW, **wish))[0]


@pytest.mark.parametrize(
    ("factor", "better", "wish"),
    [
        ("continuation", {"status": TaskStatus.IN_PROGRESS}, {}),
        ("open_findings", {"failed_snapshot_id": UUID(int=5)}, {}),
        ("due", {"due_at": NOW + timedelta(days=2)}, {}),
        ("priority", {"priority": Priority.CRITICAL}, {}),
        ("critical_path", {"estimated_minutes": 90}, {}),
        ("fits", {"estimated_minutes": 20}, {"available_minutes": 20}),
        ("mood", {"type": TaskType.BUILD}, {"mood": Mood.CHALLENGE}),
    ],
)
def test_a_factor_lifts_its_task_above_an_equal_one(factor: str, better: dict[str, Any], wish: dict[str, Any]) -> None:
    best = first(task(1), task(2, **better), **wish)
    assert best.task_id == UUID(int=2)
    assert best.factors[factor] > 0
    assert best.score == pytest.approx(sum(best.factors.values()), abs=0.002)


def test_a_task_others_wait_for_comes_first() -> None:
    best = first(task(1), task(2), task(3, depends_on=[UUID(int=2)]), mood=Mood.UNBLOCK)
    assert best.task_id == UUID(int=2)
    assert [each.title for each in best.unlocks] == ["Task 3"]
    assert best.factors["unlocks"] > 0
    assert best.factors["critical_path"] == 1.0


def test_a_rejected_task_steps_back_and_returns_within_a_week() -> None:
    for days, expected in ((0, 2), (8, 1)):
        rejected = task(1, last_decision="rejected", decided_at=NOW - timedelta(days=days), priority=Priority.HIGH)
        assert first(rejected, task(2)).task_id == UUID(int=expected)


def test_the_same_skill_twice_in_a_row_counts_against_a_task() -> None:
    assert first(task(1, skills=["loops"]), task(2, skills=["files"]), last=["loops"]).task_id == UUID(int=2)


def test_half_mastered_skills_are_preferred() -> None:
    known = (skill("easy", days_ago=0, successes=9), skill("open", days_ago=0, successes=1, failures=1))
    assert first(task(1, skills=["easy"]), task(2, skills=["open"]), skills=known).task_id == UUID(int=2)


def test_a_fading_skill_without_a_task_becomes_a_review() -> None:
    ranked = rank(state(task(1)), [skill("loops", days_ago=60)], Wish(NOW, mood=Mood.REVIEW))
    assert (ranked[0].kind, ranked[0].skill, ranked[0].goal_id) == (Kind.REVIEW, "loops", GOAL)
    assert rank(state(task(1, skills=["loops"])), [skill("loops", days_ago=60)], Wish(NOW))[0].kind is Kind.TASK
    assert [each.kind for each in rank(state(task(1)), [skill("loops", days_ago=0)], Wish(NOW))] == [Kind.TASK]


def test_snoozed_blocked_and_waiting_tasks_are_never_ranked() -> None:
    sleeping = task(1, last_decision="snoozed", snoozed_until=NOW + timedelta(hours=1))
    candidates = state(
        sleeping,
        task(2, status=TaskStatus.BLOCKED),
        task(3, depends_on=[UUID(int=2)]),
        task(4, depends_on=[UUID(int=77)]),
    )
    assert rank(candidates, [], Wish(NOW)) == []
    reasons = why_not(candidates, [], 3, NOW)
    assert [each.obstacle for each in reasons] == [
        Obstacle.SNOOZED, Obstacle.BLOCKED, Obstacle.WAITS, Obstacle.UNKNOWN_DEPENDENCY,
    ]  # fmt: skip
    assert reasons[2].waits_for == ("Task 2",)


def test_a_cancelled_blocker_holds_nobody_back() -> None:
    cancelled = Blocker(UUID(int=50), "Old", TaskStatus.CANCELLED)
    assert len(rank(state(task(1, depends_on=[cancelled.id]), done=(cancelled,)), [], Wish(NOW))) == 1


def test_when_nothing_can_begin_the_smallest_obstacle_is_named() -> None:
    blocked = [task(1, status=TaskStatus.BLOCKED, estimated_minutes=60), task(2, status=TaskStatus.BLOCKED)]
    assert smallest_step(state(*blocked, task(3, depends_on=[UUID(int=1)])), NOW).title == "Task 2"
    assert (
        smallest_step(state(task(4, depends_on=[UUID(int=77)]), *blocked), NOW).obstacle is Obstacle.UNKNOWN_DEPENDENCY
    )
    assert smallest_step(state(), NOW).obstacle is Obstacle.NO_TASKS


def test_why_not_names_the_factor_that_decided() -> None:
    candidates = state(task(1, due_at=NOW), task(2))
    ranked = rank(candidates, [], Wish(NOW))
    (reason,) = why_not(candidates, ranked, 1, NOW)
    assert (reason.obstacle, reason.factor) == (Obstacle.LOWER, "due")


def test_the_same_state_always_gives_the_same_order() -> None:
    tasks = [task(number, priority=list(Priority)[number % 4]) for number in range(1, 30)]
    orders = {tuple(each.title for each in rank(state(*tasks), [], Wish(NOW))) for _ in range(3)}
    assert len(orders) == 1
