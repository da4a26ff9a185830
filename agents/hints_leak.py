"""The leak check: a hint that gives the solution away is not given, whoever wrote it and however often one asks."""

import re
from collections.abc import Iterable, Sequence

from agents.hints import TOP
from agents.hints_ladder import tokens
from agents.wording import carries_link

OVERLAP = 0.3
GRAM = 5
LINES = {2: 0, 3: 6, 4: 3}
"""Lines of code a level may show."""
TOKENS = {2: 0, 3: 60, 4: 30}
LONGEST = 700

_FENCE = re.compile(r"```[^\n]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_CODE_LINE = re.compile(
    r"^\s*(?:(?:def|function|func|fn|class|return|if|for|while|import|from|public|private|static|let|const|var)\b.*[:;{(=].*"
    r"|[\w.\[\]]+\s*(?:=|\+=|-=|:=)\s*\S.*|[\w.]+\(.*\)\s*[;{:]?\s*|.*[;{}]\s*)$"
)
_DEFINITION = re.compile(r"\b(?:def|function|func|fn)\s+(\w+)|\b(\w+)\s*=\s*(?:async\s*)?(?:\([^)]*\)|\w+)\s*=>")


def code_in(text: str, language: str) -> str:
    """All code of a hint: fenced, in backticks beyond a name, and lines of prose that are code in disguise."""
    fenced = _FENCE.findall(text)
    prose = _FENCE.sub("\n", text)
    inline = [piece for piece in _INLINE.findall(prose) if len(tokens(piece, language)) > 4]
    lines = [line for line in prose.splitlines() if _CODE_LINE.match(line)]
    return "\n".join([*fenced, *inline, *lines])


def leaks(
    level: int,
    text: str,
    code: str,
    language: str,
    *,
    references: Iterable[str],
    defined: Iterable[str],
    before: Sequence[str] = (),
) -> str:
    """Return why a hint must not be given, or "".

    `references` are known solutions, `defined` the names the task asks for, `before` the hints given for this task so
    far: the pieces are judged together, so that a solution cannot be asked for in slices.
    """
    shown = "\n".join(part for part in (code, code_in(text, language)) if part.strip())
    if carries_link(text):
        return "holds a link or markup"
    size = len([line for line in shown.splitlines() if line.strip()])
    if len(text) > LONGEST:
        return "too long"
    if size > LINES.get(level, 0) or len(tokens(shown, language)) > TOKENS.get(level, 0):
        return "more code than this level shows"
    names = {name for pair in _DEFINITION.findall(shown) for name in pair if name}
    if names and (level >= TOP or names & set(defined)):
        return "a whole function"
    mine = _grams(shown, language)
    so_far = mine | _grams("\n".join(code_in(each, language) for each in before), language)
    for reference in references:
        known = _grams(reference, language)
        if _share(mine, known) >= OVERLAP:
            return "code of a known solution"
        if mine and _share(known, so_far) >= OVERLAP:
            return "code of a known solution, in slices"
    return ""


def overlap(code: str, reference: str, language: str) -> float:
    """Which share of the code's runs of five tokens stands in the reference too; 0 for shorter code."""
    return _share(_grams(code, language), _grams(reference, language))


def _share(part: set[tuple[str, ...]], whole: set[tuple[str, ...]]) -> float:
    return len(part & whole) / len(part) if part else 0.0


def _grams(code: str, language: str) -> set[tuple[str, ...]]:
    listed = tokens(code, language)
    return {tuple(listed[start : start + GRAM]) for start in range(len(listed) - GRAM + 1)}
