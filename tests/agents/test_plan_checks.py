"""What code computes and refuses about a plan."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.plan import PlanDraft, TaskDraft, plain
from agents.plan_checks import Frame, check, order_of, schedule

START = date(2026, 11, 22)


def task(key: str, *after: str, minutes: int = 60, **more: Any) -> TaskDraft:
    fields: dict[str, Any] = {
        "kind": "practice", "title": f"Task {key}", "why": "w", "done_when": ["Output is shown."], "skills": ["s"],
        "sources": [],
    }  # fmt: skip
    return TaskDraft(key=key, depends_on=list(after), est_minutes=minutes, **{**fields, **more})


def plan(*tasks: TaskDraft) -> PlanDraft:
    return PlanDraft(title="T", outcome="o", assumptions=[], not_doing=[], tasks=list(tasks))


def rules(draft: PlanDraft, frame: Frame | None = None) -> list[str]:
    return [violation["rule"] for violation in check(draft, frame or Frame(START))]


ENDING: dict[str, Any] = {"kind": "assess"}


def test_a_sound_plan_has_nothing_against_it() -> None:
    assert rules(plan(task("a"), task("b", "a", **ENDING))) == []


def test_order_keeps_dependencies_and_otherwise_what_was_written() -> None:
    draft = plan(task("c", "a"), task("b"), task("a"), task("d", "c", "b"))
    assert [t.key for t in order_of(draft)] == ["b", "a", "c", "d"]


def test_the_critical_path_is_the_longest_chain_by_minutes() -> None:
    draft = plan(task("a", minutes=30), task("b", minutes=200), task("c", "a", minutes=30), task("d", "b", "c"))
    figures = schedule(draft, Frame(START))
    assert (figures["critical_path"], figures["critical_minutes"], figures["total_minutes"]) == (["b", "d"], 260, 320)


def test_weeks_fill_up_in_order_and_a_long_task_spills_over() -> None:
    draft = plan(task("a", minutes=90), task("b", minutes=90), task("c", minutes=30))
    figures = schedule(draft, Frame(START, hours_per_week=2))
    assert [week["minutes"] for week in figures["load"]] == [120, 90]
    assert [week["tasks"] for week in figures["load"]] == [["a"], ["b", "c"]]
    assert figures["due"]["c"] == "2026-12-06"


def test_work_that_does_not_fit_is_named_with_its_figures() -> None:
    frame = Frame(START, deadline=START + timedelta(days=7), hours_per_week=1)
    (violation,) = check(plan(task("a"), task("b", "a", **ENDING)), frame)
    assert (violation["rule"], violation["fatal"]) == ("too_much_work", False)
    assert "120 minutes of work, but 60" in violation["message"]


def test_a_needless_chain_is_challenged() -> None:
    chain = [task("t0"), *(task(f"t{i}", f"t{i - 1}") for i in range(1, 5)), task("z", "t4", **ENDING)]
    assert rules(plan(*chain)) == ["all_in_a_row"]


def test_the_other_language_is_noticed() -> None:
    spanish = task(
        "a", why="Esto es para que aprendas cada parte del curso con los ejercicios y las notas de la clase."
    )
    assert rules(plan(spanish, task("b", "a", **ENDING))) == ["language"]
    assert rules(plan(spanish, task("b", "a", **ENDING)), Frame(START, locale="es-MX")) == []


@pytest.mark.parametrize("vague", ["Understand traits", "You know SQL", "Entiendes los bucles", "Saber usar git"])
def test_what_cannot_be_observed_is_no_criterion(vague: str) -> None:
    assert rules(plan(task("a", done_when=[vague]), task("b", **ENDING))) == ["not_observable"]


def test_finished_work_is_not_planned_again_but_may_be_built_on() -> None:
    frame = Frame(START, finished={"t1": "Task a"}, assessed=True)
    assert rules(plan(task("b", "t1")), frame) == []
    assert rules(plan(task("a")), frame) == ["done_already"]
    assert rules(plan(task("t1", title="New")), frame) == ["taken_key"]


KEYS = st.sampled_from([f"k{i}" for i in range(6)])


@given(
    st.lists(
        st.tuples(KEYS, st.lists(KEYS, max_size=4), st.integers(15, 240)),
        min_size=1,
        max_size=6,
        unique_by=lambda t: t[0],
    )
)
def test_any_graph_of_tasks_is_either_ordered_or_refused(edges: list[tuple[str, list[str], int]]) -> None:
    draft = plan(*(task(key, *after, minutes=minutes) for key, after, minutes in edges), task("end", **ENDING))
    found = rules(draft)
    if any(rule in ("cycle", "unknown_key") for rule in found):
        return
    figures = schedule(draft, Frame(START))
    place = {key: number for number, key in enumerate(figures["order"])}
    assert len(place) == len(draft.tasks)
    assert all(place[other] < place[t.key] for t in draft.tasks for other in t.depends_on)
    assert figures["critical_minutes"] <= figures["total_minutes"] == sum(week["minutes"] for week in figures["load"])


@given(st.text(max_size=200))
def test_plain_text_has_no_way_out_and_is_stable(text: str) -> None:
    shown = plain(f"{text} [x](javascript:alert(1)) ![i](https://e.example/a) http://e.example <b>")
    assert not any(way in shown for way in ("](", "http://e", "https://e", "javascript:", "<b>"))
    assert all(character.isprintable() or not character.isascii() for character in shown)
