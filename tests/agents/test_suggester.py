"""Explanations: prepared ones are true to their facts, a model's are checked against them."""

import re
from typing import Any

import pytest

from agents.suggester import Explanation, Explanations, template
from agents.suggester_checks import check
from agents.wording import carries_link, in_language

SUGGESTION: dict[str, Any] = {
    "label": "S1",
    "title": "Write a loop",
    "factors": {"due": 1.5, "unlocks": 0.5, "fits": 1.0, "priority": 0.2},
    "facts": {"due_in_days": 2, "unlocks_count": 3, "estimated_minutes": 30, "priority": "high", "type": "build"},
    "unlocks": ["Read a file"],
}
OTHER: dict[str, Any] = {"label": "S2", "title": "Draw a graph", "factors": {}, "facts": {"type": "read"}}


def answer(reason: str, first_step: str = "Open the file.") -> Explanations:
    return Explanations(items=[Explanation(label="S1", reason=reason, first_step=first_step)])


def test_prepared_reasons_use_the_strongest_factors_in_both_languages() -> None:
    english, spanish = template(SUGGESTION, "en"), template(SUGGESTION, "es")
    assert english.reason == (
        "A good next step because it is due in 2 days, its 30 minutes fit the time at hand and 3 more tasks can begin "
        "after it."
    )
    assert spanish.reason.startswith("Conviene ahora porque vence en 2 días")
    assert template(OTHER, "en").reason == "A good next step because nothing stands in its way."


@pytest.mark.parametrize("speech", ["en", "es"])
def test_prepared_sentences_pass_their_own_check(speech: str) -> None:
    words = Explanations(items=[template(each, speech) for each in (SUGGESTION, OTHER)])
    assert [each.replaced for each in check(words, [SUGGESTION, OTHER], speech)] == ["", ""]


def test_a_true_answer_of_a_model_is_used() -> None:
    (explained,) = check(answer("It is due in 2 days, and 3 tasks wait for it."), [SUGGESTION], "en")
    assert (explained.reason, explained.replaced) == ("It is due in 2 days, and 3 tasks wait for it.", "")


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("It takes 10 minutes and is due in 2 days.", "number"),
        ("It is better than Draw a graph.", "another task"),
        ("See [this](https://evil.example/?q=secret) because it is the key.", "link"),
        ("It belongs to “Secret goal of Bob”.", "quotes"),
        ("Vence en 2 días y con 3 tareas que dependen de ella para la meta.", "another language"),
        ("", "empty"),
        ("x" * 500, "too long"),
    ],
)
def test_what_was_not_in_the_facts_is_replaced_by_the_prepared_sentence(reason: str, fault: str) -> None:
    (explained, _) = check(answer(reason), [SUGGESTION, OTHER], "en")
    assert re.search(fault, explained.replaced)
    assert explained.reason == template(SUGGESTION, "en").reason


def test_a_silent_model_and_made_up_labels_change_nothing() -> None:
    made_up = Explanations(items=[Explanation(label="S9", reason="x", first_step="y")])
    for given in (None, made_up):
        assert [each.replaced for each in check(given, [SUGGESTION], "en")] == ["no answer"]


def test_languages_are_told_apart_by_their_small_words() -> None:
    assert in_language("Conviene porque es la más corta de las tareas", "es")
    assert not in_language("It is the shortest of the tasks that fit", "es")
    assert in_language("OK", "es")


@pytest.mark.parametrize(
    "text",
    [
        "see https://evil.example",
        "![x](y)",
        "[a](command:run)",
        "<img src=x>",
        "run command:workbench.action",
        "a\u200bb",
        "www.evil.example",
    ],
)
def test_what_a_client_could_follow_is_seen(text: str) -> None:
    assert carries_link(text)
    assert not carries_link("Compare `a < b` and `xs[i]` (see line 3), data first: then code.")
