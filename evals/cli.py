"""The commands `goals evals run|compare|record|report|selftest`; nothing heavy is imported before one of them runs."""

from pathlib import Path
from typing import Annotated

import typer

from evals.samples import Suite

app = typer.Typer(
    name="evals",
    help="Score the agents offline: what they did to the world, and what they said.",
    no_args_is_help=True,
    add_completion=False,
)

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
OUT = Path(".data/evals")

SuiteOption = Annotated[list[Suite] | None, typer.Option("--suite", "-s", help="Only this suite; may be repeated.")]
OnlyOption = Annotated[list[str] | None, typer.Option("--only", "-k", help="Only cases whose name holds this.")]
ModelOption = Annotated[str, typer.Option(help="offline, openai:<name>, or replay:<name>.")]
TrialsOption = Annotated[int, typer.Option(min=1, max=100, help="How often each case is run.")]
SeedOption = Annotated[int, typer.Option(help="Seed of resampling; recorded in the report.")]
JobsOption = Annotated[int | None, typer.Option(min=1, max=64, help="Worker processes; default: one per core.")]
OutOption = Annotated[Path, typer.Option(help="Where report.json, report.html and junit.xml go.")]
CassettesOption = Annotated[Path, typer.Option(help="Where recordings of model traffic lie.")]
DataOption = Annotated[Path, typer.Option(help="Folder of the datasets.")]
RedactOption = Annotated[bool, typer.Option("--redact", help="Leave learner code and texts out of the HTML report.")]


@app.command()
def run(
    suite: SuiteOption = None,
    only: OnlyOption = None,
    model: ModelOption = "offline",
    trials: TrialsOption = 1,
    seed: SeedOption = 0,
    jobs: JobsOption = None,
    out: OutOption = OUT,
    baseline: Annotated[Path, typer.Option(help="Compared with this; fails on a regression.")] = BASELINE,
    compare_with_baseline: Annotated[bool, typer.Option("--compare/--no-compare", help="Compare at all.")] = True,
    least: Annotated[list[str] | None, typer.Option("--min", help="Least pass rate, as suite=0.9.")] = None,
    tolerance: Annotated[float, typer.Option(help="Loss of the mean that is let pass with several trials.")] = 0.02,
    write_baseline: Annotated[bool, typer.Option("--write-baseline", help="Keep this run as the baseline.")] = False,
    cassettes: CassettesOption = Path("evals/cassettes"),
    data: DataOption = HERE / "data",
    redact: RedactOption = False,
) -> None:
    """Run the suites, score them, write the reports, compare with the baseline.

    Exit codes: 0 fine, 1 regression or threshold, 2 wrong use, 3 not comparable, 4 the harness failed.
    """
    from evals import commands  # noqa: PLC0415 - keeps `goals --help` fast

    options = commands.options(suite, only, model, trials, seed, jobs, cassettes, data)
    wanted = commands.Wanted(
        out=out,
        baseline=baseline if compare_with_baseline and not write_baseline else None,
        write_to=baseline if write_baseline else None,
        least=commands.thresholds(least or []),
        tolerance=tolerance,
        redact=redact,
    )
    raise typer.Exit(commands.run(options, wanted))


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="A report folder, report.json, or baseline.")],
    after: Annotated[Path, typer.Argument(help="A report folder or report.json.")],
    tolerance: Annotated[float, typer.Option(help="Loss of the mean that is let pass with several trials.")] = 0.02,
    across_models: Annotated[bool, typer.Option(help="Compare two models instead of refusing.")] = False,
) -> None:
    """Compare two evaluations case by case: who changed sides, by how much, and whether chance explains it."""
    from evals import commands  # noqa: PLC0415

    raise typer.Exit(commands.compare(before, after, tolerance=tolerance, across_models=across_models))


@app.command()
def record(
    model: Annotated[str, typer.Argument(help="openai:<name>; OPENAI_API_KEY or OPENAI_BASE_URL says where.")],
    suite: SuiteOption = None,
    only: OnlyOption = None,
    trials: TrialsOption = 1,
    jobs: JobsOption = None,
    out: OutOption = OUT,
    cassettes: CassettesOption = Path("evals/cassettes"),
    data: DataOption = HERE / "data",
) -> None:
    """Run against a live model and record its traffic, one file per case and trial, for `run --model replay:<name>`."""
    from evals import commands  # noqa: PLC0415

    options = commands.options(suite, only, model, trials, 0, jobs, cassettes, data, record=True)
    raise typer.Exit(commands.run(options, commands.Wanted(out=out)))


@app.command()
def report(
    source: Annotated[Path, typer.Argument(help="A report folder or report.json.")],
    out: Annotated[Path | None, typer.Option(help="Where to; default: beside the source.")] = None,
    baseline: Annotated[Path, typer.Option(help="Compared with this if it is comparable.")] = BASELINE,
    redact: RedactOption = False,
) -> None:
    """Write report.html and junit.xml again from a report.json."""
    from evals import commands  # noqa: PLC0415

    raise typer.Exit(commands.rewrite(source, out, baseline, redact=redact))


@app.command()
def selftest(
    full: Annotated[bool, typer.Option("--full", help="Play every gold script against a real database too.")] = False,
    data: DataOption = HERE / "data",
) -> None:
    """Prove that the scorers can fail: mutants are caught, idle and agreeable agents fail, gold scripts pass."""
    from evals import commands  # noqa: PLC0415

    raise typer.Exit(commands.selftest(data, full=full))
