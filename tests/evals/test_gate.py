"""When a run may pass, when it may not, and when nothing can be said."""

from pathlib import Path

import pytest

from evals.gate import Exit, baseline_of, below, compare, part_of, read_baseline, write_baseline
from evals.results import suites_of
from tests.evals.conftest import MakeReport

CASES: dict[str, list[bool | None]] = {f"goal-{n}": [True] for n in range(6)}


def test_the_same_results_pass(make_report: MakeReport) -> None:
    report = make_report(CASES)
    assert compare(baseline_of(report), report).exit is Exit.OK


def test_one_case_that_used_to_pass_fails_the_gate(make_report: MakeReport) -> None:
    found = compare(baseline_of(make_report(CASES)), make_report({**CASES, "goal-3": [False]}))
    assert found.exit is Exit.REGRESSION
    assert found.broken == ("goal-3",)
    assert found.p_value == 1.0
    assert found.change is not None
    assert found.change[0] < 0


def test_fixing_one_case_does_not_pay_for_breaking_another(make_report: MakeReport) -> None:
    before = baseline_of(make_report({**CASES, "goal-0": [False]}))
    found = compare(before, make_report({**CASES, "goal-1": [False]}))
    assert found.exit is Exit.REGRESSION
    assert found.fixed == ("goal-0",)


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({**CASES, "goal-9": [True]}, "does not know: goal-9"),
        ({k: v for k, v in CASES.items() if k != "goal-0"}, "cases missing: goal-0"),
    ],
)
def test_other_cases_are_not_comparable(
    make_report: MakeReport, now: dict[str, list[bool | None]], reason: str
) -> None:
    found = compare(baseline_of(make_report(CASES)), make_report(now))
    assert found.exit is Exit.NOT_COMPARABLE
    assert any(reason in each for each in found.reasons)


def test_rewritten_cases_other_models_and_new_scorers_are_not_comparable(make_report: MakeReport) -> None:
    before = baseline_of(make_report(CASES))
    assert compare(before, make_report(CASES, hashes="other")).exit is Exit.NOT_COMPARABLE
    assert compare(before, make_report(CASES, model="openai:x")).exit is Exit.NOT_COMPARABLE
    assert compare(before, make_report(CASES, model="openai:x"), across_models=True).exit is Exit.OK
    key = before.key.model_copy(update={"scorers": {"rows": 2}})
    assert compare(before.model_copy(update={"key": key}), make_report(CASES)).exit is Exit.NOT_COMPARABLE


def test_too_few_cases_prove_nothing(make_report: MakeReport) -> None:
    few: dict[str, list[bool | None]] = {"goal-1": [True], "goal-2": [True]}
    assert compare(baseline_of(make_report(few)), make_report(few)).exit is Exit.NOT_COMPARABLE


def test_a_harness_error_is_neither_a_pass_nor_a_failure(make_report: MakeReport) -> None:
    found = compare(baseline_of(make_report(CASES)), make_report({**CASES, "goal-2": [None]}))
    assert found.exit is Exit.HARNESS


def test_an_incomplete_run_cannot_become_a_baseline(make_report: MakeReport, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="incomplete"):
        write_baseline(make_report({**CASES, "goal-2": [None]}), [], tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


def test_a_baseline_survives_the_disk(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(CASES)
    write_baseline(report, [], tmp_path / "b.json")
    assert read_baseline(tmp_path / "b.json") == baseline_of(report)


def test_a_flaky_baseline_case_does_not_manufacture_regressions(make_report: MakeReport) -> None:
    before: dict[str, list[bool | None]] = {f"goal-{n}": [True, True, True, True] for n in range(6)}
    before["goal-5"] = [True, False, True, False]
    after = {**before, "goal-5": [False, False, False, False]}
    found = compare(baseline_of(make_report(before)), make_report(after), tolerance=0.3)
    assert found.unstable == ("goal-5",)
    assert found.exit is Exit.OK


def test_with_several_trials_a_clear_loss_of_the_mean_fails(make_report: MakeReport) -> None:
    before: dict[str, list[bool | None]] = {f"goal-{n}": [True] * 4 for n in range(12)}
    after: dict[str, list[bool | None]] = {f"goal-{n}": [True, False, False, True] for n in range(12)}
    found = compare(baseline_of(make_report(before)), make_report(after))
    assert found.exit is Exit.REGRESSION
    assert "the mean fell" in found.reasons[0]


def test_a_run_of_one_suite_is_compared_with_that_part_of_the_baseline(make_report: MakeReport) -> None:
    both: dict[str, list[bool | None]] = {**CASES, **{f"code-{n}": [True] for n in range(6)}}
    goal, whole = make_report(CASES), baseline_of(make_report(both))
    whole.key.scorers["only_in_code"] = 1
    assert compare(part_of(whole, goal), goal).exit is Exit.OK


def test_thresholds_are_per_suite(make_report: MakeReport) -> None:
    report = make_report({**CASES, "goal-1": [False]})
    assert below(suites_of(report), {"goal": 0.8}) == []
    assert below(suites_of(report), {"goal": 0.9}) == ["goal passes 83.3%, asked for 90.0%"]
