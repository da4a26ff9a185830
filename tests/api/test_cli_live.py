"""How a run looks in the terminal: words, steps, tools, plans and the questions about them."""

import asyncio
from collections.abc import Iterable
from io import StringIO
from typing import Any

import pytest
from langgraph_sdk.schema import StreamPart
from rich.console import Console

from api.cli.approval import Agreeing, AtTheTerminal, Leaving
from api.cli.console import THEME, Trouble
from api.cli.live import Scribe
from api.cli.typewriter import Typewriter

PLAN: dict[str, Any] = {
    "title": "Learn [bold]Rust",
    "outcome": "A tool that searches text",
    "tasks": [
        {"key": "t1", "title": "Install", "kind": "practice", "est_minutes": 45, "depends_on": []},
        {"key": "t2", "title": "Build", "kind": "build", "est_minutes": 95, "depends_on": ["t1"]},
    ],
}
REQUEST: dict[str, Any] = {
    "action_requests": [{"name": "commit_plan", "args": PLAN, "description": "Save it"}],
    "review_configs": [{"action_name": "commit_plan", "allowed_decisions": ["approve", "edit", "reject"]}],
}


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), theme=THEME, width=60, highlight=False)


def shown(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def typed(console: Console, chunks: Iterable[str]) -> str:
    typewriter = Typewriter(console)
    for chunk in chunks:
        typewriter.write(chunk)
    typewriter.end()
    return shown(console)


def test_words_are_wrapped_whole_however_they_arrive(console: Console) -> None:
    text = "The quick brown fox jumps over the lazy dog and runs away from everybody who might want to catch it\n"
    lines = typed(console, text).splitlines()
    assert all(line.startswith("  ") and len(line) <= 60 for line in lines)
    assert " ".join("".join(lines).split()) == " ".join(text.split())


def test_marks_become_styles_and_disappear(console: Console) -> None:
    assert typed(
        console, ["## Wee", "k 1\n", "Read **the", " book** and run `cargo new` _soon_ in one of the snake_cases"]
    ) == ("  Week 1\n  Read the book and run cargo new soon in one of the\n  snake_cases\n")


def test_square_brackets_in_words_are_no_markup(console: Console) -> None:
    assert typed(console, "a [bold]trap[/bold] here") == "  a [bold]trap[/bold] here\n"


def test_what_hangs_under_a_list_keeps_its_indent(console: Console) -> None:
    assert typed(console, "1. First\n   because\n") == "  1. First\n     because\n"


def part(event: str, data: Any) -> StreamPart:
    return StreamPart(event, data)


def test_steps_tools_and_results_get_a_line_each(console: Console) -> None:
    scribe = Scribe(console)
    scribe.show(part("metadata", {"run_id": "r1"}))
    scribe.show(part("custom", {"type": "progress", "step": "load", "text": "Looking"}))
    scribe.show(part("custom", {"type": "progress", "step": "load", "text": "Looking"}))
    call = {"name": "get_similar_goals", "args": {"query": "Rust"}, "id": "c1"}
    scribe.show(part("messages", [{"type": "ai", "id": "a", "content": "", "tool_calls": [call]}, {}]))
    answer = {"type": "tool", "name": "get_similar_goals", "content": '{"hits": [1, 2]}', "status": "success"}
    scribe.show(part("messages", [answer, {}]))
    scribe.show(part("messages|sub:1", [{"type": "AIMessageChunk", "id": "b", "content": [{"text": "Done."}]}, {}]))
    scribe.finish()
    assert shown(console) == ("● Looking\n  → get_similar_goals query=Rust\n  ← get_similar_goals 2 hits\n  Done.\n")
    assert scribe.run_id == "r1"
    assert scribe.told


def test_a_failed_run_is_told_in_one_sentence(console: Console) -> None:
    with pytest.raises(Trouble, match="out of tokens"):
        Scribe(console).show(part("error", {"error": "Budget", "message": "out of tokens"}))


def test_pauses_are_collected(console: Console) -> None:
    scribe = Scribe(console)
    scribe.show(part("updates", {"__interrupt__": [{"value": REQUEST, "id": "i1"}]}))
    assert scribe.interrupts == [{"value": REQUEST, "id": "i1"}]


def test_agreeing_approves_every_action_and_says_so(console: Console) -> None:
    answer = asyncio.run(Agreeing(console, "Approved here.")([REQUEST], False))
    assert answer == {"decisions": [{"type": "approve"}]}
    assert "Approved here." in shown(console)
    assert "1 h 35" in shown(console)


def test_a_plan_told_in_words_is_not_told_twice(console: Console) -> None:
    asyncio.run(Agreeing(console, "Yes.")([REQUEST], True))
    assert "Learn [bold]Rust" in shown(console)
    assert "Install" not in shown(console)


def test_nobody_at_the_terminal_leaves_the_plan_waiting(console: Console) -> None:
    assert asyncio.run(Leaving(console)([REQUEST], False)) is None
    assert "Install" in shown(console)


@pytest.mark.parametrize(
    ("typed_in", "decision"),
    [
        ("\n", {"type": "approve"}),
        ("r\nshorter\n", {"type": "reject", "message": "shorter"}),
        ("x\na\n", {"type": "approve"}),
    ],
)
def test_the_person_at_the_terminal_decides(
    console: Console, monkeypatch: pytest.MonkeyPatch, typed_in: str, decision: dict[str, str]
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(typed_in))
    assert asyncio.run(AtTheTerminal(console)([REQUEST], False)) == {"decisions": [decision]}


def test_an_edit_that_is_not_json_is_opened_again(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["{broken", '{"title": "Shorter"}'])

    def edit(text: str, extension: str) -> str:
        assert (text, extension) != ("", ".txt")
        return next(answers)

    monkeypatch.setattr("sys.stdin", StringIO("e\n"))
    monkeypatch.setattr("click.edit", edit)
    decided = asyncio.run(AtTheTerminal(console)([REQUEST], False))
    edited = {"name": "commit_plan", "args": {"title": "Shorter"}}
    assert decided == {"decisions": [{"type": "edit", "edited_action": edited}]}


def test_only_what_the_service_allows_is_offered(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("e\na\n"))
    narrow = {**REQUEST, "review_configs": [{"action_name": "commit_plan", "allowed_decisions": ["approve"]}]}
    assert asyncio.run(AtTheTerminal(console)([narrow], True)) == {"decisions": [{"type": "approve"}]}
    assert "[e]dit" not in shown(console)


def test_an_answer_that_was_not_understood_is_told(console: Console) -> None:
    with pytest.raises(Trouble, match="needs two"):
        asyncio.run(Leaving(console)([{**REQUEST, "error": "needs two"}], False))
