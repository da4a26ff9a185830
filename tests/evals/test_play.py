"""Cases played for real: their gold, a few of each graph, a process that dies, a model that misbehaves."""

from collections.abc import Callable
from pathlib import Path

import pytest

from evals import datasets, worker
from evals.databases import Urls
from evals.kits import Kit, UnknownModel
from evals.labels import NOW
from evals.results import Trial, scored
from evals.runs import Outcome
from evals.samples import Sample, World
from evals.selftest import gold
from graphs.opening import EmbedderConfig, Offline, open_embedder

SAMPLES = {sample.id: sample for sample in datasets.load_all()}
WORLDS = datasets.worlds()
GOLD = ["goal-sql-joins", "goal-dup-extend", "goal-manage-delete", "code-py-three-versions", "suggest-diamond",
        "suggest-accept", "crash-goal-fork"]  # fmt: skip
PLAYED = ["goal-sql-joins", "code-py-mutable-default", "suggest-chain-second"]

Play = Callable[..., Trial]


@pytest.fixture
def play(evals_server: tuple[Urls, Path]) -> Play:
    """Play a case on the evaluation's own server, with the quick embedder."""
    urls, folder = evals_server
    kit = Kit("offline", folder, embedder=open_embedder(EmbedderConfig(offline=Offline.HASH)))
    orders = worker.Orders(urls, "offline", folder, record=False, folder=folder)

    def run(sample: Sample, by: worker.Performer | None = None, world: World | None = None) -> Trial:
        whole = world or datasets.whole_world(sample, WORLDS)
        return scored(sample, worker.run_once(sample, 0, orders, kit, whole, by=by))

    return run


@pytest.mark.parametrize("name", GOLD)
def test_the_gold_of_a_case_scores_full_marks(play: Play, name: str) -> None:
    trial = play(SAMPLES[name], by=gold.perform)
    assert {n: s.explanation for n, s in trial.scores.items() if n in SAMPLES[name].basis and s.value != 1} == {}


def test_a_gold_action_that_fails_is_a_failure_and_no_warning(play: Play) -> None:
    sample = SAMPLES["suggest-accept"]
    broken = sample.model_copy(
        update={"gold": sample.gold.model_copy(update={"deed": {"g/b": {"status": "completed"}}})}
    )
    trial = play(broken, by=gold.perform)
    assert trial.run.outcome is Outcome.INFRA
    assert "IllegalTransition" in trial.run.error


@pytest.mark.parametrize("name", PLAYED)
def test_the_compiled_graph_is_played_and_judged(play: Play, name: str) -> None:
    trial = play(SAMPLES[name])
    assert trial.run.outcome is Outcome.FINISHED, trial.run.error
    assert trial.passed, {n: s.explanation for n, s in trial.scores.items()}
    assert trial.run.sinks.lake is not None
    assert [event.id for event in trial.run.sinks.lake] == [event.id for event in trial.run.events]


def test_two_runs_of_a_case_agree_in_all_but_chance(play: Play) -> None:
    one, other = play(SAMPLES["suggest-chain-second"]).run, play(SAMPLES["suggest-chain-second"]).run
    assert one.suggested == other.suggested
    assert one.said == other.said


def test_a_run_killed_after_its_commit_has_its_effect_once(play: Play) -> None:
    trial = play(SAMPLES["crash-suggest-after-commit"])
    assert trial.passed, (trial.run.error, {n: s.explanation for n, s in trial.scores.items()})


def test_a_fault_that_is_never_reached_proves_nothing_and_says_so(play: Play) -> None:
    sample = SAMPLES["crash-suggest-after-commit"]
    assert sample.fault is not None
    never = sample.model_copy(update={"fault": sample.fault.model_copy(update={"at": 99})})
    trial = play(never)
    assert trial.run.outcome is Outcome.INFRA
    assert trial.passed is None
    assert "Unreached" in trial.run.error


def test_a_misbehaving_model_leaves_nothing_half_written(play: Play) -> None:
    trial = play(SAMPLES["crash-goal-rate-limited"])
    assert trial.run.changes == ()
    assert trial.scores["spoken"].value == 1.0


def test_a_replay_without_a_recording_is_an_error_of_the_harness(evals_server: tuple[Urls, Path]) -> None:
    urls, folder = evals_server
    kit = Kit("replay:nobody", folder, embedder=open_embedder(EmbedderConfig(offline=Offline.HASH)))
    orders = worker.Orders(urls, "replay:nobody", folder, record=False, folder=folder)
    sample = SAMPLES["goal-chat-short"]
    run = worker.run_once(sample, 0, orders, kit, datasets.whole_world(sample, WORLDS))
    assert run.outcome is Outcome.INFRA
    assert "Nothing is recorded" in run.error


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    kit = Kit("gpt", tmp_path, embedder=open_embedder(EmbedderConfig(offline=Offline.HASH)))
    with pytest.raises(UnknownModel, match="gpt"):
        kit.open(SAMPLES["goal-chat-short"], 0)


def test_the_present_is_frozen() -> None:
    assert NOW.isoformat() == "2026-03-02T09:00:00+00:00"
