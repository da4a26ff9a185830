"""Runs every mutant past its scorer and counts what was killed."""

from dataclasses import dataclass, field

from evals.scorers import SCORERS, judge
from evals.selftest import of_plans, of_words, of_world
from evals.selftest.edits import Matrix, mutated

LEAST_BAD = 8
LEAST_GOOD = 4

MATRICES: tuple[Matrix, ...] = (*of_world.MATRICES, *of_plans.MATRICES, *of_words.MATRICES)


@dataclass(slots=True)
class Kills:
    """What one scorer caught and what it let through."""

    scorer: str
    killed: list[str] = field(default_factory=list[str])
    survived: list[str] = field(default_factory=list[str])
    passed: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    """Equivalent good outputs it wrongly failed, with its reason."""

    @property
    def problems(self) -> list[str]:
        problems = [f"{self.scorer} lets pass: {name}" for name in self.survived]
        problems += [f"{self.scorer} fails without reason: {name}" for name in self.refused]
        if len(self.killed) + len(self.survived) < LEAST_BAD:
            problems.append(f"{self.scorer} has fewer than {LEAST_BAD} bad outputs to catch")
        if len(self.passed) + len(self.refused) < LEAST_GOOD:
            problems.append(f"{self.scorer} has fewer than {LEAST_GOOD} good outputs to let through")
        return problems


def kill_matrix(matrices: tuple[Matrix, ...] = MATRICES) -> list[Kills]:
    """Return, for every scorer there is, what it did with its mutants."""
    kills = {name: Kills(name) for name in SCORERS}
    for matrix in matrices:
        counted = kills[matrix.scorer]
        good = {"the reference itself": (), **matrix.good}
        for name, edits in good.items():
            score = judge(matrix.scorer, matrix.sample, mutated(matrix.run, edits))
            if score.value == 1.0:
                counted.passed.append(name)
            else:
                counted.refused.append(f"{name} ({score.explanation})")
        for name, edits in matrix.bad.items():
            score = judge(matrix.scorer, matrix.sample, mutated(matrix.run, edits))
            (counted.survived if score.value == 1.0 else counted.killed).append(name)
    return list(kills.values())
