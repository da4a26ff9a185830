"""Writes streamed Markdown to a terminal, word by word, wrapped, indented and styled as it arrives."""

import re

from rich.console import Console
from rich.markup import escape

_WORDS = re.compile(r"\n|[^\S\n]+|\S+")
_MARKS = re.compile(r"(\*\*|(?<!\w)_|_(?!\w)|`)")
_STYLES = {"**": "bold", "_": "quiet", "`": "key"}


class Typewriter:
    """Knows the three marks our texts use inside a line (bold, aside, code) and headings; shows the rest as it is.

    Chunks may end anywhere: the last word waits until a space, a line end or `end` shows that it is whole.
    """

    def __init__(self, console: Console, indent: int = 2) -> None:
        self._console = console
        self._indent = " " * indent
        self._column = 0
        self._pending = ""
        self._open: list[str] = []
        self._heading = False
        self._lead = ""
        self._space = False

    def write(self, text: str) -> None:
        """Add text where the last one ended."""
        pieces = _WORDS.findall(self._pending + text)
        self._pending = pieces.pop() if pieces and not pieces[-1].isspace() else ""
        for piece in pieces:
            self._add(piece)

    def end(self) -> None:
        """Finish the word and the line that are open."""
        if self._pending:
            self._add(self._pending)
            self._pending = ""
        if self._column:
            self._break_line()
        self._open.clear()
        self._heading, self._lead = False, ""

    def _add(self, piece: str) -> None:
        if piece == "\n":
            self._break_line()
            self._heading, self._lead = False, ""
        elif piece.isspace():
            if self._column:
                self._space = True
            elif not self._heading:
                self._lead += piece
        elif not self._column and piece.strip("#") == "":
            self._heading = True
        else:
            self._word(piece)

    def _word(self, word: str) -> None:
        visible = _MARKS.sub("", word)
        if self._column and self._column + self._space + len(visible) > self._console.width:
            self._break_line()
        if not self._column:
            self._put(self._indent + self._lead)
        elif self._space:
            self._put(" ")
        self._space = False
        for part in _MARKS.split(word):
            if style := _STYLES.get(part):
                self._open.remove(style) if style in self._open else self._open.append(style)
            elif part:
                self._put(part)

    def _break_line(self) -> None:
        self._console.print()
        self._column, self._space = 0, False

    def _put(self, text: str) -> None:
        styles = " ".join([*self._open, *(["bold"] if self._heading else [])])
        shown = escape(text)
        self._console.print(f"[{styles}]{shown}[/]" if styles else shown, end="", soft_wrap=True)
        self._column += len(text)
