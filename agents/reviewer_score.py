"""The score: computed from the findings alone, so that the same findings always give the same number."""

from collections.abc import Sequence
from dataclasses import dataclass

from store.findings import Finding, Severity, Source

WEIGHTS = {Severity.ESSENTIAL: 0.25, Severity.ACTIONABLE: 0.08, Severity.INFORMATIVE: 0.02, Severity.CELEBRATORY: 0.0}
PASSING = 0.6
"""Every score of a snapshot that passed is at least this, and every other one is below: the two never overlap."""
TESTED = 0.7
UNREADABLE = 0.2
UNTOLD = 0.2
"""What is missing from a full score when none of the task's criteria could be judged."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`passed` is None when nothing looked at the code closely enough to say."""

    passed: bool | None
    score: float | None


def verdict(
    findings: Sequence[Finding],
    *,
    parsed: bool,
    reviewed: bool,
    tests_passed: bool = False,
    empty: bool = False,
    untold: float = 0.0,
) -> Verdict:
    """Weigh the findings.

    `parsed`: the code was read without a syntax error. `reviewed`: a model or a full static analysis looked at it.
    `untold`: the share of criteria that could not be judged; what nobody judged earns no points.
    `tests_passed`: all tests of the learner's own run passed; it lifts a clean score and never outweighs a finding.
    """
    essential = [each for each in findings if each.severity is Severity.ESSENTIAL]
    if not essential and not reviewed:
        return Verdict(None, None)
    if empty:
        return Verdict(False, 0.0)
    small = sum(WEIGHTS[each.severity] for each in findings if each not in essential)
    minor = min(1 - PASSING, small + UNTOLD * untold)
    if not essential:
        score = 1 - minor
        return Verdict(True, round(max(score, TESTED) if tests_passed else score, 2))
    score = max(0.0, 1 - minor - WEIGHTS[Severity.ESSENTIAL] * len(essential))
    unreadable = not parsed and any(each.source is Source.SYNTAX for each in essential)
    return Verdict(False, round(min(score, UNREADABLE if unreadable else PASSING - 0.01), 2))
