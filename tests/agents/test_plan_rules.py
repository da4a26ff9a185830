"""Planning by rules: what counts as material for an objective."""

from typing import Any

import pytest

from agents.plan_rules import draft


def facts(objective: str, **more: Any) -> dict[str, Any]:
    course = {"kind": "course", "title": "Rust for programmers", "text": "By the end you build a tool, from scratch."}
    headings = ("Rust for programmers", "Rust for programmers > Tools", "Rust for programmers > Errors")
    evidence = [{**course, "id": f"E{n}", "heading": heading} for n, heading in enumerate(headings, 1)]
    return {"objective": objective, "evidence": evidence, **more}


@pytest.mark.parametrize("objective", ["Learn SQL joins by the end of the month", "Learn to build a boat from scratch"])
def test_material_that_shares_only_everyday_words_plans_nothing(objective: str) -> None:
    plan = draft(facts(objective), [])
    assert not any(task.sources for task in plan.tasks)
    assert any("only a skeleton" in assumption for assumption in plan.assumptions)


def test_the_parts_of_a_fitting_course_are_the_topics_and_its_introduction_is_none() -> None:
    titles = [task.title for task in draft(facts("Aprender Rust", locale="es"), []).tasks if task.kind == "read"]
    assert titles == ["Leer: Tools", "Leer: Errors"]
