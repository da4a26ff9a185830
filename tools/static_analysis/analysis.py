"""From code to findings: what can be refused unread, what the child found, and the words for it."""

import asyncio
import re
from typing import Final

from store.findings import Finding, Source, numbered

from . import runner
from .catalogue import rules
from .child_checks.hits import Hit, Outline, Report
from .outcome import Analysis, Depth
from .runner import Limits

MAX_BYTES: Final = 256 * 1024
MAX_QUOTE: Final = 300
MAX_NESTING: Final = 500
LANGUAGES: Final = ("python", "javascript", "typescript", "tsx", "java", "go", "rust", "cpp", "csharp")
_ALIASES: Final = {
    "py": "python", "python3": "python", "js": "javascript", "jsx": "javascript", "node": "javascript",
    "ts": "typescript", "golang": "go", "rs": "rust", "c++": "cpp", "cxx": "cpp", "cc": "cpp", "cs": "csharp",
    "c#": "csharp", "typescriptreact": "tsx", "javascriptreact": "javascript",
}  # fmt: skip
# One place in the code, one sentence: the left rule says more than the right one about the same line.
_SAYS_MORE: Final = {
    "bare-except": {"empty-catch", "broad-catch"},
    "empty-catch": {"broad-catch"},
    "in-place-result": {"unused-variable"},
    "shadowed-builtin": {"unused-variable"},
    "endless-recursion": {"missing-return"},
    "return-in-first-round": {"missing-return"},
    "not-implemented": {"missing-return", "unfinished"},
    "syntax-error": {"syntax-missing"},
    "loop-past-the-end": {"index-loop"},
}
_COMMENTS = re.compile(r"\s+|//[^\n]*|/\*.*?\*/", re.DOTALL)
_PYTHON_COMMENTS = re.compile(r"\s+|#[^\n]*|(\"\"\"|''').*?\1", re.DOTALL)


def normalise(language: str) -> str:
    """Return the one name under which a language is known here."""
    name = language.strip().lower()
    return _ALIASES.get(name, name)


async def analyse(code: str, language: str, *, locale: str = "en", limits: Limits | None = None) -> Analysis:
    """Read the code in a limited child process and return what is certain about it. Never raises for any input.

    Learner code is parsed, never imported or run, and its own escape comments silence nothing.
    """
    name = normalise(language)
    # read once, and off the loop: LangGraph's development server refuses file reads on it
    await asyncio.to_thread(rules)
    refused = _refused(code, name)
    if refused is not None:
        return worded(code, name, locale, Report(depth="syntax", hits=[refused]), 0.0)
    if name not in LANGUAGES:
        return worded(code, name, locale, Report(hits=[Hit("unknown-language", 1, 1, "", name[:40] or "text")]), 0.0)
    report, seconds = await runner.run(code, name, limits or Limits())
    return worded(code, name, locale, report, seconds)


def _refused(code: str, language: str) -> Hit | None:
    try:
        size = len(code.encode())
    except UnicodeEncodeError:
        return Hit("not-text", 1, 1)
    if size > MAX_BYTES:
        return Hit("too-large", 1, 1)
    odd = sum(1 for sign in code[:20_000] if (ord(sign) < 32 and sign not in "\t\n\r\f") or sign == "\ufffd")
    if "\0" in code or odd * 20 > len(code[:20_000]):
        return Hit("not-text", 1, 1)
    if _nesting(code) > MAX_NESTING:
        return Hit("too-deeply-nested", 1, 1)
    if _says_nothing(code, _PYTHON_COMMENTS if language == "python" else _COMMENTS):
        return Hit("empty-submission", 1, 1)
    return None


def _says_nothing(code: str, comments: re.Pattern[str]) -> bool:
    """Whether comments are all there is. Looks no further than the first word of code, so that it costs no time."""
    place = 0
    while place < len(code):
        comment = comments.match(code, place)
        if comment is None:
            return False
        place = comment.end()
    return True


def _nesting(code: str) -> int:
    """The deepest point of the brackets, strings included: error recovery over thousands of them takes seconds."""
    depth = deepest = 0
    for sign in re.findall(r"[()\[\]{}]", code):
        depth += 1 if sign in "([{" else -1
        deepest = max(deepest, depth)
    return deepest


def worded(code: str, language: str, locale: str, report: Report, seconds: float) -> Analysis:
    """Put words to what the child reported."""
    lines = code.split("\n")
    findings = [_finding(hit, lines, locale) for hit in _strongest(report.hits)]
    return Analysis(
        language, Depth(report.depth), report.parsed, tuple(numbered(findings)), report.outline or Outline(), seconds
    )


def _strongest(hits: list[Hit]) -> list[Hit]:
    by_line: dict[int, set[str]] = {}
    for hit in hits:
        by_line.setdefault(hit.line, set()).add(hit.rule)
    kept: dict[tuple[str, int], Hit] = {}
    for hit in hits:
        around = by_line[hit.line] | by_line.get(hit.line + 1, set()) | by_line.get(hit.line - 1, set())
        weaker = any(hit.rule in _SAYS_MORE.get(other, ()) for other in around)
        if hit.rule in rules() and not weaker:
            kept.setdefault((hit.rule, hit.line), hit)
    return list(kept.values())


def _finding(hit: Hit, lines: list[str], locale: str) -> Finding:
    rule = rules()[hit.rule]
    first = min(max(1, hit.line), len(lines))
    while first > 1 and not lines[first - 1].strip():
        first -= 1  # what is missing at the end of a file is missing after its last words
    last = max(first, min(hit.end_line, len(lines))) if first == hit.line else first
    return Finding(
        rule_id=hit.rule,
        source=rule.source,
        category=rule.category,
        severity=rule.severity,
        line_start=first,
        line_end=last,
        quote="\n".join(lines[first - 1 : last])[:MAX_QUOTE].strip("\n"),
        title=rule.title(locale, hit.detail),
        why=rule.why(locale),
        hint_key=rule.hint_key,
        symbol=hit.symbol,
        confidence=1.0 if rule.source is Source.SYNTAX else 0.9,
    )
