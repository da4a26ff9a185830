"""Hints: the ladder waits for real attempts, asking twice gives the same, and no solution gets out."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from agents import hints
from agents.hints_ladder import fingerprint, step
from agents.hints_leak import leaks, overlap
from store.findings import Finding, Severity, Source
from store.hint_grants import Grant
from tools.static_analysis.api import rules

PROBLEM = Finding(
    "division-by-length", Source.LINT, "correctness", Severity.ESSENTIAL, 3, 3, "q", "t", "w", "empty-input", "mean"
)
FIRST = "def mean(xs):\n    return sum(xs) / len(xs)\n"
SECOND = "def mean(xs):\n    n = len(xs)\n    return sum(xs) / n\n"
SOLUTION = "def mean(xs):\n    if not xs:\n        return 0.0\n    return sum(xs) / len(xs)\n"


def taken(level: int, code: str, words: str = "words", hint_key: str = "empty-input") -> Grant:
    here = fingerprint(code, "python")
    return Grant(UUID(int=1), UUID(int=2), hint_key, level, here, words, datetime(2026, 3, 1, tzinfo=UTC))


def level(asked: int, code: str, *before: Grant, problem: Finding | None = PROBLEM) -> int:
    return step(asked, problem, fingerprint(code, "python"), before).level


def test_no_hint_is_given_unasked_or_without_a_problem() -> None:
    assert level(0, FIRST) == 0
    assert level(4, FIRST, problem=None) == 0
    assert level(4, FIRST, problem=replace(PROBLEM, severity=Severity.CELEBRATORY)) == 0


def test_the_ladder_is_climbed_one_attempt_at_a_time() -> None:
    assert level(4, FIRST) == 1
    assert level(4, FIRST, taken(1, FIRST)) == 1
    assert level(4, SECOND, taken(1, FIRST)) == 2
    assert level(4, SECOND, taken(1, FIRST), taken(2, SECOND)) == 2
    assert level(4, "x = 3", taken(1, FIRST), taken(2, SECOND)) == 3


def test_layout_comments_and_going_back_are_no_attempts() -> None:
    spaced = "def mean(xs):  # again\n\n    return sum( xs ) / len(xs)\n"
    assert level(4, spaced, taken(1, FIRST)) == 1
    assert level(4, FIRST, taken(1, FIRST), taken(2, SECOND)) == 1


def test_problems_of_syntax_start_higher_and_each_kind_has_its_own_ladder() -> None:
    broken = replace(PROBLEM, hint_key="syntax")
    assert level(4, FIRST, problem=broken) == 3
    assert level(4, FIRST, taken(1, SECOND), problem=broken) == 3


def test_asking_again_returns_the_same_words() -> None:
    again = step(1, PROBLEM, fingerprint(FIRST, "python"), [taken(1, FIRST, "Look at line 2.")])
    assert (again.level, again.words) == (1, "Look at line 2.")
    assert step(4, PROBLEM, fingerprint(FIRST, "python"), [taken(1, FIRST)]).held_back


def test_every_kind_of_problem_has_words_in_both_languages() -> None:
    for key in {rule.hint_key for rule in rules().values()} - {"none"}:
        for number in (2, 3, 4):
            english, spanish = hints.prepared(key, number, "en"), hints.prepared(key, number, "es-MX")
            assert english != spanish
            for text in (english, spanish):
                assert leaks(number, text, "", "python", references=[SOLUTION], defined=["mean"]) == ""
    assert hints.prepared("nobody-knows", 2, "en") == hints.prepared("general", 2, "en")
    assert hints.place(PROBLEM, "es") == "Conviene mirar la línea 3 (`mean`)."


@pytest.mark.parametrize(
    ("number", "text", "code"),
    [
        (2, "Add this:\n```python\nif not xs:\n    return 0.0\n```", ""),
        (2, "Put `if not xs: return 0.0` first.", ""),
        (2, "Write the line\nreturn sum(xs) / len(xs)\nlast.", ""),
        (3, "As follows.", SOLUTION),
        (3, "As follows.", "if not xs:\n    return 0.0\nreturn sum(xs) / len(xs)"),
        (3, "On other data:", "\n".join(f"a{n} = {n}" for n in range(9))),
        (4, "Next:", "def mean(xs):\n    return 0"),
        (4, "Next:", "const mean = (xs) => xs"),
        (4, "x" * 800, ""),
        (2, "The answer is at https://evil.example.", ""),
    ],
)
def test_a_hint_that_gives_the_solution_away_is_refused(number: int, text: str, code: str) -> None:
    assert leaks(number, text, code, "python", references=[SOLUTION], defined=["mean"])


@pytest.mark.parametrize(
    ("number", "text", "code"),
    [
        (2, "What should `mean` answer when `xs` is empty?", ""),
        (3, "As with eggs on a scale:", "if basket.empty():\n    print('nothing to weigh')"),
        (4, "Begin with the question:", "if not xs:"),
    ],
)
def test_a_hint_that_leads_there_is_given(number: int, text: str, code: str) -> None:
    assert leaks(number, text, code, "python", references=[SOLUTION], defined=["mean"]) == ""


def test_the_solution_cannot_be_asked_for_in_slices() -> None:
    slices = ["if not xs:\n    return 0.0", "return sum(xs)"]
    first = leaks(4, "One.", slices[0], "python", references=[SOLUTION], defined=[])
    earlier = ["```\ndef mean(xs):\n    if not xs:\n```"]
    assert first == "code of a known solution"
    assert "slices" in leaks(
        4,
        "Three.",
        "total = sum(xs) / 2",
        "python",
        references=[SOLUTION],
        defined=[],
        before=[*earlier, "```\nreturn sum(xs) / len(xs)\n```"],
    )


def test_overlap_counts_shared_runs_of_five_tokens() -> None:
    assert overlap(SOLUTION, SOLUTION, "python") == 1.0
    assert overlap("a b c d", SOLUTION, "python") == 0.0
    assert overlap("return sum(xs) / len(xs)", SOLUTION, "python") == 1.0
    assert overlap("x = 1 + 2 + 3 + 4", SOLUTION, "python") == 0.0
