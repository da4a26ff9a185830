"""What is believed of a review: only findings whose quote stands in the code, once each, with evidence that exists."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agents.reviewer import Met, Review, ReviewFinding
from agents.wording import carries_link
from store.findings import ORDER, Change, Finding, Severity, Source, normalised, numbered

SHOWN = 3
SURE = 0.5
"""Below this a model's finding may not block passing."""
_CLAIM = re.compile(r"(?i)\b(tests?|pruebas?)\b[^.]{0,40}\b(pass|fail|green|pasan?|fall(an?|aron)|correct)")
_CODE_IN_PROSE = re.compile(r"```|[;{}]\s*$|\breturn\s+\w|^\s*(def|function|func|fn)\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion of the task and whether it is met; `cannot_tell` never counts as met."""

    text: str
    met: Met
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A review after the checks."""

    findings: tuple[Finding, ...]
    rubric: tuple[Criterion, ...]
    summary: str
    dropped: tuple[str, ...]
    """Why findings of the model were thrown away, for the record."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a review is checked against."""

    code: str
    static: Sequence[Finding]
    criteria: Sequence[str]
    evidence_ids: frozenset[str] = frozenset()
    tests_given: bool = False
    unchanged_lines: frozenset[int] = frozenset()
    """Lines that stood in the previous version too, and were not found fault with there."""
    known_before: frozenset[str] = frozenset()
    """Identities of the findings of earlier versions."""


def check(review: Review, grounds: Grounds) -> Checked:
    """Keep of a review what the code bears out, join it with the static findings, and say what was thrown away."""
    lines = grounds.code.split("\n")
    kept: list[Finding] = []
    dropped: list[str] = []
    for proposed in review.findings[:10]:
        outcome = _proved(proposed, lines, grounds)
        if isinstance(outcome, str):
            dropped.append(outcome)
        elif _repeats(outcome, [*grounds.static, *kept]):
            dropped.append(f"said already: {outcome.title[:80]}")
        else:
            kept.append(outcome)
    fresh: list[Finding] = []
    for finding in numbered(kept):
        seen_before = finding.identity in grounds.known_before
        if finding.line_start in grounds.unchanged_lines and not seen_before:
            # a model that reads the same lines twice finds something else each time; that is noise, not news
            dropped.append(f"new fault on an unchanged line: {finding.title[:80]}")
        else:
            fresh.append(finding)
    claims = not grounds.tests_given and _CLAIM.search(review.summary)
    summary = "" if claims or carries_link(review.summary) else review.summary.strip()[:600]
    return Checked(tuple(in_order([*grounds.static, *fresh])), _rubric(review, grounds, lines), summary, tuple(dropped))


def _proved(proposed: ReviewFinding, lines: Sequence[str], grounds: Grounds) -> Finding | str:
    place = locate(proposed.quote, proposed.line_start, proposed.line_end, lines)
    if place is None:
        return f"quote not in the code: {proposed.title[:80]}"
    words = f"{proposed.title} {proposed.why}"
    if not grounds.tests_given and _CLAIM.search(words):
        return f"speaks of tests nobody ran: {proposed.title[:80]}"
    if carries_link(words):
        return f"holds a link or markup: {proposed.category}"
    if not proposed.title.strip() or _CODE_IN_PROSE.search(words):
        return f"holds code instead of advice: {proposed.title[:80]}"
    unknown = [each for each in proposed.evidence_ids if each not in grounds.evidence_ids]
    if unknown:
        return f"cites evidence that does not exist: {', '.join(unknown)[:80]}"
    severity = Severity(proposed.severity)
    confidence = min(1.0, max(0.0, proposed.confidence))
    if severity is Severity.ESSENTIAL and confidence < SURE:
        severity = Severity.ACTIONABLE
    start, end = place
    return Finding(
        rule_id=f"model.{proposed.category}",
        source=Source.MODEL,
        category=proposed.category,
        severity=severity,
        line_start=start,
        line_end=end,
        quote="\n".join(lines[start - 1 : end])[:300],
        title=proposed.title.strip()[:200],
        why=proposed.why.strip()[:400],
        hint_key="general",
        evidence_ids=tuple(dict.fromkeys(proposed.evidence_ids)),
        confidence=confidence,
    )


def locate(quote: str, start: int, end: int, lines: Sequence[str]) -> tuple[int, int] | None:
    """Where a quote really stands: on the lines it names, else at its one other place, else nowhere."""
    wanted = [normalised(line) for line in quote.split("\n") if line.strip()]
    if not wanted:
        return None
    matches = [
        place
        for place in range(1, len(lines) - len(wanted) + 2)
        if _stands(wanted, lines[place - 1 : place - 1 + len(wanted)])
    ]
    near = [place for place in matches if start <= place <= max(start, end)]
    found = near[0] if near else (matches[0] if len(matches) == 1 else None)
    return None if found is None else (found, found + len(wanted) - 1)


def _stands(wanted: Sequence[str], lines: Sequence[str]) -> bool:
    return len(lines) == len(wanted) and all(part in normalised(line) for part, line in zip(wanted, lines, strict=True))


def _repeats(finding: Finding, others: Sequence[Finding]) -> bool:
    for other in others:
        overlap = finding.line_start <= other.line_end and other.line_start <= finding.line_end
        if overlap and (finding.category == other.category or _alike(finding.title, other.title)):
            return True
    return False


def _alike(one: str, other: str) -> bool:
    first, second = set(re.findall(r"\w{4,}", one.lower())), set(re.findall(r"\w{4,}", other.lower()))
    return bool(first) and len(first & second) / len(first | second) > 0.5


def _rubric(review: Review, grounds: Grounds, lines: Sequence[str]) -> tuple[Criterion, ...]:
    """One entry per criterion; a judgement whose quote is not in the learner's code counts as none."""
    given = {item.criterion: item for item in review.rubric}
    result: list[Criterion] = []
    for number, text in enumerate(grounds.criteria, start=1):
        item = given.get(number)
        met: Met = item.met if item is not None else "cannot_tell"
        quote = item.quote if item is not None else ""
        if quote and locate(quote, 1, len(lines), lines) is None and quote not in grounds.code:
            met, quote = "cannot_tell", ""
        result.append(Criterion(text, met, quote[:300]))
    return tuple(result)


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Most important first; among equals what is certain, then what stands first."""
    return sorted(findings, key=lambda each: (ORDER[each.severity], -each.confidence, each.line_start, each.rule_id))


def shown(findings: Sequence[Finding]) -> list[Finding]:
    """The few a learner is shown: essential first, no rule twice, and a kind word only where nothing is essential."""
    chosen: list[Finding] = []
    blocked = any(each.severity is Severity.ESSENTIAL for each in findings)
    for finding in in_order(findings):
        if finding.severity is Severity.CELEBRATORY and blocked:
            continue
        if finding.rule_id not in {each.rule_id for each in chosen} or finding.source is Source.MODEL:
            chosen.append(finding)
    return chosen[:SHOWN]


@dataclass(frozen=True, slots=True)
class Compared:
    """This version's findings beside those of the versions before."""

    findings: tuple[Finding, ...]
    fixed: tuple[Finding, ...]


def compare(findings: Sequence[Finding], earlier: Sequence[Mapping[str, Finding]]) -> Compared:
    """Tell new findings from those that persist, came back or are gone. `earlier` holds older versions, newest first.

    What persists keeps the words a model first found for it; others are those of the catalogue, in the language asked
    for now.
    """
    before: Mapping[str, Finding] = earlier[0] if earlier else {}
    older = {identity for version in earlier[1:] for identity in version}
    current: list[Finding] = []
    for finding in findings:
        known = before.get(finding.identity)
        if known is not None:
            told = known if finding.source is Source.MODEL else finding
            current.append(replace(finding, title=told.title, why=told.why, change=Change.PERSISTS))
        else:
            back = finding.identity in older
            current.append(replace(finding, change=Change.REGRESSED if back else Change.NEW))
    identities = {finding.identity for finding in findings}
    gone = [replace(each, change=Change.FIXED) for key, each in before.items() if key not in identities]
    return Compared(tuple(current), tuple(each for each in in_order(gone) if each.severity is not Severity.CELEBRATORY))
