"""Every figure of a report against values known from elsewhere."""

import pytest

from evals.statistics import (
    binomial_two_sided,
    calibration,
    cluster_bootstrap,
    mcnemar,
    paired_bootstrap,
    pass_power,
    wilson,
)


@pytest.mark.parametrize(
    ("passes", "trials", "k", "expected"), [(8, 8, 8, 1.0), (4, 5, 1, 0.8), (4, 5, 2, 0.6), (1, 5, 2, 0.0)]
)
def test_pass_power_draws_trials_without_putting_them_back(passes: int, trials: int, k: int, expected: float) -> None:
    assert pass_power(passes, trials, k) == pytest.approx(expected)


def test_pass_power_refuses_more_draws_than_trials() -> None:
    with pytest.raises(ValueError, match="at least 3 trials"):
        pass_power(1, 2, 3)


@pytest.mark.parametrize(("cases", "proves"), [(20, 0.839), (50, 0.929), (100, 0.963)])
def test_a_clean_sheet_proves_less_than_it_seems(cases: int, proves: float) -> None:
    interval = wilson(cases, cases)
    assert interval.mean == 1.0
    assert interval.high == 1.0
    assert interval.low == pytest.approx(proves, abs=0.001)


def test_wilson_is_symmetric_and_needs_a_case() -> None:
    assert wilson(0, 20).high == pytest.approx(1 - wilson(20, 20).low)
    with pytest.raises(ValueError, match="at least one case"):
        wilson(0, 0)


def test_mcnemar_counts_only_cases_that_changed_sides() -> None:
    before = {"a": True, "b": True, "c": False, "d": True, "gone": True}
    after = {"a": True, "b": False, "c": True, "d": False, "new": False}
    result = mcnemar(before, after)
    assert (result.fixed, result.broken) == (1, 2)
    assert result.p_value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("successes", "trials", "expected"), [(0, 0, 1.0), (0, 5, 0.0625), (0, 6, 0.03125), (2, 10, 0.109375)]
)
def test_exact_two_sided_binomial(successes: int, trials: int, expected: float) -> None:
    assert binomial_two_sided(successes, trials) == pytest.approx(expected)


def test_bootstraps_are_repeatable_and_contain_their_mean() -> None:
    values = {f"case-{n}": [n % 2 * 1.0, 1.0] for n in range(20)}
    first, second = cluster_bootstrap(values, seed=7), cluster_bootstrap(values, seed=7)
    assert first == second
    assert first.mean == pytest.approx(0.75)
    assert first.low < 0.75 < first.high
    assert cluster_bootstrap({"only": [1.0, 1.0]}).low == 1.0


def test_trials_of_one_case_do_not_count_as_cases() -> None:
    one_case_many_trials = {"a": [1.0] * 100, "b": [0.0]}
    assert cluster_bootstrap(one_case_many_trials).mean == pytest.approx(0.5)


def test_paired_bootstrap_sees_a_shift_that_is_the_same_everywhere() -> None:
    before = {f"c{n}": n / 40 for n in range(20)}
    after = {case: value - 0.1 for case, value in before.items()}
    interval = paired_bootstrap(before, after)
    assert interval.high < 0
    with pytest.raises(ValueError, match="no case in common"):
        paired_bootstrap({"a": 1.0}, {"b": 1.0})


def test_calibration_of_perfect_and_of_opposite_scores() -> None:
    assert calibration([1.0, 0.0], [True, False]) == (0.0, 0.0, 2)
    assert calibration([1.0, 0.0], [False, True]) == (1.0, 1.0, 2)
    assert calibration([0.5, 0.5], [True, False]).ece == pytest.approx(0.0)
