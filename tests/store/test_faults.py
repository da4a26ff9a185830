"""Fault points: silent unless armed, exact when armed, and a misspelt name is told."""

import os
import signal
from collections import Counter

import pytest

from store import faults
from store.faults import POINTS, fault


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals a fault point would have sent to this process."""
    signals: list[int] = []

    def kill(_: int, number: int) -> None:
        signals.append(number)

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(faults, "_passages", Counter[str]())
    return signals


def test_without_the_variable_nothing_happens(sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOALS_FAULT", raising=False)
    for point in POINTS:
        fault(point)
    assert sent == []


def test_the_nth_passage_of_the_named_point_kills(sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALS_FAULT", "lake.after_rename:2")
    fault("lake.after_rename")
    fault("lake.before_fsync")
    assert sent == []
    fault("lake.after_rename")
    assert sent == [signal.SIGKILL]


def test_a_point_can_freeze_instead(sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALS_FAULT", "lake.after_rename:1:stop")
    fault("lake.after_rename")
    assert sent == [signal.SIGSTOP]


def test_a_misspelt_point_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALS_FAULT", "lake.after_breakfast:1")
    with pytest.raises(ValueError, match="after_breakfast"):
        fault("lake.after_rename")
