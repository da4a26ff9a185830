"""What an evaluation costs before it begins, and what it refuses to begin."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals import commands
from evals.cli import app
from evals.gate import Exit, write_baseline
from evals.results import save
from evals.runner import Options, chosen, source_hash
from evals.samples import Suite
from tests.evals.conftest import MakeReport

PASSES: dict[str, list[bool | None]] = {f"goal-{n}": [True] for n in range(6)}


def test_importing_the_runner_brings_in_nothing_heavy() -> None:
    heavy = "{'langgraph', 'langchain_core', 'psycopg', 'pyarrow', 'fastapi', 'numpy'} & set(sys.modules)"
    code = f"import sys; import evals.runner, evals.cli; print(sorted({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_cases_are_chosen_by_part_of_their_name() -> None:
    names = [sample.id for sample in chosen(Options(suites=(Suite.RAG,), only=("course-doc",)))]
    assert len(names) >= 5
    assert all("course-doc" in name for name in names)


def test_the_hash_of_sources_names_their_text() -> None:
    assert source_hash("agents", "tools") == source_hash("agents", "tools")
    assert source_hash("agents") != source_hash("tools")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--model", "gpt"],
        ["run", "--model", "openai:gpt"],
        ["run", "--model", "replay:never-recorded"],
        ["run", "-k", "no-such-case"],
        ["run", "--min", "goal"],
        ["run", "--min", "cooking=0.9"],
        ["run", "--suite", "cooking"],
        ["record", "offline"],
        ["compare", "nowhere", "nothing"],
        ["report", "nowhere"],
    ],
)
def test_wrong_use_ends_with_two(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert CliRunner().invoke(app, arguments).exit_code == Exit.USAGE


def test_compare_and_report_work_on_what_lies_on_disk(make_report: MakeReport, tmp_path: Path) -> None:
    before, after = make_report(PASSES), make_report({**PASSES, "goal-2": [False]})
    save(before, tmp_path / "before")
    save(after, tmp_path / "after")
    run = CliRunner()
    assert run.invoke(app, ["compare", str(tmp_path / "before"), str(tmp_path / "before")]).exit_code == Exit.OK
    worse = run.invoke(app, ["compare", str(tmp_path / "before"), str(tmp_path / "after")])
    assert worse.exit_code == Exit.REGRESSION
    write_baseline(before, [], tmp_path / "baseline.json")
    told = ["report", str(tmp_path / "after"), "--baseline", str(tmp_path / "baseline.json")]
    assert run.invoke(app, told).exit_code == Exit.OK
    assert "Regression against the baseline" in (tmp_path / "after" / "report.html").read_text(encoding="utf-8")


def test_a_hard_limit_fails_whatever_the_means_say(make_report: MakeReport) -> None:
    report = make_report(PASSES)
    first = report.trials[0]
    leaked = {"isolation": first.scores["rows"].model_copy(update={"value": 0.0})}
    trials = (first.model_copy(update={"scores": {**first.scores, **leaked}}), *report.trials[1:])
    assert commands.verdict(report, [], None, {}) == Exit.OK
    assert commands.verdict(report.model_copy(update={"trials": trials}), [], None, {}) == Exit.REGRESSION


def test_the_quick_self_test_passes_from_the_command_line() -> None:
    result = CliRunner().invoke(app, ["selftest"])
    assert result.exit_code == Exit.OK, result.output
