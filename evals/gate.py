"""Compares an evaluation with a baseline and says, by an exit code, whether it may pass."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path

from pydantic import Field

from evals import statistics
from evals.results import Case, Key, Provenance, Report, Summary
from evals.samples import Strict

FEWEST = 5
"""Fewer shared cases than this prove nothing either way."""


class Exit(IntEnum):
    """What the process tells its caller."""

    OK = 0
    REGRESSION = 1
    USAGE = 2
    NOT_COMPARABLE = 3
    HARNESS = 4


class CaseBefore(Strict):
    """How a case did in the baseline."""

    suite: str
    passes: int
    trials: int
    value: float

    @property
    def stable(self) -> bool:
        """True when all its trials agreed; an unstable baseline case makes regressions out of nothing."""
        return self.passes in (0, self.trials)


class Baseline(Strict):
    """What is kept in git of an evaluation."""

    key: Key
    provenance: Provenance
    cases: dict[str, CaseBefore]
    suites: dict[str, tuple[float, float, float, int]] = Field(
        default_factory=dict[str, tuple[float, float, float, int]]
    )


class Comparison(Strict):
    """Two evaluations side by side."""

    exit: Exit
    reasons: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    unstable: tuple[str, ...] = ()
    """Cases whose baseline trials disagreed: shown, and kept out of the verdict."""
    p_value: float = 1.0
    change: tuple[float, float, float] | None = None
    """Mean change of a case's value with its interval, paired by case."""
    explained_by: tuple[str, ...] = ()
    """What else differs between the two: prompts, code, embedder."""


def baseline_of(report: Report, summaries: Sequence[Summary] = ()) -> Baseline:
    """Return what to keep of a report. Raises ValueError when it is incomplete: a gap would never be noticed again."""
    missing = [case.id for case in report.cases if len(report.of(case.id)) < report.key.trials]
    if report.infra or report.unscored or missing:
        raise ValueError(
            f"This evaluation is incomplete ({len(report.infra)} infrastructure errors, {len(report.unscored)} "
            f"unscored, {len(missing)} not run), so it cannot become a baseline."
        )
    return Baseline(
        key=report.key,
        provenance=report.provenance,
        cases={case.id: _before(report, case) for case in report.cases},
        suites={s.name: (s.passed, s.low, s.high, s.cases) for s in summaries},
    )


def compare(before: Baseline, after: Report, *, tolerance: float = 0.02, across_models: bool = False) -> Comparison:
    """Say whether `after` is worse than `before`.

    With one trial per case every pass that became a failure counts: the models are deterministic. With several, the
    paired mean must have fallen beyond `tolerance` with 95 % confidence, or a stable case lost every trial.
    """
    obstacles = _obstacles(before.key, after.key, across_models=across_models)
    if obstacles:
        return Comparison(exit=Exit.NOT_COMPARABLE, reasons=tuple(obstacles))
    if after.infra or after.unscored:
        reason = f"{len(after.infra)} runs failed in the harness, {len(after.unscored)} could not be scored"
        return Comparison(exit=Exit.HARNESS, reasons=(reason,))
    now = {case.id: _before(after, case) for case in after.cases}
    unstable = tuple(sorted(case for case, was in before.cases.items() if not was.stable))
    judged = [case for case in now if case not in unstable]
    passed_before = {case: before.cases[case].passes == before.cases[case].trials for case in judged}
    passed_now = {case: now[case].passes == now[case].trials for case in judged}
    test = statistics.mcnemar(passed_before, passed_now)
    change = statistics.paired_bootstrap(
        {case: before.cases[case].value for case in now}, {case: now[case].value for case in now}
    )
    broken = tuple(sorted(case for case in judged if passed_before[case] and not passed_now[case]))
    fixed = tuple(sorted(case for case in judged if passed_now[case] and not passed_before[case]))
    reasons = [f"{case} used to pass" for case in broken if after.key.trials == 1 or not now[case].passes]
    if after.key.trials > 1 and change.high < -tolerance:
        reasons.append(f"the mean fell by {-change.mean:.3f}, at least {-change.high:.3f} with 95 % confidence")
    return Comparison(
        exit=Exit.REGRESSION if reasons else Exit.OK,
        reasons=tuple(reasons),
        broken=broken,
        fixed=fixed,
        unstable=unstable,
        p_value=test.p_value,
        change=(change.mean, change.low, change.high),
        explained_by=_differences(before.provenance, after.provenance),
    )


def below(summaries: Sequence[Summary], least: Mapping[str, float]) -> list[str]:
    """Return the suites whose pass rate is under what is asked of them."""
    rates = {summary.name: summary.passed for summary in summaries}
    return [
        f"{suite} passes {rates.get(suite, 0):.1%}, asked for {rate:.1%}"
        for suite, rate in least.items()
        if rates.get(suite, 0.0) < rate
    ]


def read_baseline(path: Path) -> Baseline:
    """Read a baseline. Raises OSError, and ValueError for another kind of file."""
    return Baseline.model_validate_json(path.read_text(encoding="utf-8"))


def write_baseline(report: Report, summaries: Sequence[Summary], path: Path) -> None:
    """Keep a report as the baseline. Raises ValueError when it is incomplete."""
    path.write_text(baseline_of(report, summaries).model_dump_json(indent=1) + "\n", encoding="utf-8")


def part_of(before: Baseline, report: Report) -> Baseline:
    """Return the baseline without the suites this evaluation left out on purpose."""
    suites = {case.suite for case in report.cases}
    kept = {case: was for case, was in before.cases.items() if was.suite in suites}
    cases = {case: before.key.cases[case] for case in kept}
    whole = len(kept) == len(before.cases)
    scorers = {name: v for name, v in before.key.scorers.items() if whole or name in report.key.scorers}
    key = before.key.model_copy(update={"cases": cases, "scorers": scorers})
    return before.model_copy(update={"cases": kept, "key": key})


def _obstacles(before: Key, after: Key, *, across_models: bool) -> list[str]:
    found: list[str] = []
    if before.model != after.model and not across_models:
        found.append(f"the models differ: {before.model} before, {after.model} now")
    if before.trials != after.trials:
        found.append(f"{before.trials} trials before, {after.trials} now")
    gone, new = before.cases.keys() - after.cases.keys(), after.cases.keys() - before.cases.keys()
    found += [f"cases missing: {', '.join(sorted(gone))}"] if gone else []
    found += [f"cases the baseline does not know: {', '.join(sorted(new))}"] if new else []
    shared = before.cases.keys() & after.cases.keys()
    changed = sorted(case for case in shared if before.cases[case] != after.cases[case])
    if changed:
        found.append(f"cases rewritten since: {', '.join(changed)}")
    scorers = sorted(name for name in before.scorers.keys() | after.scorers.keys()
                     if before.scorers.get(name) != after.scorers.get(name))  # fmt: skip
    if scorers:
        found.append(f"scorers changed since: {', '.join(scorers)}")
    if len(shared) < FEWEST:
        found.append(f"fewer than {FEWEST} cases in common")
    return found


def _before(report: Report, case: Case) -> CaseBefore:
    trials = report.of(case.id)
    values = [trial.value for trial in trials if trial.value is not None]
    return CaseBefore(
        suite=case.suite,
        passes=sum(1 for trial in trials if trial.passed),
        trials=len(trials),
        value=round(sum(values) / len(values), 6) if values else 0.0,
    )


def _differences(before: Provenance, after: Provenance) -> tuple[str, ...]:
    return tuple(
        name for name in ("version", "prompts", "graphs", "embedder") if getattr(before, name) != getattr(after, name)
    )
