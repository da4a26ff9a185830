"""A finding about a code snapshot: what it is, how it is stored, and how it is recognised in the next version."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, cast


class Source(StrEnum):
    """Who says so."""

    SYNTAX = "syntax"
    LINT = "lint"
    SECURITY = "security"
    TEST = "test"
    RUBRIC = "rubric"
    MODEL = "model"


class Severity(StrEnum):
    """How much it matters, most first; only an essential finding keeps a snapshot from passing."""

    ESSENTIAL = "essential"
    ACTIONABLE = "actionable"
    INFORMATIVE = "informative"
    CELEBRATORY = "celebratory"


class Change(StrEnum):
    """How a finding relates to the versions before."""

    NEW = "new"
    PERSISTS = "persists"
    FIXED = "fixed"
    REGRESSED = "regressed"
    """It was fixed once and is back."""


ORDER = {severity: place for place, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation, tied to lines that were checked and to the words found there."""

    rule_id: str
    source: Source
    category: str
    severity: Severity
    line_start: int
    line_end: int
    quote: str
    title: str
    why: str
    hint_key: str
    symbol: str = ""
    """Enclosing class and function, dotted."""
    evidence_ids: tuple[str, ...] = ()
    confidence: float = 1.0
    occurrence: int = 0
    """Tells equal lines inside one symbol apart."""
    change: Change = Change.NEW

    @property
    def identity(self) -> str:
        """The same for the same problem in another version, wherever its lines have moved."""
        # a failing test or an unmet criterion hangs on a line for want of a better place; it is not about that line
        about = "" if self.source in (Source.TEST, Source.RUBRIC) else normalised(self.quote)
        parts = (self.rule_id, about, self.symbol, str(self.occurrence))
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]

    def as_issue(self) -> dict[str, Any]:
        """Return the JSON stored with the snapshot."""
        return {
            "type": self.rule_id,
            "severity": self.severity.value,
            "line": self.line_start,
            "line_end": self.line_end,
            "message": self.title,
            "why": self.why,
            "quote": self.quote,
            "source": self.source.value,
            "category": self.category,
            "hint_key": self.hint_key,
            "symbol": self.symbol,
            "evidence_ids": list(self.evidence_ids),
            "confidence": self.confidence,
            "occurrence": self.occurrence,
            "change": self.change.value,
            "identity": self.identity,
        }


def from_issue(issue: Mapping[str, Any]) -> Finding | None:
    """Read a stored issue back; None for one that somebody else wrote in another shape."""
    try:
        return Finding(
            rule_id=str(issue["type"]),
            source=Source(issue["source"]),
            category=str(issue["category"]),
            severity=Severity(issue["severity"]),
            line_start=int(issue["line"]),
            line_end=int(issue["line_end"]),
            quote=str(issue["quote"]),
            title=str(issue["message"]),
            why=str(issue["why"]),
            hint_key=str(issue["hint_key"]),
            symbol=str(issue["symbol"]),
            evidence_ids=tuple(str(each) for each in cast("Sequence[object]", issue["evidence_ids"])),
            confidence=float(issue["confidence"]),
            occurrence=int(issue["occurrence"]),
            change=Change(issue["change"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def normalised(quote: str) -> str:
    """Code without the layout, so that re-indenting a line does not make its problem a new one."""
    return " ".join(quote.split())


def numbered(findings: Sequence[Finding]) -> list[Finding]:
    """Give equal findings inside one symbol their occurrence numbers, in line order."""
    seen: dict[tuple[str, str, str], int] = {}
    result: list[Finding] = []
    for finding in sorted(findings, key=lambda each: (each.line_start, each.rule_id)):
        key = (finding.rule_id, normalised(finding.quote), finding.symbol)
        result.append(replace(finding, occurrence=seen.get(key, 0)))
        seen[key] = seen.get(key, 0) + 1
    return result
