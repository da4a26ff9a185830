"""What one check reports to the parent process: places in the code, never opinions about them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_DETAIL = 60
MAX_HITS_PER_RULE = 10
MAX_HITS = 120


@dataclass(frozen=True, slots=True)
class Hit:
    rule: str
    line: int
    end_line: int
    symbol: str = ""
    detail: str = ""
    "A name or a fragment of the code that the sentence about the rule may mention."


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    parameters: tuple[str, ...]
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Outline:
    """The mechanically checkable shape of the code: enough to answer 'is there a function f' and 'is X used'."""

    functions: tuple[Function, ...] = ()
    classes: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    constructs: tuple[str, ...] = ()
    "Of: for, while, recursion, class, lambda, comprehension, try, async."


@dataclass(frozen=True, slots=True)
class Report:
    parsed: bool = False
    depth: str = "none"
    "full: syntax and rules; syntax: only syntax; none: the language is not known here."
    hits: list[Hit] = field(default_factory=list[Hit])
    outline: Outline = field(default_factory=Outline)
    guess: str = ""
    "The language the code looks like when it does not parse as the one declared."


def guarded(hits: Iterator[Hit]) -> Iterator[Hit]:
    """Pass hits on; a rule that fails on this code costs its own findings, and never the whole analysis."""
    try:
        yield from hits
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - whatever a rule stumbles over, the learner still gets the others
        yield Hit("analysis-partial", 1, 1)


def short(text: str) -> str:
    """A fragment of learner code fit to stand inside a sentence: one line, bounded."""
    flat = " ".join(text.split())
    return flat if len(flat) <= MAX_DETAIL else flat[: MAX_DETAIL - 1] + "…"


def bounded(hits: list[Hit]) -> list[Hit]:
    """In line order, without repeats, and no rule may drown the others."""
    seen: dict[str, int] = {}
    kept: list[Hit] = []
    for hit in sorted(set(hits), key=lambda each: (each.line, each.rule, each.detail)):
        seen[hit.rule] = seen.get(hit.rule, 0) + 1
        if seen[hit.rule] <= MAX_HITS_PER_RULE:
            kept.append(hit)
    return kept[:MAX_HITS]
