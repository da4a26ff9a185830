"""The datasets themselves, and what happens to a case that is written wrongly."""

import json
from collections import Counter
from pathlib import Path

import pytest

from evals import datasets
from evals.datasets import DatasetError
from evals.labels import id_of, labelled, resolved
from evals.samples import Sample, Suite
from evals.scorers import SCORERS
from evals.selftest.proof import agent_problems

SAMPLES = datasets.load_all()
WORLDS = datasets.worlds()


@pytest.mark.parametrize(("suite", "least"), [("goal", 40), ("code", 60), ("suggest", 40), ("rag", 60), ("crash", 24)])
def test_every_suite_has_its_cases_in_both_languages(suite: str, least: int) -> None:
    cases = [sample for sample in SAMPLES if sample.suite == suite]
    assert len(cases) >= least
    languages = Counter(sample.locale for sample in cases)
    assert languages["es"] >= (0 if suite == "crash" else 4)


def test_forty_defects_in_five_languages_and_twenty_clean_files() -> None:
    code = [sample for sample in SAMPLES if sample.suite == Suite.CODE]
    planted = [sample for sample in code if "planted" in sample.tags]
    assert len(planted) >= 40
    assert (
        len({tag for sample in planted for tag in sample.tags} & {"python", "javascript", "typescript", "java", "go"})
        == 5
    )
    assert sum("clean" in sample.tags for sample in code) >= 20


def test_planted_defects_lie_inside_their_files() -> None:
    for sample in SAMPLES:
        code = sample.expect.code
        files = {each.key: each.content.splitlines() for each in datasets.whole_world(sample, WORLDS).snapshots}
        for bug in code.bugs if code else ():
            assert 1 <= bug.line <= (bug.line_end or bug.line) <= len(files[bug.snapshot]), sample.id


def test_every_case_says_what_it_proves_in_words_of_its_own() -> None:
    told = Counter(sample.proves for sample in SAMPLES)
    assert [text for text, count in told.items() if count > 3] == []


def test_no_agent_that_does_nothing_or_agrees_to_everything_passes() -> None:
    assert agent_problems(SAMPLES, WORLDS) == []


def test_every_scorer_decides_some_case() -> None:
    used = {name for sample in SAMPLES for name in sample.basis}
    assert used == SCORERS.keys()


def test_the_hash_of_a_case_follows_its_world() -> None:
    sample = next(sample for sample in SAMPLES if sample.world.base == "sql")
    changed = dict(WORLDS, sql=WORLDS["git"])
    assert datasets.sample_hash(sample, WORLDS) != datasets.sample_hash(sample, changed)


def test_the_hash_of_a_dataset_is_blind_to_order() -> None:
    assert datasets.dataset_hash(SAMPLES, WORLDS) == datasets.dataset_hash(SAMPLES[::-1], WORLDS)
    assert datasets.dataset_hash(SAMPLES, WORLDS) != datasets.dataset_hash(SAMPLES[1:], WORLDS)


def _write(folder: Path, *cases: dict[str, object]) -> Path:
    (folder / "goal.jsonl").write_text("\n".join(json.dumps(case) for case in cases), encoding="utf-8")
    return folder


def _case(**more: object) -> dict[str, object]:
    base: dict[str, object] = {
        "id": "goal-x", "suite": "goal", "graph": "goal_planning", "proves": "that a small case can be written fast",
        "expect": {}, "basis": ["rows"],
    }  # fmt: skip
    return {**base, **more}


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (_case(expects={}), "goal.jsonl line 1: expects: Extra inputs"),
        (_case(basis=["rowz"]), "goal-x is decided by \\['rowz'\\]"),
        (_case(basis=[]), "decided by nothing"),
        (_case(suite="code"), "belongs to suite code"),
        (_case(graph="search"), "runs search, but suite goal is about goal_planning"),
        (_case(proves="short"), "proves: String should have at least 20"),
    ],
)
def test_a_case_written_wrongly_is_named_with_its_line(tmp_path: Path, case: dict[str, object], reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        datasets.load(Suite.GOAL, _write(tmp_path, case))


def test_two_cases_of_one_name_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="two cases are called goal-x"):
        datasets.load(Suite.GOAL, _write(tmp_path, _case(), _case()))
    with pytest.raises(DatasetError, match=r"code\.jsonl cannot be read"):
        datasets.load(Suite.CODE, tmp_path)


def test_an_unknown_world_is_named() -> None:
    sample = Sample.model_validate(_case(world={"base": "atlantis"}))
    with pytest.raises(DatasetError, match="atlantis"):
        datasets.whole_world(sample, WORLDS)


def test_labels_and_days_are_resolved_anywhere_in_an_input() -> None:
    assert resolved({"a": ["@api", "+14d", "mail@example.org", 3]}) == {
        "a": [str(id_of("api")), "2026-03-16", "mail@example.org", 3]
    }
    assert labelled([str(id_of("api"))], {str(id_of("api")): "api"}) == ["@api"]
