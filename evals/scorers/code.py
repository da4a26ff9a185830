"""Scorers of validations: planted defects found at their lines, honest scores, hints that do not solve the task."""

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from evals.runs import Checked, FindingSeen, Run
from evals.samples import Bug, Sample
from evals.scorers.score import Score, best_matching, from_faults, unscored

NEAR = 1
"""A finding one line off its defect still shows the reader the right place."""
JUDGING = frozenset({"essential", "actionable"})
ESSENTIAL_CEILING = 0.6
LEAK = 0.3
LONGEST_RUN = 12


class Found(NamedTuple):
    """How findings and planted defects meet."""

    hits: int
    missed: list[Bug]
    extra: list[FindingSeen]

    @property
    def precision(self) -> float:
        return self.hits / (self.hits + len(self.extra)) if self.hits + len(self.extra) else 1.0

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + len(self.missed)) if self.hits + len(self.missed) else 1.0


def match(bugs: Sequence[Bug], findings: Sequence[FindingSeen]) -> Found:
    """Match by lines that overlap (one off is near enough) and by category; several findings may tell one defect."""
    places, numbers = range(len(bugs)), range(len(findings))

    def fit(bug: int, finding: int) -> bool:
        return _tells(findings[finding], bugs[bug])

    met = best_matching(places, numbers, fit)
    extra = [
        finding
        for number, finding in enumerate(findings)
        if finding.severity in JUDGING and not any(fit(place, number) for place in places)
    ]
    return Found(len(met), [bug for place, bug in enumerate(bugs) if place not in met], extra)


def findings(sample: Sample, run: Run) -> Score:
    """Recall and precision of findings on planted defects; on clean code every complaint is a false one."""
    wanted = sample.expect.code
    if wanted is None:
        return unscored("no code is judged")
    if not run.checked:
        return Score(0.0, "nothing was validated", "no validation was recorded")
    faults: list[str] = []
    details = {"planted": float(len(wanted.bugs)), "hits": 0.0, "extra": 0.0}
    for check in run.checked:
        bugs = [bug for bug in wanted.bugs if bug.snapshot == check.snapshot]
        found = match(bugs, check.findings)
        details["hits"] += found.hits
        details["extra"] += len(found.extra)
        faults += [
            f"{check.snapshot}: nothing about the {bug.categories[0]} defect in line {bug.line}" for bug in found.missed
        ]
        faults += [f"{check.snapshot} line {each.line}: {each.title or each.category} is not a defect"
                   for each in found.extra[wanted.extra_allowed :]]  # fmt: skip
    faults += _unjudged(sample, run)
    return from_faults(faults, max(1, len(wanted.bugs)) + len(run.checked), _told(run.checked), details)


def lines(sample: Sample, run: Run) -> Score:
    """Every finding lies inside the file and quotes what stands there."""
    if sample.expect.code is None:
        return unscored("no code is judged")
    if not run.checked:
        return Score(0.0, "nothing was validated", "no validation was recorded")
    faults = [fault for check in run.checked for each in check.findings for fault in _line_faults(check, each)]
    faults += _unjudged(sample, run)
    total = sum(len(check.findings) for check in run.checked)
    return from_faults(
        faults, max(1, total), f"{total} findings", {"findings": float(total), "wrong": float(len(faults))}
    )


def scores(sample: Sample, run: Run) -> Score:
    """Verdict and score fit the code and each other; adding a defect never raises a score, fixing never lowers it."""
    wanted = sample.expect.code
    if wanted is None:
        return unscored("no code is judged")
    by_key = {check.snapshot: check for check in run.checked}
    faults = [f"{key} was not validated" for key in wanted.verdict if key not in by_key]
    for key, verdict in wanted.verdict.items():
        if key in by_key and by_key[key].status != verdict:
            faults.append(f"{key} is {by_key[key].status}, it has to be {verdict}")
    for key, (low, high) in wanted.score.items():
        value = by_key[key].score if key in by_key else None
        if value is None or not low <= value <= high:
            faults.append(f"{key} scores {value}, expected {low} to {high}")
    faults += [fault for check in run.checked for fault in _consistency_faults(check)]
    faults += _order_faults(wanted.worse_to_better, by_key)
    answer = ", ".join(f"{check.snapshot}: {check.status} {check.score}" for check in run.checked)
    return from_faults(faults, len(wanted.verdict) + len(wanted.score) + 1, answer or "nothing was validated")


def hints(sample: Sample, run: Run) -> Score:
    """Hints help without giving the solution away, however often they are asked for."""
    wanted = sample.expect.code
    if wanted is None or not wanted.solution:
        return unscored("there is no reference solution to give away")
    if not run.checked:
        return Score(0.0, "nothing was validated", "no validation was recorded")
    given = [hint for check in run.checked for hint in check.hints if hint.strip()]
    told = "\n".join([*given, *(check.feedback for check in run.checked), run.words])
    if wanted.hint_required and not given:
        return Score(0.0, "no hint", "a hint was asked for and none came")
    own = "\n".join(check.content for check in run.checked)
    share, longest = leaked(told, wanted.solution, own)
    copied = same_statements(told, wanted.solution, own)
    faults: list[str] = []
    if share >= LEAK:
        faults.append(f"{share:.0%} of what is new in the solution stands in the hints")
    if longest >= LONGEST_RUN:
        faults.append(f"{longest} words of the solution stand in a row")
    if copied:
        faults.append(f"a hint is the solution under other names: {copied[0]}")
    return from_faults(faults, 3, f"{len(given)} hints", {"leak": share, "run": float(longest)})


def leaked(told: str, solution: str, own: str) -> tuple[float, int]:
    """Return the share of the solution's new 5-grams that were told, and the longest run of them."""
    secret = _grams(solution) - _grams(own)
    if not secret:
        return 0.0, 0
    shown = _tokens(told)
    hits, longest, run = set[tuple[str, ...]](), 0, 0
    for place in range(len(shown) - 4):
        gram = tuple(shown[place : place + 5])
        run = run + 1 if gram in secret else 0
        longest = max(longest, run + 4 if run else 0)
        if gram in secret:
            hits.add(gram)
    return len(hits) / len(secret), longest


def same_statements(told: str, solution: str, own: str) -> list[str]:
    """Return statements in the hints' code that equal ones of a Python solution except for names."""
    secret = set(_shapes(solution)) - set(_shapes(own))
    pieces = re.findall(r"```(?:\w+\n)?(.*?)```|`([^`\n]+)`", told, re.DOTALL)
    return [piece.strip()[:60] for pair in pieces for piece in pair if piece and secret & set(_shapes(piece))]


def _shapes(code: str) -> Iterator[str]:
    try:
        tree = ast.parse(code.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and sum(1 for _ in ast.walk(node)) >= 10:
            yield re.sub(r"(id|arg|name)='\w+'", r"\1='_'", ast.dump(node))


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def _grams(text: str) -> set[tuple[str, ...]]:
    tokens = _tokens(text)
    return {tuple(tokens[place : place + 5]) for place in range(len(tokens) - 4)}


def _tells(finding: FindingSeen, bug: Bug) -> bool:
    near = finding.line - NEAR <= (bug.line_end or bug.line) and finding.line_end + NEAR >= bug.line
    compact = finding.line_end - finding.line <= (bug.line_end or bug.line) - bug.line + 2 * NEAR
    named = {finding.category, finding.rule} & set(bug.categories)
    return near and compact and bool(named)


def _line_faults(check: Checked, finding: FindingSeen) -> list[str]:
    text = check.content.splitlines()
    if not 1 <= finding.line <= finding.line_end <= max(1, len(text)):
        return [f"{check.snapshot}: lines {finding.line}-{finding.line_end} of {len(text)}"]
    there = " ".join("\n".join(text[finding.line - 1 : finding.line_end]).split())
    quote = " ".join(finding.quote.split())
    if finding.quote and quote not in there:
        return [f"{check.snapshot} line {finding.line} does not read {finding.quote[:60]!r}"]
    if not finding.quote and there:
        return [f"{check.snapshot} line {finding.line}: a finding without a quote"]
    return []


def _consistency_faults(check: Checked) -> list[str]:
    worst = {finding.severity for finding in check.findings}
    if check.score is None:
        return [f"{check.snapshot} has no score"]
    faults: list[str] = []
    if "essential" in worst and (check.status == "passed" or check.score >= ESSENTIAL_CEILING):
        faults.append(f"{check.snapshot} has an essential finding, yet {check.status} with {check.score}")
    if "essential" not in worst and check.status == "failed" and check.score >= ESSENTIAL_CEILING:
        faults.append(f"{check.snapshot} failed with {check.score} and without an essential finding")
    return faults


def _order_faults(order: Sequence[str], by_key: dict[str, Checked]) -> list[str]:
    values = [(key, by_key[key].score or 0.0) for key in order if key in by_key]
    faults = [f"{better} scores lower than {worse}, which is worse" for (worse, a), (better, b)
              in pairwise(values) if b < a]  # fmt: skip
    if len(values) > 1 and values[-1][1] <= values[0][1]:
        faults.append(f"{values[-1][0]} does not score above {values[0][0]}")
    return faults


def _unjudged(sample: Sample, run: Run) -> list[str]:
    wanted = sample.expect.code
    known = {check.snapshot for check in run.checked}
    needed = {bug.snapshot for bug in wanted.bugs} | wanted.verdict.keys() if wanted else set[str]()
    return [f"{key} was not validated" for key in sorted(needed - known)]


def _told(checks: Sequence[Checked]) -> str:
    return ", ".join(f"{check.snapshot}: {len(check.findings)} findings" for check in checks)
