"""Writes streamed text to a terminal, word by word, wrapped and indented as it arrives."""

import re

from rich.console import Console
from rich.markup import escape

_PIECES = re.compile(r"\n|[^\S\n]+|\S+")


class Typewriter:
    """Words may arrive in pieces: a word is written as it comes, and moved to the next line only while it is whole."""

    def __init__(self, console: Console, indent: int = 2) -> None:
        self._console = console
        self._indent = " " * indent
        self._column = 0

    @property
    def idle(self) -> bool:
        """Whether the cursor stands at the start of a line."""
        return self._column == 0

    def write(self, text: str, style: str = "") -> None:
        """Add text where the last one ended."""
        for piece in _PIECES.findall(text):
            if piece == "\n":
                self.break_line()
            elif piece.isspace():
                if not self.idle:
                    self._put(" ", style)
            else:
                if self._column + len(piece) > self._console.width - 2 and not self.idle:
                    self.break_line()
                if self.idle:
                    self._put(self._indent, "")
                self._put(piece, style)

    def end(self) -> None:
        """Finish the line, if one is open."""
        if not self.idle:
            self.break_line()

    def break_line(self) -> None:
        """Go to the start of the next line."""
        self._console.print()
        self._column = 0

    def _put(self, text: str, style: str) -> None:
        shown = escape(text)
        self._console.print(f"[{style}]{shown}[/{style}]" if style else shown, end="", soft_wrap=True)
        self._column += len(text)
