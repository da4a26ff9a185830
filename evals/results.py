"""What an evaluation comes to: every trial with its scores, the means with their intervals, and what they depend on."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from pydantic import Field

from evals import statistics
from evals.runs import Outcome, Run
from evals.samples import Sample, Strict
from evals.scorers import SCORERS, judge


class ScoreSeen(Strict):
    """One score as it is stored."""

    value: float | None
    deciding: bool = True
    """Whether the case's verdict rests on it; the others are shown, and stand in no mean."""
    answer: str = ""
    explanation: str = ""
    details: dict[str, float] = Field(default_factory=dict[str, float])


class Trial(Strict):
    """One run of one case, scored."""

    run: Run
    scores: dict[str, ScoreSeen]
    passed: bool | None
    """None when a deciding scorer could not judge it."""

    @property
    def value(self) -> float | None:
        """The mean of the deciding scores."""
        given = [score.value for score in self.scores.values() if score.deciding and score.value is not None]
        return fmean(given) if given else None


class Case(Strict):
    """What a report needs to know of a case."""

    id: str
    suite: str
    proves: str
    locale: str
    tags: tuple[str, ...]
    basis: tuple[str, ...]
    hash: str
    refusal: bool = False


class Key(Strict):
    """What two evaluations must have in common before their difference means anything."""

    cases: dict[str, str]
    """Hash of each case."""
    scorers: dict[str, int]
    model: str
    trials: int


class Provenance(Strict):
    """What may differ between two comparable evaluations, and explains their difference."""

    version: str = ""
    prompts: str = ""
    """Hash of the agents' and tools' source texts: what the model is told and offered."""
    graphs: str = ""
    embedder: str = ""
    seed: int = 0
    seconds: float = 0.0
    started_at: str = ""


class Report(Strict):
    """One whole evaluation."""

    key: Key
    provenance: Provenance
    cases: tuple[Case, ...]
    trials: tuple[Trial, ...]
    selftest: tuple[str, ...] = ()
    """One line per scorer: how many mutants it killed."""

    def of(self, case: str) -> list[Trial]:
        """Return the trials of one case."""
        return [trial for trial in self.trials if trial.run.sample == case]

    @property
    def infra(self) -> list[Trial]:
        """Trials the harness could not run: counted, never scored."""
        return [trial for trial in self.trials if trial.run.outcome is Outcome.INFRA]

    @property
    def unscored(self) -> list[Trial]:
        """Trials that ran and could still not be judged: an error of the case."""
        return [trial for trial in self.trials if trial.passed is None and trial.run.outcome is not Outcome.INFRA]

    @property
    def broken_limits(self) -> list[tuple[str, str]]:
        """Hard scorers at zero, with their case."""
        return [
            (trial.run.sample, name)
            for trial in self.trials
            for name, score in trial.scores.items()
            if SCORERS[name].hard and score.value is not None and score.value < 1
        ]


class Summary(Strict):
    """The figures of a suite or of a slice of it."""

    name: str
    cases: int
    passed: float
    low: float
    high: float
    power: dict[int, float] = Field(default_factory=dict[int, float])
    """pass^k, for every k up to the number of trials."""
    scorers: dict[str, tuple[float, float, float, int]] = Field(
        default_factory=dict[str, tuple[float, float, float, int]]
    )
    """Mean, its interval, and number of cases of each scorer."""


def scored(sample: Sample, run: Run) -> Trial:
    """Judge a run with the deciding scorers of its case and with every other one that has something to say."""
    scores = {name: judge(name, sample, run) for name in SCORERS}
    kept = {
        name: ScoreSeen(
            value=s.value,
            deciding=name in sample.basis,
            answer=s.answer,
            explanation=s.explanation,
            details=dict(s.details),
        )
        for name, s in scores.items()
        if name in sample.basis or (s.value is not None and run.outcome is not Outcome.CRASHED)
    }
    deciding = [kept[name].value for name in sample.basis]
    passed = None if any(value is None for value in deciding) else all(value == 1.0 for value in deciding)
    return Trial(run=run, scores=kept, passed=passed)


def summarise(name: str, report: Report, cases: Iterable[Case], *, scorers: bool = True) -> Summary | None:
    """Return the figures of these cases, or None when none of them was scored.

    The interval of every scorer is resampled, which takes a while for hundreds of cases: compute a summary once.
    """
    wanted = {case.id for case in cases}
    by_case: dict[str, list[Trial]] = {}
    for trial in report.trials:
        if trial.run.sample in wanted and trial.passed is not None:
            by_case.setdefault(trial.run.sample, []).append(trial)
    if not by_case:
        return None
    rates = {case: [float(bool(trial.passed)) for trial in trials] for case, trials in by_case.items()}
    if report.key.trials == 1:
        interval = statistics.wilson(sum(int(values[0]) for values in rates.values()), len(rates))
    else:
        interval = statistics.cluster_bootstrap(rates)
    least = min(len(values) for values in rates.values())
    power = {
        k: fmean(statistics.pass_power(round(sum(values)), len(values), k) for values in rates.values())
        for k in range(1, least + 1)
    }
    return Summary(
        name=name,
        cases=len(rates),
        passed=interval.mean,
        low=interval.low,
        high=interval.high,
        power=power,
        scorers=_by_scorer(by_case) if scorers else {},
    )


def _by_scorer(by_case: dict[str, list[Trial]]) -> dict[str, tuple[float, float, float, int]]:
    found: dict[str, tuple[float, float, float, int]] = {}
    for scorer in SCORERS:
        values = {
            case: [s.value for t in trials if (s := t.scores.get(scorer)) and s.deciding and s.value is not None]
            for case, trials in by_case.items()
        }
        values = {case: each for case, each in values.items() if each}
        if values:
            mean, low, high, cases = statistics.cluster_bootstrap(values)
            found[scorer] = (mean, low, high, cases)
    return found


def suites_of(report: Report) -> list[Summary]:
    """Return the figures of every suite, in their order."""
    names = list(dict.fromkeys(case.suite for case in report.cases))
    made = [summarise(name, report, [case for case in report.cases if case.suite == name]) for name in names]
    return [summary for summary in made if summary is not None]


def slices_of(report: Report) -> list[Summary]:
    """Return the figures by language and by tag, for every slice of at least three cases."""
    groups: dict[str, list[Case]] = {}
    for case in report.cases:
        for name in (f"{case.suite} · {case.locale}", *(f"{case.suite} · {tag}" for tag in case.tags)):
            groups.setdefault(name, []).append(case)
    wide = [(name, cases) for name, cases in sorted(groups.items()) if len(cases) >= 3]
    made = [summarise(name, report, cases, scorers=False) for name, cases in wide]
    return [summary for summary in made if summary is not None]


def calibration_of(report: Report, truth: dict[str, dict[str, bool]]) -> statistics.Calibration | None:
    """Return how well validation scores foretell what was planted; `truth` says per case which snapshots are sound."""
    stated: list[float] = []
    true: list[bool] = []
    for trial in report.trials:
        for check in trial.run.checked:
            sound = truth.get(trial.run.sample, {}).get(check.snapshot)
            if sound is not None and check.score is not None:
                stated.append(check.score)
                true.append(sound)
    return statistics.calibration(stated, true) if stated else None


def save(report: Report, folder: Path) -> Path:
    """Write the report as JSON and return where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.json"
    path.write_text(report.model_dump_json(), encoding="utf-8")
    return path


def read(path: Path) -> Report:
    """Read a report written by `save`. Raises OSError, and ValueError for another kind of file."""
    return Report.model_validate_json((path / "report.json" if path.is_dir() else path).read_text(encoding="utf-8"))


def now_text() -> str:
    """Return the present moment as reports write it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def cases_in(samples: Sequence[Sample], hashes: dict[str, str]) -> tuple[Case, ...]:
    """Return what the report keeps of each case."""
    return tuple(
        Case(
            id=sample.id,
            suite=sample.suite.value,
            proves=sample.proves,
            locale=sample.locale,
            tags=sample.tags,
            basis=sample.basis,
            hash=hashes[sample.id],
            refusal=sample.refusal,
        )
        for sample in samples
    )
