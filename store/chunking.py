"""Cuts long texts into chunks that an embedding model can take in, each knowing its place in the original."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

VERSION: Final = 1
"""Part of every content hash: chunks cut by other rules are other chunks."""

_FENCE = re.compile(r"\s{0,3}(```+|~~~+)")
_PATH_PARTS = 4


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a text. Lines count from 1 and both ends belong to it."""

    heading: str
    """Where it stands: titles or names from the outside in. Embedded and searched together with the content."""
    content: str
    line_start: int
    line_end: int

    @property
    def text(self) -> str:
        """What is embedded."""
        return f"{self.heading}\n{self.content}" if self.heading else self.content


class Heading(NamedTuple):
    """A heading of a Markdown text: its level, from 1 to 6, and its words."""

    level: int
    text: str


def heading(line: str) -> Heading | None:
    """Return the heading a line is, or None. Signs that close it go, but not those of a name such as C#."""
    text = line.lstrip("#")
    level = len(line) - len(text)
    words = text.strip()
    if not 1 <= level <= 6 or not words or not text[0].isspace():
        return None
    bare = words.rstrip("#")
    closed = bare != words and bare[-1:].isspace()
    return Heading(level, bare.rstrip() if closed else words)


def prose(title: str, text: str, limit: int) -> list[Chunk]:
    """Cut markdown by its headings, and what is still too long by paragraphs; a text of one chunk stays whole."""
    lines = text.split("\n")  # as editors count; splitlines() knows eight more line ends
    chunks: list[Chunk] = []
    for path, first, last in _sections(lines):
        place = " > ".join([title, *path[-_PATH_PARTS:]])
        chunks.extend(pieces(place, lines, first, last, limit))
    if not chunks and title:
        return [Chunk("", title, 1, 1)]
    return chunks


def pieces(heading: str, lines: Sequence[str], first: int, last: int, limit: int) -> Iterator[Chunk]:
    """Cut the lines `first` to `last` (from 0, both included) at blank lines if possible, anywhere if not."""
    start, size, blank = first, 0, None
    number = first
    while number <= last:
        size += len(lines[number]) + 1
        if size > limit and number > start:
            end = blank if blank is not None and blank > start else number
            yield from _piece(heading, lines, start, end - 1, limit)
            start, size, blank, number = end, 0, None, end
            continue
        if not lines[number].strip():
            blank = number
        number += 1
    yield from _piece(heading, lines, start, last, limit)


def _piece(heading: str, lines: Sequence[str], first: int, last: int, limit: int) -> Iterator[Chunk]:
    while first <= last and not lines[first].strip():
        first += 1
    while last >= first and not lines[last].strip():
        last -= 1
    content = "\n".join(lines[first : last + 1])
    # One line may be longer than any chunk (minified code, a pasted log).
    for start in range(0, len(content), max(limit, 1) * 2):
        yield Chunk(heading, content[start : start + limit * 2], first + 1, last + 1)


def _sections(lines: Sequence[str]) -> Iterator[tuple[list[str], int, int]]:
    path: list[tuple[int, str]] = []
    start, fence = 0, ""
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        found = None if fence or mark else heading(line)
        if found:
            if _has_words(lines[start:number]):
                yield [name for _, name in path], start, number - 1
            path = [*((depth, name) for depth, name in path if depth < found.level), (found.level, found.text)]
            start = number + 1
    if _has_words(lines[start:]):
        yield [name for _, name in path], start, len(lines) - 1


def _has_words(lines: Sequence[str]) -> bool:
    return any(line.strip() for line in lines)
