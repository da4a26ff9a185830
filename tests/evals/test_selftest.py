"""The scorers are proved able to fail, and able to be fair."""

import pytest

from evals.scorers import SCORERS
from evals.selftest.matrix import Kills, kill_matrix

KILLS = {kills.scorer: kills for kills in kill_matrix()}


@pytest.mark.parametrize("scorer", SCORERS)
def test_every_scorer_kills_every_bad_output_and_spares_every_good_one(scorer: str) -> None:
    assert KILLS[scorer].problems == []


def test_a_scorer_nobody_tried_to_fool_is_a_problem() -> None:
    assert len(Kills("new").problems) == 2
