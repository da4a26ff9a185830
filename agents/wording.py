"""What a model's words may not bring along: links, images and markup, which could carry data out of an editor."""

import re

from agents.offline import language

_LINK = re.compile(
    r"(?i)\bhttps?:|\bwww\.|\]\(|!\[|<\s*/?\s*[a-z]+[^>\n]*>|\b(command|javascript|data|vscode):\S"
    r"|[\u200b-\u200f\u202a-\u202e\u2060\ufeff]"
)
_SPANISH = re.compile(r"(?i)\b(el|la|los|las|una?|de|que|porque|con|para|es|está|su)\b")
_ENGLISH = re.compile(r"(?i)\b(the|an?|of|that|because|with|for|is|its|it|and)\b")


def carries_link(text: str) -> bool:
    """Whether a text holds anything a client could follow, load or hide."""
    return bool(_LINK.search(text))


def in_language(text: str, locale: str) -> bool:
    """Whether small words of the wanted language outnumber those of the other; short texts pass."""
    spanish, english = len(_SPANISH.findall(text)), len(_ENGLISH.findall(text))
    if spanish + english < 3:
        return True
    return spanish >= english if language(locale) == "es" else english >= spanish
