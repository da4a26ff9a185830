"""The score follows from the findings and from nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.reviewer_score import PASSING, TESTED, UNREADABLE, Verdict, verdict
from store.findings import Finding, Severity, Source

BASE = Finding("r", Source.LINT, "c", Severity.INFORMATIVE, 1, 1, "q", "t", "w", "general")


def made(severity: Severity, source: Source) -> Finding:
    return replace(BASE, severity=severity, source=source)


findings = st.lists(st.builds(made, st.sampled_from(list(Severity)), st.sampled_from(list(Source))), max_size=30)


@given(findings=findings, parsed=st.booleans(), tests=st.booleans())
def test_the_bounds_hold_whatever_was_found(findings: list[Finding], parsed: bool, tests: bool) -> None:
    result = verdict(findings, parsed=parsed, reviewed=True, tests_passed=tests)
    blocked = any(each.severity is Severity.ESSENTIAL for each in findings)
    assert result.score is not None
    assert 0 <= result.score <= 1
    assert result.passed is not blocked
    assert (result.score < PASSING) is blocked
    if tests and not blocked:
        assert result.score >= TESTED


@pytest.mark.parametrize(
    ("severities", "expected"),
    [
        ([], 1.0),
        ([Severity.CELEBRATORY], 1.0),
        ([Severity.INFORMATIVE], 0.98),
        ([Severity.ACTIONABLE], 0.92),
        ([Severity.ACTIONABLE] * 20, 0.6),
        ([Severity.ESSENTIAL], 0.59),
        ([Severity.ESSENTIAL] * 2, 0.5),
        ([Severity.ESSENTIAL] * 9, 0.0),
    ],
)
def test_figures(severities: list[Severity], expected: float) -> None:
    result = verdict([replace(BASE, severity=each) for each in severities], parsed=True, reviewed=True)
    assert result.score == expected


def test_code_that_cannot_be_read_scores_at_most_a_fifth() -> None:
    broken = replace(BASE, severity=Severity.ESSENTIAL, source=Source.SYNTAX)
    assert verdict([broken], parsed=False, reviewed=True) == Verdict(False, UNREADABLE)


def test_without_anybody_looking_there_is_no_verdict() -> None:
    assert verdict([BASE], parsed=False, reviewed=False) == Verdict(None, None)


def test_what_nobody_could_judge_earns_no_points() -> None:
    assert verdict([], parsed=True, reviewed=True, untold=1.0) == Verdict(True, 0.8)
    assert verdict([], parsed=True, reviewed=True, untold=0.5) == Verdict(True, 0.9)
    assert verdict([BASE] * 40, parsed=True, reviewed=True, untold=1.0) == Verdict(True, PASSING)
