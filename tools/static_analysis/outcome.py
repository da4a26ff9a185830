"""What the static layer hands back: findings, how deep it looked, and the outline of the code."""

from dataclasses import dataclass
from enum import StrEnum

from store.findings import Finding

from .child_checks.hits import Outline


class Depth(StrEnum):
    """How much was checked."""

    FULL = "full"
    SYNTAX = "syntax"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Analysis:
    language: str
    depth: Depth
    parsed: bool
    """The code reads without a syntax error in its declared language; False as well when nobody could look."""
    findings: tuple[Finding, ...]
    outline: Outline
    seconds: float = 0.0
