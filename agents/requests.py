"""Reading a learner's free text with rules: is there an aim in it, how much time, until when, at which level."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

Level = Literal["beginner", "intermediate", "advanced"]

MAX_OBJECTIVE = 2000
_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "twelve": 12, "un": 1, "una": 1, "uno": 1, "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "seis": 6,
    "siete": 7, "ocho": 8, "nueve": 9, "diez": 10, "doce": 12,
}  # fmt: skip
_NUMBER = rf"(\d{{1,3}}(?:[.,]\d)?|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_SPAN = re.compile(
    rf"\b(?:in|within|en|dentro de|durante|for)\s+{_NUMBER}\s+(days?|weeks?|months?|d[ií]as?|semanas?|mes(?:es)?)\b",
    re.IGNORECASE,
)
_BY_DATE = re.compile(r"\b(?:by|until|before|para|hasta|antes del?)\s+(?:el\s+)?(\d{4}-\d{2}-\d{2})\b", re.IGNORECASE)
_HOURS = re.compile(
    rf"\b{_NUMBER}\s*(?:h|hours?|hrs|horas?)\s*(?:/|a|per|each|every|por|a la|cada)\s*(?:week|semana)\b", re.IGNORECASE
)
_LEVELS: dict[Level, re.Pattern[str]] = {
    "beginner": re.compile(r"\b(beginner|from scratch|from zero|principiante|desde cero|novat[oa])\b", re.IGNORECASE),
    "intermediate": re.compile(r"\b(intermediate|intermedi[oa])\b", re.IGNORECASE),
    "advanced": re.compile(r"\b(advanced|expert|avanzad[oa]|expert[oa])\b", re.IGNORECASE),
}
_GREETINGS = frozenset(
    {
        "hi", "hello", "hey", "hola", "buenas", "buenos", "dias", "tardes", "test", "prueba", "thanks", "gracias",
        "help", "ayuda", "asdf", "qwerty", "lorem", "ipsum",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """What rules can read out of a text."""

    objective: str
    deadline: date | None = None
    hours_per_week: float | None = None
    level: Level | None = None
    clipped: bool = False


def read_wish(text: str, today: date) -> Wish:
    """Read time, deadline and level out of a text; what is left is the objective. Never raises."""
    clipped = len(text) > MAX_OBJECTIVE
    objective = " ".join(text[:MAX_OBJECTIVE].split())
    deadline, hours = _deadline(objective, today), _first_number(_HOURS, objective)
    level: Level | None = next((name for name, pattern in _LEVELS.items() if pattern.search(objective)), None)
    for pattern in (_SPAN, _BY_DATE, _HOURS):
        objective = pattern.sub("", objective)
    objective = re.sub(r"\s+([,.;])", r"\1", " ".join(objective.split())).strip(" ,;")
    return Wish(objective, deadline, hours if hours and hours <= 100 else None, level, clipped)


def usable(objective: str) -> bool:
    """Tell whether an aim can be in it: at least one word that is neither a greeting nor a stroke of the keyboard."""
    plain = unicodedata.normalize("NFKD", objective.casefold())
    words = re.findall(r"[^\W\d_]+", "".join(c for c in plain if not unicodedata.combining(c)))
    said = [w for w in words if w not in _GREETINGS and ((len(w) >= 3 and _speakable(w)) or not w.isascii())]
    return bool(said) or bool(re.search(r"\b[cr](\+\+|#)?\b", plain) and len(words) >= 2)


def _speakable(word: str) -> bool:
    return bool(re.search(r"[aeiouy]", word)) or word in {"sql", "css", "html", "ssh", "git", "tls", "rst", "xml"}


def _deadline(text: str, today: date) -> date | None:
    named = _BY_DATE.search(text)
    if named:
        try:
            return date.fromisoformat(named[1])
        except ValueError:
            return None
    span = _SPAN.search(text)
    if not span:
        return None
    unit = span[2].lower()
    days = 1 if unit.startswith("d") else 7 if unit.startswith(("w", "s")) else 30
    return today + timedelta(days=round(_value(span[1]) * days))


def _first_number(pattern: re.Pattern[str], text: str) -> float | None:
    found = pattern.search(text)
    return _value(found[1]) if found else None


def _value(written: str) -> float:
    return float(_NUMBERS.get(written.lower(), 0) or written.replace(",", "."))
