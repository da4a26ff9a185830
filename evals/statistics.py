"""The numbers an evaluation may claim: repeats, intervals, and paired comparisons of two runs."""

import random
from collections.abc import Callable, Mapping, Sequence
from math import comb, exp, lgamma, log, sqrt
from statistics import fmean
from typing import NamedTuple

Z95 = 1.959963984540054


class Interval(NamedTuple):
    """A mean with the bounds its true value lies between, 19 times out of 20."""

    mean: float
    low: float
    high: float
    cases: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def pass_power(passes: int, trials: int, k: int) -> float:
    """Return the chance that `k` trials drawn from these all pass (pass^k, unbiased). Raises ValueError if k > trials.

    The estimate draws without replacement; `(passes / trials) ** k` would flatter or punish small numbers of trials.
    """
    if not 0 <= passes <= trials or not 1 <= k <= trials:
        raise ValueError(f"pass^{k} needs at least {k} trials, and no more passes than trials.")
    return comb(passes, k) / comb(trials, k)


def wilson(passes: int, cases: int, z: float = Z95) -> Interval:
    """Return the pass rate with Wilson's interval, which stays honest at 0 and at 1."""
    if cases < 1 or not 0 <= passes <= cases:
        raise ValueError("A rate needs at least one case, and no more passes than cases.")
    rate = passes / cases
    scale = 1 + z * z / cases
    middle = (rate + z * z / (2 * cases)) / scale
    half = z * sqrt(rate * (1 - rate) / cases + z * z / (4 * cases * cases)) / scale
    low = 0.0 if passes == 0 else max(0.0, middle - half)
    high = 1.0 if passes == cases else min(1.0, middle + half)
    return Interval(rate, low, high, cases)


def cluster_bootstrap(
    values: Mapping[str, Sequence[float]], *, seed: int = 0, rounds: int = 2000, level: float = 0.95
) -> Interval:
    """Return the mean over cases with a percentile interval.

    Cases are drawn, never single trials: ten trials of one case say much about it and little about the other cases.
    """
    means = [fmean(trials) for trials in values.values() if trials]
    if not means:
        raise ValueError("A mean needs at least one case.")
    low, high = _percentiles(means, fmean, seed, rounds, level)
    return Interval(fmean(means), low, high, len(means))


class McNemar(NamedTuple):
    """How many cases changed sides between two runs, and how likely such a split is by chance."""

    fixed: int
    broken: int
    p_value: float


def mcnemar(before: Mapping[str, bool], after: Mapping[str, bool]) -> McNemar:
    """Compare two runs case by case with the exact two-sided test; only cases that changed sides count."""
    shared = before.keys() & after.keys()
    fixed = sum(1 for case in shared if after[case] and not before[case])
    broken = sum(1 for case in shared if before[case] and not after[case])
    return McNemar(fixed, broken, binomial_two_sided(min(fixed, broken), fixed + broken))


def binomial_two_sided(successes: int, trials: int) -> float:
    """Return the two-sided exact p-value of a fair coin; 1.0 when nothing was thrown."""
    if trials == 0:
        return 1.0
    tail = sum(exp(_log_comb(trials, i) - trials * log(2)) for i in range(min(successes, trials - successes) + 1))
    return min(1.0, 2 * tail)


def paired_bootstrap(
    before: Mapping[str, float], after: Mapping[str, float], *, seed: int = 0, rounds: int = 2000, level: float = 0.95
) -> Interval:
    """Return the mean change per case with its interval. Raises ValueError when no case is in both runs."""
    differences = [after[case] - before[case] for case in sorted(before.keys() & after.keys())]
    if not differences:
        raise ValueError("The two runs have no case in common.")
    low, high = _percentiles(differences, fmean, seed, rounds, level)
    return Interval(fmean(differences), low, high, len(differences))


class Calibration(NamedTuple):
    """How far stated scores are from what turned out true: mean square, and mean gap over bins."""

    brier: float
    ece: float
    cases: int


def calibration(stated: Sequence[float], true: Sequence[bool], bins: int = 10) -> Calibration:
    """Return Brier score and expected calibration error of scores against outcomes."""
    if len(stated) != len(true) or not stated:
        raise ValueError("Calibration needs one outcome for every score, and at least one.")
    brier = fmean((score - outcome) ** 2 for score, outcome in zip(stated, true, strict=True))
    gaps = 0.0
    for number in range(bins):
        inside = [
            (score, outcome)
            for score, outcome in zip(stated, true, strict=True)
            if min(int(score * bins), bins - 1) == number
        ]
        if inside:
            gaps += abs(sum(score - outcome for score, outcome in inside))
    return Calibration(brier, gaps / len(stated), len(stated))


def _percentiles(
    values: Sequence[float], statistic: Callable[[Sequence[float]], float], seed: int, rounds: int, level: float
) -> tuple[float, float]:
    if len(set(values)) == 1:
        return values[0], values[0]
    dice = random.Random(seed)  # noqa: S311 - resampling must be repeatable, not secret
    draws = sorted(statistic(dice.choices(values, k=len(values))) for _ in range(rounds))
    edge = (1 - level) / 2
    return draws[int(edge * (rounds - 1))], draws[int((1 - edge) * (rounds - 1) + 0.5)]


def _log_comb(total: int, chosen: int) -> float:
    return lgamma(total + 1) - lgamma(chosen + 1) - lgamma(total - chosen + 1)
