"""The suites inside inspect_ai; what needs the package runs where it is installed."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evals.inspect_adapter import model_of, suite_task
from evals.samples import Suite

INSTALLED = find_spec("inspect_ai") is not None


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("mockllm/model", "offline"), ("openai/gpt-4.1", "openai:gpt-4.1"), ("openai-api/local/m", "openai:local/m")],
)
def test_models_are_named_once(theirs: str, ours: str) -> None:
    assert model_of(theirs) == ours


@pytest.mark.skipif(INSTALLED, reason="only without inspect_ai")
def test_without_inspect_the_adapter_says_what_is_missing() -> None:
    with pytest.raises(ImportError, match="inspect_ai"):
        suite_task(Suite.GOAL)


@pytest.mark.skipif(not INSTALLED, reason="needs the optional package inspect-ai")
@pytest.mark.filterwarnings("default")
def test_one_case_runs_through_inspect(tmp_path: Path) -> None:
    inspect: Any = import_module("inspect_ai")
    (log,) = inspect.eval(
        suite_task(Suite.SUGGEST, "suggest-chain-second"), model="mockllm/model", display="none", log_dir=str(tmp_path)
    )
    assert log.status == "success"
    assert log.results.scores[0].metrics["mean"].value == 1.0
