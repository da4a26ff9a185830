"""What the commands do: run, show, write reports, compare, and turn the outcome into an exit code."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from evals import datasets, gate, results, runner
from evals.cassettes import path_of
from evals.gate import Comparison, Exit
from evals.report.html import html
from evals.report.junit import junit
from evals.results import Report, Summary, Trial, suites_of
from evals.runner import Options
from evals.samples import Sample, Suite
from evals.selftest import proof

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to do with a run once it is over."""

    out: Path
    baseline: Path | None = None
    write_to: Path | None = None
    least: dict[str, float] = field(default_factory=dict[str, float])
    tolerance: float = 0.02
    redact: bool = False


class WrongUse(Exception):
    """The command line asks for something that does not exist."""


def options(
    suites: Sequence[Suite] | None,
    only: Sequence[str] | None,
    model: str,
    trials: int,
    seed: int,
    jobs: int | None,
    cassettes: Path,
    data: Path,
    *,
    record: bool = False,
) -> Options:
    """Return the options of a run from what the command line says."""
    given = Options(
        suites=tuple(suites or Suite),
        model=model,
        trials=trials,
        seed=seed,
        only=tuple(only or ()),
        data=data,
        cassettes=cassettes.absolute(),
        record=record,
    )
    return given if jobs is None else replace(given, jobs=jobs)


def thresholds(texts: Sequence[str]) -> dict[str, float]:
    """Read `suite=0.9` texts. Ends the process with exit code 2 for anything else."""
    least: dict[str, float] = {}
    for text in texts:
        suite, _, rate = text.partition("=")
        try:
            least[Suite(suite).value] = float(rate)
        except ValueError:
            errors.print(f"--min {text!r}: write a suite and a rate, such as goal=0.9.")
            raise SystemExit(Exit.USAGE) from None
    return least


def run(given: Options, wanted: Wanted) -> int:
    """Run, show, write and judge an evaluation; returns the exit code."""
    try:
        _check_model(given)
        samples = runner.chosen(given)
        if not samples:
            raise WrongUse("No case has such a name.")
        report = _with_progress(given, len(samples) * given.trials)
        report = report.model_copy(update={"selftest": tuple(proof.lines())})
    except (datasets.DatasetError, WrongUse) as error:
        errors.print(f"[red]{error}[/red]")
        return Exit.USAGE
    except (OSError, RuntimeError) as error:
        errors.print(f"[red]The evaluation could not be run: {error}[/red]")
        return Exit.HARNESS
    comparison = _compared(report, given, wanted)
    summaries = suites_of(report)
    write(report, summaries, wanted.out, comparison, samples, redact=wanted.redact)
    show(report, summaries, comparison)
    console.print(f"Report: {wanted.out / 'report.html'}")
    if wanted.write_to is not None:
        return _kept(report, summaries, wanted.write_to)
    return verdict(report, summaries, comparison, wanted.least)


def compare(before: Path, after: Path, *, tolerance: float, across_models: bool) -> int:
    """Compare two stored evaluations; returns the exit code."""
    try:
        earlier, later = _stored(before), results.read(after)
    except (OSError, ValueError) as error:
        errors.print(f"[red]{error}[/red]")
        return Exit.USAGE
    comparison = gate.compare(earlier, later, tolerance=tolerance, across_models=across_models)
    show(later, suites_of(later), comparison)
    return comparison.exit


def rewrite(source: Path, out: Path | None, baseline: Path, *, redact: bool) -> int:
    """Write the reports of a stored evaluation again; returns the exit code."""
    try:
        report = results.read(source)
    except (OSError, ValueError) as error:
        errors.print(f"[red]{error}[/red]")
        return Exit.USAGE
    folder = out or (source if source.is_dir() else source.parent)
    comparison = None
    if baseline.exists():
        found = gate.compare(gate.part_of(gate.read_baseline(baseline), report), report)
        comparison = None if found.exit is Exit.NOT_COMPARABLE else found
    write(report, suites_of(report), folder, comparison, datasets.load_all(), redact=redact)
    console.print(f"Report: {folder / 'report.html'}")
    return Exit.OK


def selftest(data: Path, *, full: bool) -> int:
    """Run the self-test, show what was caught, and return the exit code."""
    try:
        samples, bases = datasets.load_all(folder=data), datasets.worlds(data)
    except datasets.DatasetError as error:
        errors.print(f"[red]{error}[/red]")
        return Exit.USAGE
    for line in proof.lines():
        console.print(line)
    problems = [*proof.matrix_problems(), *proof.agent_problems(samples, bases)]
    if full:
        with _bar("gold scripts") as bar:
            task = bar.add_task("gold", total=len(samples))
            problems += proof.gold_problems(samples, lambda: bar.advance(task))
        console.print(f"{len(samples)} gold scripts played against the real store")
    for problem in problems:
        errors.print(f"[red]{problem}[/red]")
    console.print("[green]The scorers can be trusted to fail.[/green]" if not problems else f"{len(problems)} problems")
    return Exit.REGRESSION if problems else Exit.OK


def write(
    report: Report,
    summaries: Sequence[Summary],
    folder: Path,
    comparison: Comparison | None,
    samples: Sequence[Sample],
    *,
    redact: bool = False,
) -> None:
    """Write report.json, report.html and junit.xml."""
    results.save(report, folder)
    calibrated = results.calibration_of(report, truth_of(samples))
    page = html(report, summaries, comparison, calibrated, redact=redact)
    (folder / "report.html").write_text(page, encoding="utf-8")
    (folder / "junit.xml").write_text(junit(report), encoding="utf-8")


def truth_of(samples: Sequence[Sample]) -> dict[str, dict[str, bool]]:
    """Return for every case which of its snapshots are sound, as far as it says."""
    return {
        sample.id: {key: verdict == "passed" for key, verdict in sample.expect.code.verdict.items()}
        for sample in samples
        if sample.expect.code is not None
    }


def show(report: Report, summaries: Sequence[Summary], comparison: Comparison | None) -> None:
    """Print the suites, what failed, and the comparison."""
    table = Table(title=f"{report.key.model}, {report.provenance.seconds:g} s", title_justify="left")
    for name, justify in (
        ("suite", "left"),
        ("cases", "right"),
        ("passed", "right"),
        ("95 %", "right"),
        ("worst", "left"),
    ):
        table.add_column(name, justify=justify)  # pyright: ignore[reportArgumentType]
    for summary in summaries:
        worst = sorted((mean, name) for name, (mean, *_) in summary.scorers.items() if mean < 1)[:3]
        table.add_row(
            summary.name,
            str(summary.cases),
            f"{summary.passed:.1%}",
            f"{summary.low:.1%} to {summary.high:.1%}",
            ", ".join(f"{name} {mean:.3f}" for mean, name in worst) or "all scorers at 1",
        )
    console.print(table)
    for trial in report.trials:
        if not trial.passed:
            console.print(_told(trial), soft_wrap=True)
    if comparison is not None:
        _show_comparison(comparison)


def verdict(
    report: Report, summaries: Sequence[Summary], comparison: Comparison | None, least: dict[str, float]
) -> int:
    """Return the exit code of an evaluation, and print why it is not 0."""
    if report.infra or report.unscored:
        errors.print(f"[red]{len(report.infra)} runs failed in the harness, {len(report.unscored)} unscored[/red]")
        return Exit.HARNESS
    reasons = [f"{case}: {name} is a hard limit" for case, name in report.broken_limits]
    reasons += gate.below(summaries, least)
    for reason in reasons:
        errors.print(f"[red]{reason}[/red]")
    if comparison is not None and comparison.exit is not Exit.OK:
        return comparison.exit
    return Exit.REGRESSION if reasons else Exit.OK


def _show_comparison(comparison: Comparison) -> None:
    colour = "green" if comparison.exit is Exit.OK else "red"
    name = comparison.exit.name.lower().replace("_", " ")
    console.print(f"Against the baseline: [{colour}]{name}[/{colour}]")
    for reason in comparison.reasons:
        console.print(f"  {reason}")
    if comparison.fixed:
        console.print(f"  newly passing: {', '.join(comparison.fixed)}")
    if comparison.unstable:
        console.print(f"  unstable in the baseline, not judged: {', '.join(comparison.unstable)}")
    if comparison.change is not None:
        mean, low, high = comparison.change
        console.print(f"  mean change of a case {mean:+.4f} [{low:+.4f}, {high:+.4f}], p = {comparison.p_value:.3f}")


def _told(trial: Trial) -> str:
    mark = "[yellow]unscored[/yellow]" if trial.passed is None else "[red]failed[/red]"
    faults = [
        f"{name}: {s.explanation}"
        for name, s in trial.scores.items()
        if s.deciding and s.value is not None and s.value < 1
    ]
    why = faults[0] if faults else trial.run.error
    return f"{mark} {trial.run.sample}  [dim]{' '.join(why.split())[:180]}[/dim]".replace("\\[", "[")


def _compared(report: Report, given: Options, wanted: Wanted) -> Comparison | None:
    if wanted.baseline is None or not wanted.baseline.exists():
        return None
    before = gate.read_baseline(wanted.baseline)
    if given.only:
        return None
    return gate.compare(gate.part_of(before, report), report, tolerance=wanted.tolerance)


def _kept(report: Report, summaries: Sequence[Summary], path: Path) -> int:
    try:
        gate.write_baseline(report, summaries, path)
    except ValueError as error:
        errors.print(f"[red]{error}[/red]")
        return Exit.HARNESS
    console.print(f"Baseline: {path}")
    return Exit.OK


def _stored(path: Path) -> gate.Baseline:
    """Read a baseline, or a report as one."""
    if path.is_dir() or path.name == "report.json":
        return gate.baseline_of(results.read(path))
    return gate.read_baseline(path)


def _check_model(given: Options) -> None:
    source, _, model = given.model.partition(":")
    known = (source == "offline" and not model) or (source in ("openai", "replay") and bool(model))
    if not known or (given.record and source != "openai"):
        raise WrongUse(f"There is no model {given.model!r}: use offline, openai:<name>, or replay:<name>.")
    if source == "openai" and not (os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")):
        raise WrongUse("Set OPENAI_API_KEY or OPENAI_BASE_URL in the environment (.env is not read here).")
    if source == "replay" and not (folder := path_of(given.cassettes, model, "", 0).parent).is_dir():
        raise WrongUse(f"Nothing of {model!r} is recorded in {folder.parent}: goals evals record openai:{model}")


def _with_progress(given: Options, total: int) -> Report:
    with _bar("cases") as bar:
        task = bar.add_task("evals", total=total)

        def advance(done: int, of: int, trial: Trial) -> None:
            bar.update(task, advance=1, description=trial.run.sample[:36])
            if not sys.stderr.isatty() and (done % 25 == 0 or done == of):
                errors.print(f"{done} of {of} cases")

        return runner.run(given, advance)


def _bar(unit: str) -> Progress:
    columns = (TextColumn("{task.description:<36}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    return Progress(*columns, TimeElapsedColumn(), console=errors, transient=True, disable=not sys.stderr.isatty())
