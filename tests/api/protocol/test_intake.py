"""What a run is told about its learner besides who they are."""

from typing import Any

import pytest

from api.runs.intake import context_of
from store.principal import Principal
from store.types import Role


def said(content: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("given", "locale"),
    [
        (said("Aprender Rust en seis semanas"), "es"),
        (said([{"type": "text", "text": "Tengo 40 minutos"}]), "es"),
        (said("Revisa este código:\n```python\nfor x in y and z: pass  # is this it\n```"), "es"),
        ({"objective": "Quiero saber SQL"}, "es"),
        ({"messages": "¿Qué hago ahora?"}, "es"),
        (said("Learn Rust in six weeks"), "en"),
        ({"messages": []}, "en"),
        (None, "en"),
    ],
)
def test_agents_answer_in_the_language_they_are_spoken_to(given: object, locale: str) -> None:
    assert context_of(Principal("ada", Role.LEARNER), {"input": given}).locale == locale


def test_a_language_that_is_named_wins() -> None:
    kwargs = {"input": said("Aprender Rust en seis semanas"), "context": {"locale": "en-GB"}}
    assert context_of(Principal("ada", Role.LEARNER), kwargs).locale == "en-GB"
