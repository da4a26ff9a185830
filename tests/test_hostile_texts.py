"""Texts made to be searched for hours are read at once. Whoever breaks that meets the time limit of the whole suite."""

from collections.abc import Callable

import pytest
from langchain_core.messages import HumanMessage

from agents.hints_ladder import fingerprint
from agents.plan import plain
from api.logs import redacted
from graphs.validation_load import spoken
from store.chunking import prose
from store.index_secrets import has_secret
from store.snapshots import MAX_CONTENT_BYTES, unified_diff
from tools.courses import outline

BODY = 1_000_000
"""About as many characters as a request may bring."""


def of(piece: str, size: int = MAX_CONTENT_BYTES) -> str:
    return piece * (size // len(piece))


READERS: dict[str, Callable[[], object]] = {
    "addresses without an end": lambda: has_secret(of("a+")),
    "tokens without an end": lambda: has_secret(of("-eyJ")),
    "a heading of spaces": lambda: prose("T", f"# a{of(' ')}b", 800),
    "a heading of signs": lambda: prose("T", f"# {of('#')}b", 800),
    "a section of short lines": lambda: outline("# a\n" + of("b\n", 500_000)),
    "fences without a line": lambda: spoken([HumanMessage(of("```", BODY))]),
    "comments without an end": lambda: fingerprint(of("/* "), "java"),
    "quotes outside of strings": lambda: fingerprint(of('\\"'), "java"),
    "brackets without an end": lambda: plain(of("[", BODY)),
    "links without an end": lambda: plain(of("[](", BODY)),
    "tags without an end": lambda: plain(of("<a ", BODY)),
    "a log line of tokens": lambda: redacted(of("-eyJaaaaa", BODY)),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
def test_crafted_texts_cost_no_more_than_others(read: Callable[[], object]) -> None:
    read()


def test_versions_that_share_every_second_line_are_compared_in_the_end() -> None:
    old, new = ("".join(f"{number:05}\n{side}{number}\n" for number in range(20_000)) for side in "ab")
    shown = unified_diff(old, new, "main.py").split("\n")
    assert shown[:2] == ["--- a/main.py", "+++ b/main.py"]
    for sign, text in (("-", old), ("+", new)):
        assert [line[1:] for line in shown[2:] if line[0] in {sign, " "}] == text.splitlines()
