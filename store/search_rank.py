"""Turns candidates of both kinds into one order: cosine plus coverage of the question's rare words."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from store.vectors import Vector

T = TypeVar("T")

# Measured by bench/quality.py: the poorer the vectors, the more the words have to say.
_WEIGHTS: Final = {"text-embedding-3-small": 0.2, "all-minilm-l6-v2": 0.15, "hash-v1": 0.6}
_WEIGHT_UNKNOWN: Final = 0.3
_WEIGHT_FOREIGN_LANGUAGE: Final = 1.0
_SPANISH = re.compile(
    r"\b(el|la|los|las|de|del|que|un|una|con|para|por|como|cómo|en|es|y|qué|sobre|al|lo|su|aprender|hacer|"
    r"quiero|necesito|tengo|mis?|código|revisa|semanas?|minutos)\b|[ñ¿¡]"
)
_ENGLISH = re.compile(r"\b(the|a|an|of|to|in|and|is|how|with|for|that|from|on|my|it|this|what)\b")

Key = tuple[str, str, int]


@dataclass(slots=True)
class Candidate:
    """One chunk that may be a hit."""

    entity_type: str
    entity_id: str
    chunk_no: int
    user_id: str
    distance: float | None
    matched: list[int]
    score: float = 0.0
    coverage: float = 0.0

    @property
    def key(self) -> Key:
        """What tells it from every other chunk of the model."""
        return self.entity_type, self.entity_id, self.chunk_no

    @property
    def entity(self) -> tuple[str, str]:
        """What it is a part of."""
        return self.entity_type, self.entity_id

    @property
    def cosine(self) -> float | None:
        """Similarity to the question."""
        return None if self.distance is None else 1 - self.distance


def is_spanish(text: str) -> bool:
    """Guess from small words; the vectors of an English model say little about such a question."""
    lowered = text.lower()
    return len(_SPANISH.findall(lowered)) > len(_ENGLISH.findall(lowered))


def lexical_weight(model: str, query: str) -> float:
    """Return how much full coverage of the question's words counts against a cosine of one."""
    if model == "all-minilm-l6-v2" and is_spanish(query):
        return _WEIGHT_FOREIGN_LANGUAGE
    return _WEIGHTS.get(model, _WEIGHT_UNKNOWN)


def rarity(documents: Sequence[int], rows: int) -> list[float]:
    """Return the weight of each word from the number of chunks that have it.

    A word nobody has weighs most: it is what the question is about, and sharing only the others says little.
    """
    return [math.log(1 + rows / max(n, 1)) for n in documents]


def ranked(candidates: Iterable[Candidate], weights: Sequence[float], words: float, *, dense: bool) -> list[Candidate]:
    """Score the candidates and return them best first; equal scores keep one order for ever."""
    total = sum(weights) or 1.0
    found = list(candidates)
    for candidate in found:
        candidate.coverage = sum(weights[place - 1] for place in candidate.matched if place <= len(weights)) / total
        nearness = (candidate.cosine or 0.0) if dense else 0.0
        candidate.score = nearness + words * candidate.coverage
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.key))


def best_chunks(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Keep the best chunk of each entity; expects and keeps the order of scores."""
    first: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        first.setdefault(candidate.entity, candidate)
    return list(first.values())


def capped(hits: Sequence[T], k: int, most: int | None, author: Callable[[T], str | None]) -> list[T]:
    """Take k hits, but no more than `most` of one author while others have something; None is nobody's."""
    if most is None:
        return list(hits[:k])
    taken: list[T] = []
    left: list[T] = []
    seen: Counter[str] = Counter()
    for hit in hits:
        name = author(hit)
        if name is not None and seen[name] >= most:
            left.append(hit)
            continue
        taken.append(hit)
        if name is not None:
            seen[name] += 1
    return (taken + left)[:k] if len(taken) < k else taken[:k]


def diverse(candidates: Sequence[Candidate], vectors: dict[Key, Vector], diversity: float) -> list[Candidate]:
    """Reorder by maximal marginal relevance: each next one is good, and unlike those before it."""
    left = [candidate for candidate in candidates if candidate.key in vectors]
    if not left:
        return list(candidates)
    scores = np.array([candidate.score for candidate in left])
    spread = float(scores.max() - scores.min()) or 1.0
    relevance = (scores - scores.min()) / spread
    matrix = np.stack([vectors[candidate.key] for candidate in left])
    likeness = matrix @ matrix.T
    chosen = [int(np.argmax(relevance))]
    rest = [place for place in range(len(left)) if place != chosen[0]]
    while rest:
        gain = (1 - diversity) * relevance[rest] - diversity * likeness[np.ix_(rest, chosen)].max(axis=1)
        chosen.append(rest.pop(int(np.argmax(gain))))
    return [left[place] for place in chosen]
