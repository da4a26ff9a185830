"""Which hint may be given: the next level waits for a real attempt, and asking again returns the same words."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from agents.hints import TOP
from store.findings import Finding, Severity
from store.hint_grants import Grant

START = {"syntax": 3, "names": 2, "unused": 2, "operators": 2, "values": 2, "types": 2}
"""Where the ladder begins: questions about ideas mislead where a sign is missing, so those kinds start higher."""

# Behind the strings, quotes that are escaped outside of one: each would else be tried as the beginning of a string.
_STRINGS = r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\\["']"""
_HASHED = re.compile(rf"#[^\n]*|(?P<kept>{_STRINGS}|\w+|[^\w\s])")
_SLASHED = re.compile(rf"//[^\n]*|/\*.*?(?:\*/|\Z)|(?P<kept>{_STRINGS}|\w+|[^\w\s])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """What a request for a hint comes to."""

    level: int
    asked: int
    words: str = ""
    """Set when this very hint was given before: it is repeated, not written anew."""

    @property
    def held_back(self) -> bool:
        """Less than asked for, because the code has not changed since the last hint."""
        return self.level < self.asked


def fingerprint(code: str, language: str) -> str:
    """Name the code without its layout and comments: moving lines about is not an attempt."""
    return hashlib.sha256("\x1f".join(tokens(code, language)).encode(errors="replace")).hexdigest()[:32]


def tokens(code: str, language: str) -> list[str]:
    """Words and signs of the code, without comments and layout."""
    pattern = _HASHED if language in {"python", "ruby", "shell"} else _SLASHED
    return [found.group("kept") for found in pattern.finditer(code) if found.group("kept")]


def step(asked: int, finding: Finding | None, here: str, taken: Sequence[Grant]) -> Step:
    """Decide the level of a hint. `here` is the fingerprint of the code, `taken` the hints for this task so far.

    A level is unlocked by code that differs from every version a hint was taken on: changing back and forth between
    two versions unlocks nothing. Each kind of problem has its own ladder.
    """
    asked = max(0, min(TOP, asked))
    if asked == 0 or finding is None or finding.severity is Severity.CELEBRATORY:
        return Step(0, asked if finding is not None else 0)
    same_kind = [grant for grant in taken if grant.hint_key == finding.hint_key]
    on_this_code = [grant for grant in same_kind if grant.fingerprint == here]
    start = START.get(finding.hint_key, 1)
    if on_this_code:
        allowed = max(start, *(grant.level for grant in on_this_code))
    else:
        allowed = max(start, 1 + max((grant.level for grant in same_kind), default=0))
    level = min(asked, allowed, TOP)
    words = next((grant.words for grant in on_this_code if grant.level == level), "")
    return Step(level, asked, words)
