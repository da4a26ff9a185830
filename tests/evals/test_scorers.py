"""The parts of scorers that are easy to get subtly wrong."""

import pytest

from evals.runs import Outcome, Run
from evals.samples import Sample
from evals.scorers import judge
from evals.scorers.code import leaked, same_statements
from evals.scorers.score import best_matching, fits, plain
from evals.scorers.words import language_of
from evals.selftest.edits import case


@pytest.fixture
def sample() -> Sample:
    return case("goal", "goal_planning", {"rows": []}, "rows")


def test_what_the_harness_could_not_run_is_not_a_zero(sample: Sample) -> None:
    assert judge("rows", sample, Run(sample="x", outcome=Outcome.INFRA)).value is None


def test_what_crashed_is_a_zero(sample: Sample) -> None:
    assert judge("rows", sample, Run(sample="x", outcome=Outcome.CRASHED)).value == 0.0


def test_matching_finds_the_assignment_that_greed_misses() -> None:
    fitting = {"a": {1, 2}, "b": {1}}
    assert best_matching(["a", "b"], [1, 2], lambda one, other: other in fitting[one]) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("wanted", "actual", "expected"),
    [
        ({"~": "^learn"}, "Learn Rust", True),
        ({"~": "x"}, None, False),
        ({"in": ["a", "b"]}, "b", True),
        ({"min": 1, "max": 2}, 1.5, True),
        ({"min": 1, "max": 2}, 3, False),
        ({"len": [1, 2]}, [1, 2, 3], False),
        ({"has": ["a"]}, ["b", "a"], True),
        ({"null": True}, None, True),
        ({"not": {"null": True}}, None, False),
        (50, 50.0, True),
        ({}, "anything", False),
    ],
)
def test_predicates(wanted: object, actual: object, expected: bool) -> None:
    assert fits(wanted, actual) is expected


def test_an_unknown_predicate_is_an_error_of_the_case() -> None:
    with pytest.raises(ValueError, match="no predicate 'regex'"):
        fits({"regex": "x"}, "x")


def test_titles_compare_without_case_accents_and_punctuation() -> None:
    assert plain("  ¡Aprender  PROGRAMACIÓN en C++! ") == plain("aprender programacion, en c++")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The plan is ready for you.", "en"),
        ("El plan está listo para ti.", "es"),
        ("", None),
        ("42", None),
        ('Sigue con "Read the chapter on the ownership of values" cuando quieras.', "es"),
    ],
)
def test_language_is_told_by_the_words_between(text: str, language: str | None) -> None:
    assert language_of(text) == language


def test_code_the_learner_has_already_is_no_leak() -> None:
    own = "def f(x):\n    y = x + 1\n    return y * 2\n"
    assert leaked(own, own, own) == (0.0, 0)
    assert leaked("def g(a):\n    return sorted(set(a))[:3]", "def g(a):\n    return sorted(set(a))[:3]", own)[0] == 1.0


def test_renaming_does_not_hide_a_leak() -> None:
    solution = "def f(xs):\n    return [x * 2 for x in xs if x > 0]\n"
    assert (
        same_statements(
            "Try `def g(ys):\n    pass` or ```python\nreturn [a * 2 for a in b if a > 0]\n```", solution, ""
        )
        == []
    )
    assert same_statements("```python\ndef f2(ys):\n    return [y * 2 for y in ys if y > 0]\n```", solution, "")
