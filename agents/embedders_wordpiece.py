"""BERT's uncased WordPiece tokenizer, so that one small model does not bring a tokenizer library along."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

_LONGEST_WORD: Final = 100
_SPECIAL = re.compile(r"(\[(?:PAD|UNK|CLS|SEP|MASK)\])")
_IDEOGRAPHS: Final = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),  # as in the reference, which starts this block 0x100 late
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Splits text into the vocabulary's pieces; equal to the reference tokenizer on the golden set."""

    def __init__(self, vocabulary: list[str], max_tokens: int) -> None:
        self._ids = {piece: number for number, piece in enumerate(vocabulary)}
        self._max_tokens = max_tokens
        self._unknown = self._ids["[UNK]"]
        # Source code repeats its words; the cache makes a warm batch several times cheaper.
        self._pieces = lru_cache(maxsize=32768)(self._split_word)

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text` between [CLS] and [SEP], cut at the model's limit."""
        room = self._max_tokens - 2
        ids: list[int] = []
        for part in _SPECIAL.split(text):
            if _SPECIAL.fullmatch(part):
                ids.append(self._ids[part])
                continue
            for word in _words(part):
                ids.extend(self._pieces(word))
                if len(ids) >= room:
                    break
        return [self._ids["[CLS]"], *ids[:room], self._ids["[SEP]"]]

    def _split_word(self, word: str) -> tuple[int, ...]:
        if len(word) > _LONGEST_WORD:
            return (self._unknown,)
        pieces: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                found = self._ids.get(word[start:end] if start == 0 else "##" + word[start:end])
                if found is not None:
                    pieces.append(found)
                    start = end
                    break
            else:
                return (self._unknown,)
        return tuple(pieces)


def _words(text: str) -> Iterator[str]:
    spaced = "".join(_clean(character) for character in text)
    plain = "".join(c for c in unicodedata.normalize("NFD", spaced) if unicodedata.category(c) != "Mn").lower()
    for word in plain.split():
        yield from _punctuated(word)


def _punctuated(word: str) -> Iterator[str]:
    start = 0
    for place, character in enumerate(word):
        if _is_punctuation(character):
            if place > start:
                yield word[start:place]
            yield character
            start = place + 1
    if start < len(word):
        yield word[start:]


@lru_cache(maxsize=8192)
def _clean(character: str) -> str:
    if character in "\t\n\r":
        return " "
    # Unassigned characters stay, and form feeds go without leaving a space: odd, and equal to the reference.
    if character in "\0\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs"):
        return ""
    if character.isspace():
        return " "
    if any(low <= ord(character) <= high for low, high in _IDEOGRAPHS):
        return f" {character} "
    return character


@lru_cache(maxsize=8192)
def _is_punctuation(character: str) -> bool:
    code = ord(character)
    ascii_mark = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_mark or unicodedata.category(character).startswith("P")
