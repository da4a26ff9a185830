"""The static layer finds planted bugs on their lines, leaves ordinary code alone, and survives hostile input."""

import asyncio
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from store.findings import Severity, from_issue
from tools.static_analysis.analysis import worded
from tools.static_analysis.api import LANGUAGES, Depth, Limits, analyse, rules
from tools.static_analysis.child_checks.main import check


@dataclass(frozen=True)
class Planted:
    language: str
    rule: str
    line: int
    code: str


_DATA = tomllib.loads(Path(__file__).with_name("planted.toml").read_text(encoding="utf-8"))
BUGS = TypeAdapter(list[Planted]).validate_python(_DATA["bugs"])
CLEAN = TypeAdapter(dict[str, str]).validate_python(_DATA["clean"])


def test_every_planted_bug_is_found_on_its_line() -> None:
    # in this process: the table is about the rules, and a hundred children would take as many starts of Python
    analyses = [worded(bug.code, bug.language, "en", check(bug.code, bug.language), 0.0) for bug in BUGS]
    missed = [
        (bug.language, bug.rule)
        for bug, analysis in zip(BUGS, analyses, strict=True)
        if not any(each.rule_id == bug.rule and each.line_start == bug.line for each in analysis.findings)
    ]
    assert not missed
    assert not [analysis.language for analysis in analyses if analysis.depth is Depth.NONE]
    assert "analysis-partial" not in {each.rule_id for analysis in analyses for each in analysis.findings}
    assert {bug.language for bug in BUGS} == set(LANGUAGES) - {"tsx"}


@pytest.mark.parametrize("language", sorted(CLEAN))
async def test_ordinary_code_is_left_alone(language: str) -> None:
    analysis = await analyse(CLEAN[language], language)
    assert analysis.parsed
    assert analysis.depth is Depth.FULL
    assert [(each.rule_id, each.quote) for each in analysis.findings] == []


async def test_every_quote_stands_on_the_lines_it_names() -> None:
    for bug in BUGS[::20]:
        lines = bug.code.split("\n")
        for finding in (await analyse(bug.code, bug.language)).findings:
            assert finding.quote in "\n".join(lines[finding.line_start - 1 : finding.line_end])


async def test_escape_comments_silence_nothing() -> None:
    analysis = await analyse("import os  # noqa\npassword = 'hunter2hunter2'  # nosec\n# ruff: noqa\n", "python")
    assert {each.rule_id for each in analysis.findings} == {"unused-import", "hardcoded-secret"}


async def test_the_same_findings_speak_spanish() -> None:
    english = await analyse("def f(x=[]):\n    return x\n", "python")
    spanish = await analyse("def f(x=[]):\n    return x\n", "python", locale="es")
    assert [each.identity for each in english.findings] == [each.identity for each in spanish.findings]
    assert spanish.findings[0].title == "Crear el valor por defecto dentro de la función"


async def test_an_unknown_language_says_that_nothing_was_checked() -> None:
    analysis = await analyse("PRINT 1", "cobol")
    assert analysis.depth is Depth.NONE
    assert not analysis.parsed
    assert [each.rule_id for each in analysis.findings] == ["unknown-language"]
    assert "cobol" in analysis.findings[0].title


HOSTILE = {
    "nested parentheses": ("(" * 262_000, "python", "too-deeply-nested"),
    "nested braces": ("{" * 262_000, "java", "too-deeply-nested"),
    "nested brackets": ("[" * 131_000 + "]" * 131_000, "javascript", "too-deeply-nested"),
    "nested calls": ("f" + "(a)" * 80_000, "javascript", "too-deeply-nested"),
    "unary chain": ("-" * 200_000 + "1", "python", "too-deeply-nested"),
    "operator chain": ("+".join(["1"] * 100_000), "python", "too-deeply-nested"),
    "operator chain in go": ("package a\nvar x = " + "+".join(["1"] * 100_000), "go", "too-deeply-nested"),
    "elif chain": ("if a:\n  x=1\n" + "elif b:\n  x=2\n" * 12_000, "python", "too-deeply-nested"),
    "indentation": ("".join(" " * i + "if x:\n" for i in range(600)), "python", "syntax-error"),
    "binary": ("\x00\x01\x02ELF" * 100, "python", "not-text"),
    "control signs": ("\x01\x02\x03" * 500, "go", "not-text"),
    "lone surrogate": ("x = '\ud800'", "python", "not-text"),
    "empty": ("", "python", "empty-submission"),
    "only a comment": ("// TODO write this\n/* later */", "javascript", "empty-submission"),
    "only a docstring": ('"""Later."""\n# soon\n', "python", "empty-submission"),
    "too large": ("x = 1\n" * 50_000, "python", "too-large"),
    "python as java": ("def f(x):\n    return x\n", "java", "wrong-language"),
    "javascript as python": ("function f(x) { return x + 1; }\nconst a = 3;", "python", "wrong-language"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_input_becomes_a_finding(name: str) -> None:
    code, language, rule = HOSTILE[name]
    analysis = await analyse(code, language)
    assert [each.rule_id for each in analysis.findings] == [rule]
    assert analysis.findings[0].severity is Severity.ESSENTIAL


async def test_an_analysis_that_takes_too_long_is_ended() -> None:
    analysis = await analyse("x = 1\n" * 40_000, "python", limits=Limits(seconds=0.05))
    assert [each.rule_id for each in analysis.findings] == ["analysis-timeout"]


async def test_an_analysis_out_of_memory_or_processor_time_is_a_finding() -> None:
    hungry = await analyse("x = 1\n" * 40_000, "python", limits=Limits(memory_bytes=60 << 20))
    assert {each.rule_id for each in hungry.findings} <= {"analysis-aborted", "too-deeply-nested", "analysis-partial"}
    assert hungry.findings
    slow = await analyse("x = [1, 2, 3]\n" * 18_000, "python", limits=Limits(cpu_seconds=0))
    assert [each.rule_id for each in slow.findings] == ["analysis-aborted"]


async def test_learner_code_is_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    code = f"import pathlib\npathlib.Path({str(trace)!r}).write_text('x')\nraise SystemExit\n"
    await analyse(code, "python")
    assert not trace.exists()


async def test_the_child_gets_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert (await analyse("import os\n", "python")).findings[0].rule_id == "unused-import"


async def test_no_process_stays_behind() -> None:
    await asyncio.gather(*(analyse("x = 1\n" * 30_000, "python", limits=Limits(seconds=0.1)) for _ in range(4)))
    assert not [name for name in _children() if b"child_checks" in name]


def _children() -> list[bytes]:
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{child}/cmdline").read_bytes() for child in listed]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(code=st.text(max_size=200), language=st.sampled_from([*LANGUAGES, "text"]))
async def test_no_text_breaks_it(code: str, language: str) -> None:
    analysis = await analyse(code, language)
    lines = code.count("\n") + 1
    for finding in analysis.findings:
        assert 1 <= finding.line_start <= finding.line_end <= lines
        assert from_issue(finding.as_issue()) == finding


BANNED = {"you", "your", "just", "simply", "tú", "tu", "usted", "simplemente", "solo"}


def test_the_catalogue_keeps_its_tone() -> None:
    for name, rule in rules().items():
        for text in (*rule.en, *rule.es):
            words = {word.strip(".,:;`'\"").lower() for word in text.split()}
            assert not words & BANNED, (name, text)
            assert not text.endswith("!")
        assert rule.en[0] != rule.es[0], name


_BESIDE_MATRIX_PRODUCTS = """
import asyncio, os, threading
import numpy as np, uvloop
from tools.static_analysis.api import analyse

square, products = np.ones((512, 512), np.float32), 0

def multiply():
    global products
    while True:
        square @ square
        products += 1

async def main():
    threading.Thread(target=multiply, daemon=True).start()
    for _ in range(5):
        await analyse("x = 1", "python")
        before = products
        while products == before:
            await asyncio.sleep(0.01)
    os._exit(0)

uvloop.run(main())
"""


def test_starting_the_child_does_not_hang_an_embedder_that_is_multiplying() -> None:
    """A fork in the middle of a product stops OpenBLAS for good; this then runs into its time limit."""
    subprocess.run([sys.executable, "-c", _BESIDE_MATRIX_PRODUCTS], check=True, timeout=60)
