"""Vectors from hashed words and character grams: no weights, no network, the same everywhere, and no understanding.

Close spellings meet, paraphrases do not; the full-text half of a search carries the rest.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, Self
from zlib import crc32

import numpy as np

from store.vectors import DIMENSIONS, Vector, unit

MODEL: Final = "hash-v1"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+")
_STOP: Final = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by for from has in into is it its of on or that the this to was with"
        " al como con de del el en es la las lo los para por que se su un una y",
    )
)
_GRAM = 4
_PAIR_WEIGHT = 0.5
_GRAM_WEIGHT = 0.4


class HashEmbedder:
    """The embedder of last resort, and of tests."""

    model = MODEL
    degraded = True
    chunk_chars = 1500

    def of(self, model: str) -> Self | None:
        """Return itself for its own model."""
        return self if model == self.model else None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one unit vector a text."""
        return list(unit(np.array([_hashed(text) for text in texts]))) if texts else []


def _hashed(text: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    vector = np.zeros(DIMENSIONS)
    for weight, features in _features(text):
        for feature, count in Counter(features).items():
            code = crc32(feature.encode())
            vector[code % DIMENSIONS] += weight * (1 + math.log(count)) * (1 if code & 0x8000_0000 else -1)
    if not vector.any():
        # A text of stop words and signs still needs a direction: an index cannot hold a vector without one.
        vector[crc32(text.encode()) % DIMENSIONS] = 1
    return vector


def _features(text: str) -> Iterator[tuple[float, list[str]]]:
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    words = [word for word in _WORD.findall(_CAMEL.sub(" ", plain).lower()) if word not in _STOP]
    yield 1.0, words
    yield _PAIR_WEIGHT, [f"{first} {second}" for first, second in pairwise(words)]
    yield _GRAM_WEIGHT, [gram for word in words for gram in _grams(f"<{word}>")]


def _grams(word: str) -> list[str]:
    return [word[start : start + _GRAM] for start in range(max(1, len(word) - _GRAM + 1))]
