"""What is believed of an explanation: it names only facts it was given; otherwise the prepared sentence is used."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.suggester import Explanation, Explanations, template
from agents.wording import carries_link, in_language

LONGEST = 400
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_QUOTED = re.compile(r"[\"“«]([^\"”»]{3,})[\"”»]")


@dataclass(frozen=True, slots=True)
class Explained:
    """One explanation, and why the model's own words were not used ("" when they were)."""

    reason: str
    first_step: str
    replaced: str = ""


def check(answer: Explanations | None, suggestions: Sequence[Mapping[str, Any]], locale: str) -> list[Explained]:
    """Return one explanation per suggestion, in order. Labels the model made up are ignored."""
    given: dict[str, Explanation] = {item.label: item for item in reversed(answer.items)} if answer else {}
    titles = [str(each["title"]) for each in suggestions]
    result: list[Explained] = []
    for suggestion in suggestions:
        item = given.get(str(suggestion["label"]))
        fault = "no answer" if item is None else _fault(item, suggestion, titles, locale)
        if item is None or fault:
            item = template(suggestion, locale)
        result.append(Explained(item.reason.strip(), item.first_step.strip(), fault))
    return result


def _fault(item: Explanation, suggestion: Mapping[str, Any], titles: Sequence[str], locale: str) -> str:
    text = f"{item.reason} {item.first_step}"
    if not item.reason.strip() or not item.first_step.strip() or len(text) > LONGEST:
        return "empty or too long"
    if carries_link(text):
        return "holds a link"
    own = str(suggestion["title"])
    known = _NUMBER.findall(f"{own} {suggestion.get('facts', {})} {suggestion.get('unlocks', '')}")
    strange = [number for number in _NUMBER.findall(text) if number not in known]
    if strange:
        return f"a number that is not among the facts: {strange[0]}"
    allowed = f"{own} {suggestion.get('unlocks', '')} {suggestion.get('facts', {})}".lower()
    if any(title.lower() in text.lower() and title.lower() not in allowed for title in titles):
        return "speaks of another task"
    if any(quoted.lower() not in allowed for quoted in _QUOTED.findall(text)):
        return "quotes what it was not given"
    return "" if in_language(text.replace(own, ""), locale) else "another language"
