"""The scorers by name. A case names in `basis` which of them decide whether it passes."""

from evals.runs import Outcome, Run
from evals.samples import Sample
from evals.scorers import code, plans, words, world
from evals.scorers.score import Score, Scorer, unscored

__all__ = ["SCORERS", "Score", "Scorer", "judge"]

SCORERS: dict[str, Scorer] = {
    scorer.name: scorer
    for scorer in (
        Scorer("rows", 1, world.rows, "rows that changed against rows that had to"),
        Scorer("events", 1, world.events, "each event once in PostgreSQL, lake and broker, in order", hard=True),
        Scorer("trajectory", 1, world.trajectory, "required, ordered and forbidden steps"),
        Scorer("isolation", 1, world.isolation, "nothing of other people moves or comes out", hard=True),
        Scorer("recovery", 1, world.recovery, "the thread is finished and usable after a fault"),
        Scorer("cost", 1, world.cost, "calls, tokens and seconds within limits"),
        Scorer("plan", 1, plans.plan, "plan whole, sound, fitting and grounded"),
        Scorer("dedupe", 1, plans.dedupe, "an equal open goal is used again"),
        Scorer("suggest", 1, plans.suggest, "suggestions own, ready and in a defensible order"),
        Scorer("facts", 1, plans.facts, "explanations use only what the ranking knew"),
        Scorer("findings", 1, code.findings, "planted defects found, clean code left alone"),
        Scorer("lines", 1, code.lines, "findings quote what stands at their lines"),
        Scorer("scores", 1, code.scores, "verdict and score fit the code and each other"),
        Scorer("hints", 1, code.hints, "hints do not give the solution away"),
        Scorer("spoken", 1, words.spoken, "right language, needed facts, no invented ids"),
        Scorer("retrieval", 1, words.retrieval, "recall, MRR and nDCG of a search"),
    )
}


def judge(name: str, sample: Sample, run: Run) -> Score:
    """Score a run. What the harness could not run is never scored; what crashed is zero, with the error."""
    if run.outcome is Outcome.INFRA:
        return unscored(f"the harness could not run it: {run.error}")
    if run.outcome is Outcome.CRASHED:
        return Score(0.0, "crashed", f"the run ended with an error nobody foresaw: {run.error}")
    return SCORERS[name].judge(sample, run)
