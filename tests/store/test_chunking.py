"""Chunks cover the text once, stay within the limit, keep their place, and keep functions and sections whole."""

import ast
import inspect
import json
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.chunking import heading, prose
from store.chunking_code import code

GUIDE = """\
Welcome.

# Setup

Install it first.

## Linux

```sh
# not a heading
make run
```

## Windows

Use the installer.

# Use
"""

TEXT = st.text(st.sampled_from("ab c.#`{}()\n\n\t:;é"), max_size=600)


def test_sections_carry_the_path_of_their_headings_and_their_lines() -> None:
    found = [(c.heading, c.line_start, c.line_end) for c in prose("Course", GUIDE, 800)]
    assert found == [
        ("Course", 1, 1),
        ("Course > Setup", 5, 5),
        ("Course > Setup > Linux", 9, 12),
        ("Course > Setup > Windows", 16, 16),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("# Use", (1, "Use")),
        ("###### Deep  ######  ", (6, "Deep")),
        ("## Learn C#", (2, "Learn C#")),
        ("####### Seven", None),
        ("#hashtag", None),
        ("#", None),
        (" # indented", None),
    ],
)
def test_a_heading_keeps_its_words_and_loses_its_signs(line: str, expected: tuple[int, str] | None) -> None:
    assert heading(line) == expected


def test_a_title_alone_is_still_something_to_find() -> None:
    (chunk,) = prose("Learn Go", "", 800)
    assert (chunk.text, chunk.line_start) == ("Learn Go", 1)
    assert prose("", "", 800) == []


def test_a_long_section_is_cut_between_paragraphs() -> None:
    text = "\n\n".join(f"Paragraph {number} " + "word " * 30 for number in range(10))
    chunks = prose("T", text, 400)
    assert all(chunk.content.startswith("Paragraph") for chunk in chunks)
    assert all(len(chunk.content) <= 400 for chunk in chunks)


@given(TEXT, st.integers(20, 200))
def test_every_word_of_prose_is_in_a_chunk_whose_lines_hold_it(text: str, limit: int) -> None:
    lines = text.splitlines()
    covered: set[int] = set()
    for chunk in prose("T", text, limit):
        assert chunk.content
        span = lines[chunk.line_start - 1 : chunk.line_end]
        assert not span or chunk.content in "\n".join(span) or chunk.content == "T"
        covered.update(range(chunk.line_start, chunk.line_end + 1))
    body = {number for number, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")}
    assert body <= covered


@pytest.mark.parametrize(
    "language", ["python", "javascript", "typescript", "java", "go", "rust", "c", "cpp", "csharp", "cobol"]
)
@given(text=TEXT, limit=st.integers(20, 200))
def test_any_text_in_any_language_is_covered_once_and_in_order(language: str, text: str, limit: int) -> None:
    lines = text.splitlines()
    chunks = code("f", language, text, limit)
    places = [number for c in chunks for number in {c.line_start, c.line_end}]
    assert places == sorted(places)
    covered = {number for c in chunks for number in range(c.line_start, c.line_end + 1)}
    assert {number for number, line in enumerate(lines, 1) if line.strip()} <= covered


def test_python_functions_stay_whole_and_are_named() -> None:
    source = inspect.getsource(json.decoder)
    chunks = code("json/decoder.py", "python", source, 1500)
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    short = [f for f in functions if len(ast.get_source_segment(source, f) or "") <= 1200]
    whole = [f for f in short if any(c.line_start <= f.lineno and (f.end_lineno or 0) <= c.line_end for c in chunks)]
    assert len(whole) == len(short) > 5
    assert any(c.heading == "json/decoder.py JSONDecoder.decode, raw_decode" for c in chunks)


def test_a_method_of_a_long_class_carries_the_name_of_the_class() -> None:
    method = "    int m{n}(int a) {{\n" + "        a += 1;\n" * 30 + "        return a;\n    }}\n"
    source = (
        "class Account {\n"
        + "".join(method.replace("{n}", str(n)).replace("{{", "{").replace("}}", "}") for n in range(4))
        + "}\n"
    )
    headings = [c.heading for c in code("Account.java", "java", source, 700)]
    assert headings[0].startswith("Account.java Account.m0")
    assert "Account.java Account.m2" in headings


def test_code_that_does_not_parse_is_cut_all_the_same() -> None:
    source = (
        textwrap.dedent("""
        def ok():
            return 1

        def broken(:
            if x ==
    """)
        * 40
    )
    assert len(code("a.py", "python", source, 300)) > 5


def test_ten_thousand_nested_blocks_do_not_exhaust_the_stack() -> None:
    source = "{\n" * 10_000 + "}\n" * 10_000
    assert len(code("a.js", "javascript", source, 500)) > 10


def test_one_endless_line_is_cut_too() -> None:
    chunks = code("a.min.js", "javascript", "x=1;" * 50_000, 800)
    assert max(len(c.content) for c in chunks) <= 1600
    assert {(c.line_start, c.line_end) for c in chunks} == {(1, 1)}
