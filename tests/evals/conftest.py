"""Reports made by hand, and the evaluation's own server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evals import databases
from evals.databases import Urls
from evals.results import Case, Key, Provenance, Report, ScoreSeen, Trial
from evals.runs import Outcome, Run, Said

MakeReport = Callable[..., Report]


@pytest.fixture
def make_report() -> MakeReport:
    """Return a maker of reports: names of cases to lists of passes, one entry a trial; None is a harness error."""

    def make(passes: dict[str, list[bool | None]], *, model: str = "offline", hashes: str = "h") -> Report:
        cases = tuple(
            Case(id=name, suite=name.partition("-")[0], proves="something that matters", locale="en", tags=("t",),
                 basis=("rows",), hash=hashes)
            for name in passes
        )  # fmt: skip
        trials = [
            Trial(
                run=Run(
                    sample=name,
                    trial=number,
                    model=model,
                    outcome=Outcome.INFRA if passed is None else Outcome.FINISHED,
                    said=(Said(role="ai", text=f"<b>{name}</b> & more"),),
                ),
                scores={
                    "rows": ScoreSeen(value=None if passed is None else float(passed), explanation="told \x00 why")
                },
                passed=passed,
            )
            for name, each in passes.items()
            for number, passed in enumerate(each)
        ]
        key = Key(
            cases=dict.fromkeys(passes, hashes),
            scorers={"rows": 1},
            model=model,
            trials=max(len(each) for each in passes.values()),
        )
        return Report(key=key, provenance=Provenance(prompts="p"), cases=cases, trials=tuple(trials))

    return make


@pytest.fixture(scope="session")
def evals_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Urls, Path]]:
    """The server evaluations run on, with its migrated template."""
    folder = tmp_path_factory.mktemp("evals")
    with databases.server(folder / "postgres") as urls:
        yield urls, folder
